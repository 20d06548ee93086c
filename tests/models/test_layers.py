import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf.config import ACTIVATIONS
from segformer_tf.models import elements, layers

MAP = np.random.default_rng(0).normal(size=(2, 12, 20, 16)).astype("float32")


def randomised(layer, *shape):
    """The layer with weights of real spread, so that a wrong axis or a lost bias shows."""
    layer(np.zeros(shape, "float32"))
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return layer


def test_every_activation_of_the_config_is_known():
    assert set(elements.ACTIVATION_FUNCTIONS) == set(ACTIVATIONS)


def test_gelu_is_the_exact_one():
    x = np.linspace(-6, 6, 101).astype("float32")
    assert np.abs(elements.gelu(x) - keras.ops.gelu(x, approximate=False)).max() < 1e-6


def test_dense_equals_keras_own():
    layer = randomised(elements.dense(7, 0.02), *MAP.shape)
    assert relative_difference(layer(MAP), MAP @ layer.kernel.numpy() + layer.bias.numpy()) < 1e-6
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.ones(layer.lora_kernel_b.shape))
    assert relative_difference(layer(MAP), MAP @ np.asarray(layer.kernel) + layer.bias.numpy()) < 1e-6


@pytest.mark.parametrize(("size", "patches"), [((64, 96), (16, 24)), ((65, 97), (17, 25)), ((33, 40), (9, 10))])
def test_patch_embeddings_round_sizes_up(size, patches):
    layer = layers.OverlapPatchEmbeddings(8, patch_size=7, stride=4)
    assert layer(np.zeros((1, *size, 3), "float32")).shape == (1, *patches, 8)
    assert layer.compute_output_shape((None, *size, 3)) == (None, *patches, 8)


def attention_as_defined(layer, x):
    """Softmax(Q K^T / sqrt(d)) V with one head after another, in numpy."""
    batch, *_, channels = x.shape

    def project(dense, value):
        return np.asarray(value).reshape(batch, -1, channels) @ dense.kernel.numpy() + dense.bias.numpy()

    reduced = layer.layer_norm(layer.sr(x)) if layer.sr_ratio > 1 else x
    query, key, value = project(layer.query, x), project(layer.key, reduced), project(layer.value, reduced)
    size = channels // layer.num_heads
    mixed, weights = np.zeros_like(query), []
    for head in range(layer.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(query[..., part] @ key[..., part].swapaxes(1, 2) / np.sqrt(size))
        weights.append(scores / scores.sum(-1, keepdims=True))
        mixed[..., part] = weights[-1] @ value[..., part]
    mixed = mixed @ layer.output_dense.kernel.numpy() + layer.output_dense.bias.numpy()
    return mixed.reshape(x.shape), np.stack(weights, 1)


@pytest.mark.parametrize("sr_ratio", [1, 4])
def test_attention_is_what_it_is_defined_as(sr_ratio):
    layer = randomised(layers.EfficientSelfAttention(16, num_heads=2, sr_ratio=sr_ratio), *MAP.shape)
    for variable in layer.trainable_variables:
        variable.assign(variable * 0.2)
    mixed, weights = layer(MAP, output_attentions=True)
    expected_mixed, expected_weights = attention_as_defined(layer, MAP)
    assert weights.shape == (2, 2, 240, (12 // sr_ratio) * (20 // sr_ratio))
    assert relative_difference(weights, expected_weights) < 1e-5
    assert relative_difference(mixed, expected_mixed) < 1e-5
    assert relative_difference(layer(MAP), expected_mixed) < 1e-5


def test_mix_ffn_sees_its_neighbours_within_one_pixel():
    layer = randomised(layers.MixFFN(16, 32), *MAP.shape)
    moved = MAP.copy()
    moved[0, 5, 7] += 1.0
    rows, columns = np.nonzero(np.abs(layer(moved) - layer(MAP)).max(-1)[0] > 1e-4)
    assert set(rows) == {4, 5, 6} and set(columns) == {6, 7, 8}


def test_drop_path_leaves_out_whole_branches_and_keeps_the_mean():
    dropped = np.asarray(elements.drop_path(0.5)(np.ones((400, 3, 2, 1), "float32"), training=True))
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert (dropped.reshape(400, -1).std(axis=1) == 0).all()
    assert 0.8 < dropped.mean() < 1.2


def test_resize_keeps_constants_and_is_linear():
    once = elements.resize_bilinear(MAP, (31, 45))
    assert once.shape == (2, 31, 45, 16)
    assert np.abs(elements.resize_bilinear(np.ones_like(MAP), (31, 45)) - 1.0).max() < 1e-6
    assert relative_difference(elements.resize_bilinear(3.0 * MAP, (31, 45)), 3.0 * np.asarray(once)) < 1e-6


@pytest.mark.parametrize("sr_ratio", [1, 4])
@pytest.mark.parametrize("shape", [MAP.shape, (None, None, None, 16)], ids=["static", "dynamic"])
def test_attention_in_bands_equals_attention_in_one(sr_ratio, shape, monkeypatch):
    layer = randomised(layers.EfficientSelfAttention(16, num_heads=2, sr_ratio=sr_ratio), *MAP.shape)
    whole = layer(MAP)
    keys = MAP.shape[1] * MAP.shape[2] // sr_ratio**2
    monkeypatch.setattr(elements, "BAND_SCORES", 7 * 2 * 2 * keys)  # bands of 7 queries; 240 is not a multiple
    run = tf.function(layer).get_concrete_function(tf.TensorSpec(shape))
    graph = run.graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert any("While" in node.op for node in nodes)
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
