import gc
import weakref

import tensorflow as tf

from segformer_tf.models.kernels import step


def test_logits_live_as_long_as_what_is_kept_by_their_id():
    class Logits:
        pass

    with step.one_step():
        logits = Logits()
        gone = weakref.ref(logits)
        step.keep(logits, tf.zeros((1, 2, 3)))
        del logits
        gc.collect()
        assert gone() is not None


def test_after_a_step_no_labels_are_wanted():
    with step.one_step():
        assert step.wants_labels()
    assert not step.wants_labels()
