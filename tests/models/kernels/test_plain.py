"""What the definitions that all tables are held against are themselves held against."""

import keras
import numpy as np
from reference import relative_difference

from segformer_tf.bounds import ACTIVATIONS
from segformer_tf.models.kernels import plain

MAP = np.random.default_rng(0).normal(size=(2, 12, 20, 16)).astype("float32")


def test_every_activation_of_the_config_is_known():
    assert set(plain.ACTIVATIONS) == set(ACTIVATIONS)


def test_gelu_is_the_exact_one():
    x = np.linspace(-6, 6, 101).astype("float32")
    assert np.abs(plain.gelu(x) - keras.ops.gelu(x, approximate=False)).max() < 1e-6


def test_resize_keeps_constants_and_is_linear():
    once = plain.resize_bilinear(MAP, (31, 45))
    assert once.shape == (2, 31, 45, 16)
    assert np.abs(plain.resize_bilinear(np.ones_like(MAP), (31, 45)) - 1.0).max() < 1e-6
    assert relative_difference(plain.resize_bilinear(3.0 * MAP, (31, 45)), 3.0 * np.asarray(once)) < 1e-6
