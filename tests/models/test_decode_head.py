import functools
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import ROOT, relative_difference

from segformer_tf import TFSegformerForSemanticSegmentation
from segformer_tf.models.kernels import portable_ops, resize_bilinear
from segformer_tf.models.layers import DecodeHead

CHANNELS, SIZES = (8, 16, 20, 32), ((17, 25), (9, 13), (5, 7), (3, 4))


@pytest.fixture
def maps():
    random = np.random.default_rng(0)
    return [
        tf.constant(random.normal(size=(2, *size, channels)).astype("float32"))
        for size, channels in zip(SIZES, CHANNELS, strict=True)
    ]


@pytest.fixture
def head(maps):
    head = DecodeHead(16, list(CHANNELS), num_labels=5, dropout_rate=0.0)
    head(maps)
    random = np.random.default_rng(1)
    for variable in head.variables:
        if variable.dtype == "float32":
            variable.assign(random.uniform(0.1, 1.0, size=variable.shape))
    return head


def concatenate_and_fuse(head, maps, training):
    """The head as it is published."""
    size = maps[0].shape[1:3]
    resized = [resize_bilinear(linear(map_), size) for linear, map_ in zip(head.linear_c, maps, strict=True)]
    fused = tf.matmul(tf.concat(resized[::-1], axis=-1), tf.convert_to_tensor(head.linear_fuse.kernel))
    return head.classifier(tf.nn.relu(head.batch_norm(fused, training=training)))


def test_logits_have_the_size_of_the_first_map_in_a_keras_graph_too(maps):
    symbolic = [keras.KerasTensor(map_.shape) for map_ in maps]
    logits = DecodeHead(16, list(CHANNELS), num_labels=5, dtype="mixed_bfloat16")(symbolic)
    assert logits.shape == (2, *SIZES[0], 5) and logits.dtype == "float32"


@pytest.mark.parametrize("training", [False, True])
def test_folded_head_gives_the_published_numbers_and_gradients(head, maps, training):
    before = head.get_weights()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(maps)
        expected = concatenate_and_fuse(head, maps, training)
        wanted = tf.reduce_sum(expected**2)
    moved = head.get_weights()
    head.set_weights(before)
    with tf.GradientTape(persistent=True) as folded_tape:
        folded_tape.watch(maps)
        found = head(maps, training=training)
        folded = tf.reduce_sum(found**2)
    assert relative_difference(found, expected) < 1e-5
    for after, reference in zip(head.get_weights(), moved, strict=True):
        np.testing.assert_allclose(after, reference, rtol=1e-5)
    sources = [*maps, *(variable.value for variable in head.trainable_variables)]
    expected_gradients = tape.gradient(wanted, sources)
    scale = max(float(tf.reduce_max(tf.abs(gradient))) for gradient in expected_gradients)
    for gradient, reference in zip(folded_tape.gradient(folded, sources), expected_gradients, strict=True):
        assert float(tf.reduce_max(tf.abs(gradient - reference))) < 1e-5 * scale


def second_derivatives(head, maps):
    """By each map and kernel, of the squares of the gradients by the deepest map."""
    sources = [*maps, *(layer.kernel.value for layer in (*head.linear_c, head.linear_fuse))]
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(maps)
            loss = tf.reduce_sum(tf.sin(head(maps)) ** 2)
        total = tf.reduce_sum(inner.gradient(loss, maps[-1]) ** 2)
    return outer.gradient(total, sources)


def test_second_derivatives_of_the_published_form_are_those_of_the_folded(head, maps):
    expected = second_derivatives(head, maps)
    head.linear_c[0].activation = lambda x: x  # a layer with an activation is not folded
    for found, wanted in zip(second_derivatives(head, maps), expected, strict=True):
        assert relative_difference(found, wanted) < 1e-3


def test_every_variable_of_the_folded_head_learns(head, maps):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(head(maps, training=True)[..., 0] ** 2)
    gradients = tape.gradient(loss, [variable.value for variable in head.trainable_variables])
    assert len(gradients) == 13 and all(gradient is not None for gradient in gradients)


def test_quantized_head_falls_back_to_the_published_form(head, maps):
    exact = head(maps)
    for layer in [*head.linear_c, head.linear_fuse]:
        layer.quantize("int8")
    assert 0 < relative_difference(head(maps), exact) < 0.1


@pytest.mark.parametrize("training", [False, True])
def test_parts_whose_call_was_replaced_are_called(head, maps, training):
    expected, seen = head(maps, training=training), []
    for name in ("linear_fuse", "batch_norm", "classifier"):
        part = getattr(head, name)
        part.call = functools.partial(
            lambda own, name, *args, **more: (seen.append(name), own(*args, **more))[1], part.call, name
        )
    found = head(maps, training=training)
    assert seen == ["linear_fuse", "batch_norm", "classifier"]
    if not training:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_activations_of_the_parts_count(head, maps, training):
    head.dropout.rate = 0.0
    before = np.array(head(maps, training=training))
    head.classifier.activation = keras.activations.sigmoid
    np.testing.assert_allclose(head(maps, training=training), 1 / (1 + np.exp(-before)), rtol=1e-3, atol=1e-4)
    head.classifier.activation = keras.activations.linear
    for part in (*head.linear_c, head.linear_fuse):
        part.activation = keras.activations.tanh
        assert np.abs(np.array(head(maps, training=training)) - before).max() > 1e-3
        part.activation = keras.activations.linear


def test_what_regularizes_the_activity_of_a_part_counts(head, maps):
    head.linear_c[1].activity_regularizer = keras.regularizers.L2(1.0)
    head(maps)
    (loss,) = head.losses
    assert float(loss) == pytest.approx(float(tf.reduce_sum(head.linear_c[1](maps[1]) ** 2)) / 2, rel=1e-4)  # a picture


def test_frozen_batch_norm_stays_as_it_is_in_training(head, maps):
    head.batch_norm.trainable = False
    assert relative_difference(head(maps, training=True), head(maps, training=False)) < 1e-6


def test_an_exported_graph_holds_the_folded_weights_as_they_were(small_config, tmp_path):
    model = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last")
    pixels = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype("float32")
    expected = model(pixels).logits.numpy()
    model.export(tmp_path / "saved", verbose=False)
    fuse = model.get_layer("decode_head").linear_fuse.kernel
    fuse.assign(fuse * 2.0)  # what was exported does not follow, and the model does
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert relative_difference(loaded.serve(pixels)["logits"], expected) < 1e-5
    assert relative_difference(model(pixels).logits, expected) > 1e-2


OF_ONE_SIZE = """
import keras, tensorflow as tf
from segformer_tf.models.layers import DecodeHead
head = DecodeHead(16, [8, 8, 8, 8], num_labels=5)
maps = [tf.zeros((1, 16 // 2**i, 24 // 2**i, 8)) for i in range(4)]
head(maps)
tf.function(head).get_concrete_function(maps)(*maps)
"""


def test_tensorflow_optimizes_the_graph_of_one_size():
    """With shapes known, TensorFlow 2.21 trips over a fusion that it half makes, and leaves the graph as it was."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0", "TF_ENABLE_ONEDNN_OPTS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", OF_ONE_SIZE], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "oneDNN" in done.stderr, done.stderr
    assert "failed" not in done.stderr.replace("failed call to cuInit", ""), done.stderr


def test_the_form_for_converters_gives_the_same_logits(head, maps):
    with portable_ops():
        found = head(maps)
    assert relative_difference(found, head(maps)) < 1e-5
