import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.images import post_process_semantic_segmentation
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


@pytest.mark.parametrize("size", [(64, 96), (40, 60), (61, 95)], ids=["by cells", "by rows", "uneven"])
@pytest.mark.parametrize("classes", [1, 6])
def test_labels_are_those_of_post_processing_but_for_rounding(size, classes):
    steps = np.random.default_rng(0).normal(size=(2, 16, 24, classes)) * 7
    logits = (np.round(steps) / 7).astype("float32")  # few values, so that many pixels are ties but for rounding
    found = np.asarray(predicted_labels(logits, size))
    others = np.stack(post_process_semantic_segmentation(logits, [size] * 2))
    resized = tf.image.resize(np.concatenate([0 * logits, logits], -1) if classes == 1 else logits, size).numpy()
    values, other_values = (np.take_along_axis(resized, each[..., np.newaxis], -1) for each in (found, others))
    assert np.abs(values - other_values).max() < 1e-6 * np.abs(logits).max()
    assert (found != others).mean() < 2e-3
