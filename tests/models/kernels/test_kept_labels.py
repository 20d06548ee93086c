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


def test_labels_are_had_for_the_very_logits_at_their_size():
    logits, labels = tf.zeros((1, 2, 3, 4)), tf.ones((1, 8, 12), tf.int32)
    truth = tf.zeros((1, 8, 12, 1), tf.int32)
    kept_labels.keep(logits, labels)
    assert kept_labels.kept(logits, truth) is None  # nobody wanted them
    with kept_labels.one_step():
        kept_labels.keep(logits, None)
        assert kept_labels.kept(logits, truth) is None
        kept_labels.keep(logits, labels)
        kept_labels.keep(logits, None)
        assert kept_labels.kept(logits, truth) is labels
        assert kept_labels.kept(tf.zeros((1, 2, 3, 4)), truth) is None
        assert kept_labels.kept(logits, truth[:, :7]) is None
        with kept_labels.one_step(wanted=False):
            assert kept_labels.kept(logits, truth) is None
        assert kept_labels.kept(logits, truth) is labels
