import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.models.kernels import banded_labels


def at_full_size(logits, size):
    return tf.argmax(tf.image.resize(logits, size), -1)


@pytest.mark.parametrize("size", [(20, 28), (10, 14), (15, 21), (20, 14), (5, 7), (23, 33), (3, 4), (40, 56)])
@pytest.mark.parametrize("block", [2**20, 100])
def test_labels_are_those_of_full_size_logits(size, block, monkeypatch):
    monkeypatch.setattr(banded_labels, "BLOCK_VALUES", block)
    logits = np.random.default_rng(0).normal(size=(2, 5, 7, 6)).astype("float32")
    spec = tf.TensorSpec((None, None, None, 6))
    found = tf.function(lambda x: banded_labels.labels(x, tf.constant(size)), input_signature=[spec])(logits)
    np.testing.assert_array_equal(found, at_full_size(logits, size))
    np.testing.assert_array_equal(banded_labels.labels(logits, size), at_full_size(logits, size))


def test_where_all_agree_nothing_is_blended():
    logits = np.zeros((1, 4, 6, 3), "float32")
    logits[..., 2] = 1
    assert (banded_labels.labels(logits, (16, 24)).numpy() == np.full((1, 16, 24), 2)).all()


@pytest.mark.parametrize("size", [(32, 48), (25, 31)], ids=["by cells", "by rows"])
def test_of_equal_logits_the_first_is_taken(size):
    logits = np.tile(np.float32([0, 2, 1, 2, 2]), (1, 8, 12, 1))
    assert (np.asarray(banded_labels.labels(tf.constant(logits), size)) == 1).all()
