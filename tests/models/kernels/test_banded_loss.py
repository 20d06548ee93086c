import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf.models.kernels import banded_loss, plain


@pytest.mark.parametrize("size", [(24, 36), (25, 31), (6, 9), (5, 7), (4, 20)])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_bands_give_the_sum_its_gradient_and_the_classes_of_the_plain_form(monkeypatch, size, rows):
    monkeypatch.setattr(banded_loss, "BAND_VALUES", rows * size[1] * 4)
    random = np.random.default_rng(0)
    ids = tf.constant(random.integers(0, 4, (2, *size)).astype("int32"))
    logits = tf.constant(random.normal(size=(2, 6, 9, 4)).astype("float32"))
    weights = tf.constant(random.uniform(0, 2, (2, *size)).astype("float32"))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        found, classes = banded_loss.cross_entropy_sum(ids, logits, weights, with_classes=True)
        expected = plain.cross_entropy_sum(ids, logits, weights, plain.resize_bilinear)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    assert relative_difference(tape.gradient(found, logits), tape.gradient(expected, logits)) < 1e-5
    np.testing.assert_array_equal(classes, plain.labels(logits, size, plain.resize_bilinear))
