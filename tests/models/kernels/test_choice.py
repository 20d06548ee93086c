"""Which table is taken: by backend, device, what is traced, and training."""

import contextlib
import contextvars
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.models import kernels
from segformer_tf.models.kernels import TABLES, banded_labels, onednn, plain
from segformer_tf.models.losses import segmentation_loss
from segformer_tf.models.primitives import LayerNorm


def name_of(table):
    return next(name for name, other in TABLES.items() if other is table)


@pytest.fixture
def with_onednn(monkeypatch):
    monkeypatch.setattr(onednn, "fuses_layer_norm", lambda: True)


def see(monkeypatch, devices):
    for name in ("get_visible_devices", "list_physical_devices"):
        monkeypatch.setattr(tf.config, name, lambda kind=None: devices if kind == "GPU" else [])


@pytest.fixture
def gpu(monkeypatch):
    see(monkeypatch, [tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")])


@pytest.fixture
def processor(monkeypatch):
    """What a processor does, on a machine with a GPU too."""
    see(monkeypatch, [])


def test_converters_come_first_then_training_then_oneDNN(processor, with_onednn):
    assert name_of(kernels.choose()) == "onednn" and name_of(kernels.choose(True)) == "training"
    with kernels.portable_ops():
        assert name_of(kernels.choose()) == name_of(kernels.choose(True)) == "converters"
    with kernels.final_weights():
        assert name_of(kernels.choose()) == "onednn"


def test_other_backends_take_keras_words(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert name_of(kernels.choose()) == name_of(kernels.choose(True)) == "plain"


def test_without_oneDNN_its_forms_are_not_taken(monkeypatch):
    monkeypatch.setattr(onednn, "fuses_layer_norm", lambda: False)
    assert name_of(kernels.choose()) == "tensorflow"


def ops_of(function, *shapes):
    """The kinds of op in a function's graph, those of its inner functions too."""
    graph = tf.function(function).get_concrete_function(*map(tf.TensorSpec, shapes)).graph.as_graph_def()
    return {node.op for nodes in (graph.node, *(inner.node_def for inner in graph.library.function)) for node in nodes}


def test_a_gpu_is_given_no_form_made_for_the_processor(gpu, with_onednn):
    """The norm through FusedBatchNorm and the loss in bands are fast on processors alone."""
    norm = LayerNorm(epsilon=1e-5)
    norm.build((None, None, None, 8))
    assert "FusedBatchNormV3" not in ops_of(norm, (None, None, None, 8))
    labels = np.zeros((1, 8, 12), "int32")
    assert "ScaleAndTranslate" not in ops_of(lambda logits: segmentation_loss(labels, logits), (1, 4, 6, 5))
    assert name_of(kernels.choose()) == "tensorflow" and name_of(kernels.choose(True)) == "training"


def test_a_gpu_takes_sums_not_products_for_the_mean_of_a_training_step(gpu):
    """Products of matrices have 10 bits of mantissa there (TF32), which a mean and a variance are too few for."""
    x, gamma, beta = (
        np.random.default_rng(0).normal(3.0, 2.0, (3, 4, 8)).astype("f4"),
        np.ones(8, "f4"),
        np.zeros(8, "f4"),
    )

    def back(x, gamma, beta):
        with tf.GradientTape() as tape:
            tape.watch((x, gamma, beta))
            normal = kernels.training.layer_norm(x, gamma, beta, 1e-5)
        return normal, *tape.gradient(normal, (x, gamma, beta), tf.sin(x))

    assert "MatMul" not in ops_of(back, (3, 4, 8), (8,), (8,))
    found = back(*map(tf.constant, (x, gamma, beta)))
    with tf.GradientTape() as tape:
        inputs = [tf.constant(value) for value in (x, gamma, beta)]
        tape.watch(inputs)
        plainly = plain.layer_norm(*inputs, 1e-5)
    for one, other in zip(found, (plainly, *tape.gradient(plainly, inputs, tf.sin(inputs[0]))), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_gpu_blends_logits_in_larger_blocks(gpu):
    """A step of 8 pictures of 512 x 512 and 150 classes would wait for 300 blocks."""
    on_gpu = banded_labels._block_values()
    assert on_gpu == banded_labels.GPU_BLOCKS * banded_labels.BLOCK_VALUES
    logits = tf.random.stateless_normal((2, 4, 6, 5), (0, 1))
    expected = plain.resize_bilinear(logits, (16, 24))
    assert np.mean(kernels.labels(logits, (16, 24)) == np.argmax(expected, -1)) > 0.999


def test_another_thread_does_not_see_what_is_traced_here():
    seen = []
    with kernels.portable_ops(), kernels.final_weights():
        thread = threading.Thread(target=lambda: seen.append((kernels.choose(), kernels.constants(lambda: [None]))))
        thread.start()
        thread.join()
    assert seen[0][0] is not TABLES["converters"] and seen[0][1] == [None]  # final weights would ask for numbers


@pytest.mark.parametrize("kinds", [("portable_ops", "portable_ops"), ("portable_ops", "final_weights")])
def test_contexts_that_overlap_leave_nothing_behind(kinds):
    first, second = (getattr(kernels, kind)() for kind in kinds)
    before = kernels.choose()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert kernels.choose() is before
    assert kernels.constants(lambda: [None]) == [None]


def test_a_context_that_ends_elsewhere_is_none_there():
    """As a generator's does that another thread closes."""
    context = kernels.for_xla()
    contextvars.copy_context().run(context.__enter__)
    context.__exit__(None, None, None)
    assert not kernels.special()


@pytest.mark.parametrize("context", [kernels.portable_ops, kernels.final_weights, kernels.for_xla])
def test_graphs_for_something_of_their_own_resize_by_a_plain_op(context):
    def ops_of_resizing():
        run = tf.function(lambda x: kernels.resize_bilinear(x, (8, 8)))
        return {node.op for node in run.get_concrete_function(tf.TensorSpec((1, 4, 4, 3))).graph.as_graph_def().node}

    assert "IdentityN" in ops_of_resizing()  # by which TensorFlow marks a gradient that is written out
    with context():
        assert "IdentityN" not in ops_of_resizing()


def test_an_error_inside_leaves_nothing_behind():
    before = kernels.choose()
    with contextlib.suppress(KeyError), kernels.portable_ops(), kernels.final_weights():
        raise KeyError
    assert kernels.choose() is before and kernels.constants(lambda: [None]) == [None]


def test_with_dropout_or_weights_asked_for_attention_is_plain(monkeypatch):
    taken = []
    for name, table in TABLES.items():
        monkeypatch.setattr(table, "attention", lambda *_, name=name: taken.append(name))
    monkeypatch.setattr(plain, "attention_and_weights", lambda *_: taken.append("with weights") or (None, None))
    no_dropout, dropout = keras.layers.Dropout(0.0), keras.layers.Dropout(0.5)
    for drop, training, with_weights in (
        (no_dropout, True, False),
        (no_dropout, True, True),
        (dropout, True, False),
        (dropout, False, False),
    ):
        kernels.attention(None, None, 1, drop, training, with_weights)
    assert taken == ["training", "with weights", "with weights", name_of(kernels.choose())]


def test_the_loss_is_in_bands_on_a_processor(processor):
    labels = np.zeros((1, 8, 12), "int32")
    assert "ScaleAndTranslate" in ops_of(lambda logits: segmentation_loss(labels, logits), (1, 4, 6, 5))
    ids, weights = tf.zeros((2, 13, 21), tf.int32), tf.ones((2, 13, 21))
    logits = tf.random.stateless_normal((2, 4, 6, 5), (0, 1))
    expected = float(plain.cross_entropy_sum(ids, logits, weights, plain.resize_bilinear))
    assert float(kernels.cross_entropy_sum(ids, logits, weights)) == pytest.approx(expected, rel=1e-5)


def test_xla_takes_the_plain_form_in_training_too(processor, with_onednn):
    with kernels.for_xla():
        assert kernels.choose() is kernels.choose(True) is TABLES["plain"]


def test_xla_labels_logits_of_full_size_for_it_takes_no_loop_of_unknown_length(processor):
    logits = tf.random.stateless_normal((2, 4, 6, 5), (0, 1))
    size = tf.constant([16, 24])
    assert "While" in {
        kind.removeprefix("Stateless") for kind in ops_of(lambda x: kernels.labels(x, size), logits.shape)
    }
    with kernels.for_xla():
        found = tf.function(lambda x: kernels.labels(x, (16, 24)), jit_compile=True)(logits)
    np.testing.assert_array_equal(found, kernels.labels(logits, size))
