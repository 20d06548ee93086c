"""Training's kernels in whole layers, beside those that `portable_ops()` gives: values and gradients."""

import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf.models import layers
from segformer_tf.models.kernels import portable_ops, training
from segformer_tf.models.layers import DecodeHead

SHAPE = (2, 8, 12, 16)
X = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
TOLERANCE = {"float32": 2e-5, "mixed_bfloat16": 6e-2}


def randomised(layer, example):
    """The layer with weights of real spread."""
    layer(example)
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(scale=0.5, size=variable.shape))
    return layer


def values_and_gradients(layer, inputs, compiled: bool):
    """The result, and the gradients of its weighted sum by the inputs and by every variable."""
    inputs = tf.nest.map_structure(tf.constant, inputs)
    variables = layer.trainable_variables

    def run(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = tf.cast(layer(inputs, training=True), tf.float32)
            weights = tf.reshape(tf.linspace(-1.0, 2.0, tf.size(y)), tf.shape(y))
            total = tf.reduce_sum(y * weights)
        return y, *tape.gradient(total, [inputs, *(variable.value for variable in variables)])

    names = ["result", "input", *(variable.path for variable in variables)]
    return dict(zip(names, (tf.function(run) if compiled else run)(inputs), strict=True))


@pytest.mark.parametrize("compiled", [True, False], ids=["graph", "eager"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("sr_ratio", "num_heads"), [(4, 1), (2, 2), (1, 4)])
def test_an_encoder_layer_in_training_equals_the_plain_one(sr_ratio, num_heads, dtype, compiled):
    layer = randomised(layers.EncoderLayer(16, num_heads, sr_ratio, mlp_ratio=2, dtype=dtype), X)
    found = values_and_gradients(layer, X, compiled)
    with portable_ops():
        plain = values_and_gradients(layer, X, compiled)
    for name, expected in plain.items():
        if name.endswith("key/bias"):  # softmax does not see it: the gradient is rounding
            continue
        assert relative_difference(found[name], expected) < TOLERANCE[dtype], name


def test_the_decode_head_in_training_equals_the_plain_one():
    maps = [X, X[:, :4, :6], X[:, :2, :3]]
    head = DecodeHead(8, [16, 16, 16], 5, dropout_rate=0.0)
    randomised(head, maps)
    found = values_and_gradients(head, maps, compiled=True)
    with portable_ops():
        plain = values_and_gradients(head, maps, compiled=True)
    for name in plain.keys() - {"input"}:
        if "linear_c" in name and name.endswith("bias"):  # the BatchNorm takes the mean away: the gradient is rounding
            continue
        assert relative_difference(found[name], plain[name]) < 2e-5, name
    for ours, theirs in zip(found["input"], plain["input"], strict=True):
        assert relative_difference(ours, theirs) < 2e-5


def test_what_is_made_again_waits_for_its_gradient():
    """Otherwise the graph's optimizer would join it with the first making, and keep that."""

    @tf.function
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = training.recomputed(tf.math.sinh, x)
        return tape.gradient(y, x, tf.exp(x))

    x = tf.constant([0.3, -0.7])
    assert np.abs(run(x) - np.exp(x) * np.cosh(x)).max() < 1e-6
    waiting = [node for node in run.get_concrete_function(x).graph.as_graph_def().node if node.op == "Identity"]
    assert any(name.startswith("^") for node in waiting for name in node.input)


def test_layers_that_draw_random_numbers_are_not_made_again():
    layer = randomised(layers.EncoderLayer(16, 2, 2, mlp_ratio=2, dropout_rate=0.5, attention_dropout_rate=0.5), X)

    @tf.function
    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x)

    graph = gradient.get_concrete_function(tf.TensorSpec(SHAPE)).graph
    drawn = [node for node in graph.as_graph_def().node if "StatelessRandomUniform" in node.op]
    assert len(drawn) == 4  # attention weights, its output, both dense layers of Mix-FFN
    assert not np.array_equal(layer(X, training=True), layer(X, training=True))
