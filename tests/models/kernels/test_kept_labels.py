import gc
import weakref

import tensorflow as tf

from segformer_tf.models.kernels import kept_labels


def test_logits_live_as_long_as_what_is_kept_by_their_id():
    class Logits:
        pass

    with kept_labels.one_step():
        logits = Logits()
        gone = weakref.ref(logits)
        kept_labels.keep(logits, tf.zeros((1, 2, 3)))
        del logits
        gc.collect()
        assert gone() is not None


def test_after_a_step_no_labels_are_wanted():
    with kept_labels.one_step():
        assert kept_labels.wants_labels()
    assert not kept_labels.wants_labels()
