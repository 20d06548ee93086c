import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.models.predicted import predicted_labels


@pytest.mark.parametrize("size", [(20, 28), (5, 7), (23, 33)], ids=["larger", "the same", "uneven"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_labels_are_those_of_full_size_logits(size, dtype):
    logits = tf.cast(np.random.default_rng(0).normal(size=(2, 5, 7, 6)), dtype)
    expected = tf.argmax(tf.image.resize(logits, size), -1)
    for each in (size, tf.constant(size), list(tf.constant(size))):
        np.testing.assert_array_equal(predicted_labels(logits, each), expected)


def test_one_channel_is_1_where_its_resized_logit_is_above_0():
    logits = np.random.default_rng(0).normal(size=(2, 4, 6, 1)).astype("float32")
    expected = tf.image.resize(logits, (16, 24))[..., 0] > 0
    for size in ((16, 24), [16, 24], tf.constant([16, 24]), tuple(tf.constant([16, 24]))):
        np.testing.assert_array_equal(predicted_labels(logits, size), expected)
    in_graph = tf.function(lambda size: predicted_labels(logits, size))
    np.testing.assert_array_equal(in_graph(tf.constant([16, 24])), expected)
