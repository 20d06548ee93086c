import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.models.kernels import banded_loss, plain


def test_a_band_has_all_rows_of_logits_that_it_reads(monkeypatch):
    monkeypatch.setattr(banded_loss, "BAND_VALUES", 3 * 36 * 4)  # bands of 3 rows
    random = np.random.default_rng(0)
    ids = random.integers(0, 4, (2, 24, 36)).astype("int32")
    logits = random.normal(size=(2, 6, 9, 4)).astype("float32")
    weights = np.ones(ids.shape, "float32")
    found = banded_loss.cross_entropy_sum(tf.constant(ids), tf.constant(logits), tf.constant(weights))[0]
    expected = plain.cross_entropy_sum(ids, logits, weights, plain.resize_bilinear)
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
