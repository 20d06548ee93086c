import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import relative_difference

from segformer_tf.models import distribution, kernels
from segformer_tf.models.kernels import portable_ops
from segformer_tf.models.primitives import BatchNorm, LayerNorm, dense, drop_path

POLICIES = {"float32": 2e-6, "mixed_bfloat16": 1e-2}  # and how far two orders of rounding may lie apart


def pair_of_norms(ours, theirs, channels, policy):
    """The project's layer and Keras' own with the same weights."""
    layers = [kind(epsilon=1e-5, dtype=policy) for kind in (ours, theirs)]
    random = np.random.default_rng(3)
    gamma, beta = random.uniform(0.5, 2, channels), random.normal(size=channels)
    for layer in layers:
        layer.build((None, None, None, channels))
        layer.gamma.assign(gamma)
        layer.beta.assign(beta)
    return layers


def output_and_gradients(layer, x, upstream, **arguments):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cast(layer(x, **arguments), tf.float32)
        score = tf.reduce_sum(y * upstream)
    return [y, *tape.gradient(score, [x, *(v.value for v in layer.trainable_variables)])]


def same(found, expected, tolerance):
    for ours, theirs in zip(found, expected, strict=True):
        assert relative_difference(tf.cast(ours, tf.float32), tf.cast(theirs, tf.float32)) < tolerance


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_layer_norm_and_its_gradients_equal_keras_own(policy, training, wrap):
    ours, theirs = pair_of_norms(LayerNorm, keras.layers.LayerNormalization, 24, policy)
    x = tf.cast(tf.random.stateless_normal((2, 5, 7, 24), (0, 1)) * 2.0 + 3.0, ours.compute_dtype)
    upstream = tf.random.stateless_normal((2, 5, 7, 24), (0, 2))
    found = wrap(lambda: output_and_gradients(ours, x, upstream, training=training))()
    expected = wrap(lambda: output_and_gradients(theirs, x, upstream))()
    same(found, expected, POLICIES[policy])


@given(
    batch=st.integers(1, 2), height=st.integers(1, 9), width=st.integers(1, 9), channels=st.integers(2, 40),
    offset=st.floats(-50, 50), spread=st.floats(0.1, 50), training=st.booleans(),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_layer_norm_of_any_map_is_what_it_is_defined_as(batch, height, width, channels, offset, spread, training):
    x = np.random.default_rng(channels).normal(offset, spread, (batch, height, width, channels)).astype("float32")
    wide = x.astype("float64")
    deviation = np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    found = LayerNorm(epsilon=1e-5)(x, training=training)
    error = np.abs(found - (wide - wide.mean(-1, keepdims=True)) / deviation)
    assert (error < 1e-5 * np.abs(x).max() / deviation.min() + 1e-5).all()


def test_converters_get_ops_that_they_know():
    layer = LayerNorm(epsilon=1e-5)
    layer.build((None, None, None, 24))
    with portable_ops():
        run = tf.function(layer).get_concrete_function(tf.TensorSpec((None, None, None, 24)))
    assert "FusedBatchNormV3" not in [node.op for node in run.graph.as_graph_def().node]
    x = tf.random.stateless_normal((1, 3, 4, 24), (0, 1))
    assert relative_difference(run(x), layer(x)) < 2e-6


@pytest.mark.parametrize("policy", POLICIES)
def test_batch_norm_trains_as_keras_own_with_the_unbiased_variance(policy):
    ours, theirs = pair_of_norms(BatchNorm, keras.layers.BatchNormalization, 8, policy)
    x = tf.cast(tf.random.stateless_normal((2, 4, 5, 8), (0, 1)) * 2.0 + 3.0, ours.compute_dtype)
    upstream = tf.random.stateless_normal((2, 4, 5, 8), (0, 2))
    found, expected = (output_and_gradients(layer, x, upstream, training=True) for layer in (ours, theirs))
    same(found, expected, 4 * POLICIES[policy])
    momentum, unbiased = ours.momentum, 40 / 39
    assert relative_difference(ours.moving_mean, theirs.moving_mean) < POLICIES[policy]
    assert (
        relative_difference(ours.moving_variance - momentum, (theirs.moving_variance - momentum) * unbiased)
        < POLICIES[policy]
    )
    theirs.set_weights(ours.get_weights())
    assert relative_difference(tf.cast(ours(x), tf.float32), tf.cast(theirs(x), tf.float32)) < 1e-6


def test_batch_norm_over_replicas_is_that_of_the_whole_batch():
    """Each of two replicas has half the batch, and hears the other's sums in the order in which they are asked for."""
    x = np.random.default_rng(0).normal(2.0, 3.0, (4, 3, 5, 8)).astype("float32")
    gamma, beta = np.linspace(0.5, 2.0, 8, dtype="float32"), np.linspace(-1.0, 1.0, 8, dtype="float32")
    others, axes = x[2:], (0, 1, 2)
    sums = iter([30.0, others.sum(axes), np.square(others - x.mean(axes)).sum(axes)])
    found = kernels.batch_norm(x[:2], gamma, beta, 1e-5, total=lambda own: own + next(sums))
    normal, *moments = kernels.batch_norm(tf.constant(x), gamma, beta, 1e-5)
    for one, other in zip(found, (normal[:2], *moments), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_the_statistics_of_two_replicas_are_those_of_both(monkeypatch):
    """As if the other had the same maps: the mean is the same, and the unbiased variance that of twice the values."""
    layer, alone = BatchNorm(momentum=0.0), BatchNorm(momentum=0.0)
    x = np.random.default_rng(0).normal(2.0, 3.0, (1, 2, 3, 4)).astype("float32")
    alone(x, training=True)
    monkeypatch.setattr(distribution, "replicas", lambda: 2)
    monkeypatch.setattr(distribution, "total", lambda own: 2 * own)
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean, alone.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, alone.moving_variance * (5 / 6) * (12 / 11), rtol=1e-5)


def test_a_frozen_batch_norm_keeps_its_statistics():
    layer = BatchNorm()
    layer.build((None, None, None, 3))
    layer.trainable = False
    layer(np.ones((1, 2, 2, 3), "float32"), training=True)
    assert np.all(layer.moving_mean.numpy() == 0)


def test_dense_equals_keras_own():
    x = np.random.default_rng(0).normal(size=(2, 12, 20, 16)).astype("float32")
    layer = dense(7, 0.5)
    layer.build(x.shape)
    layer.bias.assign(np.arange(7.0))
    assert relative_difference(layer(x), x @ layer.kernel.numpy() + layer.bias.numpy()) < 1e-6
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    assert relative_difference(layer(x), x @ np.asarray(layer.kernel) + layer.bias.numpy()) < 1e-6
    bare = dense(7, 0.5, use_bias=False)
    assert relative_difference(bare(x), x @ bare.kernel.numpy()) < 1e-6


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_the_bias_of_a_large_map_gets_its_whole_gradient_in_16_bits(policy):
    """BiasAdd's own gradient in bfloat16 adds up ones no further than 256."""
    layer = dense(3, 0.02, dtype=policy)
    layer.build((None, None, None, 8))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.cast(layer(np.ones((1, 40, 50, 8), "float32"), training=True), tf.float32))
    assert np.abs(tape.gradient(total, layer.bias.value) - 2000.0).max() < 20


def test_drop_path_leaves_out_whole_branches_and_keeps_the_mean():
    dropped = np.asarray(drop_path(0.5)(np.ones((400, 3, 2, 1), "float32"), training=True))
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert (dropped.reshape(400, -1).std(axis=1) == 0).all()
    assert 0.8 < dropped.mean() < 1.2
