"""What the definitions that all tables are held against are themselves held against."""

import keras
import numpy as np
import pytest
from reference import relative_difference

from segformer_tf.bounds import ACTIVATIONS
from segformer_tf.models.kernels import plain

MAP = np.random.default_rng(0).normal(size=(2, 12, 20, 16)).astype("float32")


def test_every_activation_of_the_config_is_known():
    assert set(plain.ACTIVATIONS) == set(ACTIVATIONS)


def test_gelu_is_the_exact_one():
    x = np.linspace(-6, 6, 101).astype("float32")
    assert np.abs(plain.gelu(x) - keras.ops.gelu(x, approximate=False)).max() < 1e-6


def test_activations_are_those_of_their_names():
    x = np.linspace(-4, 4, 41)
    tanh_form = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    sigmoid = 1 / (1 + np.exp(-x))
    expected = {
        **dict.fromkeys(("gelu_new", "gelu_pytorch_tanh"), tanh_form),
        **dict.fromkeys(("silu", "swish"), x * sigmoid),
        "relu": np.maximum(x, 0),
        "tanh": np.tanh(x),
        "sigmoid": sigmoid,
    }
    assert expected.keys() == plain.ACTIVATIONS.keys() - {"gelu"}
    for name, values in expected.items():
        assert np.abs(plain.activation(name, x.astype("float32")) - values).max() < 1e-5, name


def test_resize_keeps_constants_and_is_linear():
    once = plain.resize_bilinear(MAP, (31, 45))
    assert once.shape == (2, 31, 45, 16)
    assert np.abs(plain.resize_bilinear(np.ones_like(MAP), (31, 45)) - 1.0).max() < 1e-6
    assert relative_difference(plain.resize_bilinear(3.0 * MAP, (31, 45)), 3.0 * np.asarray(once)) < 1e-6


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_variance_of_a_batch_is_unbiased_and_0_of_one_value(count):
    x = np.random.default_rng(0).normal(size=(1, 1, count, 4)).astype("float32")
    _, mean, variance = plain.batch_norm(x, np.ones(4, "float32"), np.zeros(4, "float32"), 1e-5)
    np.testing.assert_allclose(mean, x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var((0, 1, 2), ddof=1) if count > 1 else np.zeros(4), rtol=1e-4)
