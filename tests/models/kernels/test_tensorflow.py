"""Attention in bands of queries; counting."""

import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf.models import kernels, layers
from segformer_tf.models.kernels import plain, tensorflow

MAP = np.random.default_rng(0).normal(size=(2, 12, 20, 16)).astype("float32")


def randomised(layer, *shape):
    """The layer with weights of real spread, so that a wrong axis or a lost bias shows."""
    layer(np.zeros(shape, "float32"))
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return layer


@pytest.mark.parametrize("sr_ratio", [1, 4])
@pytest.mark.parametrize("shape", [MAP.shape, (None, None, None, 16)], ids=["static", "dynamic"])
def test_attention_in_bands_equals_attention_in_one(sr_ratio, shape, monkeypatch):
    layer = randomised(layers.EfficientSelfAttention(16, num_heads=2, sr_ratio=sr_ratio), *MAP.shape)
    whole = layer(MAP)
    keys = MAP.shape[1] * MAP.shape[2] // sr_ratio**2
    monkeypatch.setattr(tensorflow, "BAND_SCORES", 7 * 2 * 2 * keys)  # bands of 7 queries; 240 is not a multiple
    run = tf.function(layer).get_concrete_function(tf.TensorSpec(shape))
    graph = run.graph.as_graph_def()
    kinds = {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}
    assert kinds & {"While", "StatelessWhile"}
    assert relative_difference(run(MAP), whole) < 3e-6  # sums in another order
    assert relative_difference(layer(MAP), whole) < 3e-6
    with tf.GradientTape() as tape:
        tape.watch(x := tf.constant(MAP))
        in_bands = tf.reduce_sum(run(x) ** 2)
    banded_gradient = tape.gradient(in_bands, x)
    monkeypatch.undo()
    with tf.GradientTape() as tape:
        tape.watch(x)
        in_one = tf.reduce_sum(layer(x) ** 2)
    assert relative_difference(banded_gradient, tape.gradient(in_one, x)) < 1e-5


def test_counts_are_those_of_the_plain_form_and_of_xla():
    ids = np.random.default_rng(0).integers(0, 9, 1000).astype(np.int32)
    expected = np.bincount(ids, minlength=12)
    compiled = tf.function(lambda ids: kernels.counts(ids, 12), jit_compile=True)
    with kernels.for_xla():
        by_xla = compiled(tf.constant(ids))
    for found in (kernels.counts(tf.constant(ids), 12), plain.counts(tf.constant(ids), 12), by_xla):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == tf.int32
