"""How the parts of the models are computed: one choice, made here, between tables with the same names.

`plain` is in Keras' words and runs anywhere. `converters` writes ops that ONNX, OpenVINO and LiteRT read. On
TensorFlow, `tensorflow` has forms for any device, `onednn` those that oneDNN is fast at, `training` those whose
gradient keeps little. A new way to compute a part is a function in one table; a test holds each table against `plain`,
values and gradients.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

import keras

from segformer_tf.models.kernels import converters, head, kept_labels, plain

TABLES: dict[str, ModuleType] = {"plain": plain, "converters": converters}
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    from segformer_tf.models.kernels import banded_labels, banded_loss, onednn, tensorflow, training

    TABLES |= {"tensorflow": tensorflow, "onednn": onednn, "training": training}


class Tracing(NamedTuple):
    """What graphs are being traced for: how many contexts of each kind are open in this thread or task."""

    portable: int = 0
    final: int = 0
    xla: int = 0


_NOTHING = Tracing()
_tracing = contextvars.ContextVar("tracing", default=_NOTHING)


@contextlib.contextmanager
def _traced(kind: str) -> Iterator[None]:
    # Counted, not set back to what was: contexts may overlap, and end in the order in which they began.
    _tracing.set(_tracing.get()._replace(**{kind: getattr(_tracing.get(), kind) + 1}))
    try:
        yield
    finally:
        _tracing.set(_tracing.get()._replace(**{kind: max(getattr(_tracing.get(), kind) - 1, 0)}))


def portable_ops() -> contextlib.AbstractContextManager[None]:
    """Graphs traced inside are made of ops that every converter reads, also where TensorFlow has faster ones."""
    return _traced("portable")


def final_weights() -> contextlib.AbstractContextManager[None]:
    """Graphs traced inside are for inference with the weights as they are: products of weights are made now, once."""
    return _traced("final")


def for_xla() -> contextlib.AbstractContextManager[None]:
    """Graphs traced inside are compiled by XLA, which has no oneDNN kernels and takes no loops of unknown length."""
    return _traced("xla")


def special() -> bool:
    """Whether what is traced now is for something of its own, as those three say, and not for other calls."""
    return any(_tracing.get())


def choose(in_training: bool | None = None) -> ModuleType:
    """The table for the graph that is being traced, or the call that is being made."""
    if _tracing.get().portable:
        return converters
    if keras.backend.backend() != "tensorflow" or _tracing.get().xla:
        return plain
    if in_training:
        return training
    return onednn if not tensorflow.on_gpu() and onednn.fuses_layer_norm() else tensorflow


def at_least(x, side: int):
    """`x`, (B, H, W, C); an error where its height or width is under `side`, told now or as the graph runs.

    Graphs of unknown size that converters or XLA read, and other backends than TensorFlow, tell nothing.
    """
    return choose().at_least(x, side)


def by_token(run: Callable, x):
    """`run(x)`, where `run` treats all tokens of the map alike: `(B, H, W, C) -> (B, H, W, C')`."""
    return choose().by_token(run, x)


def dense(x, kernel, bias):
    """`x @ kernel + bias`: `(..., C) -> (..., C')`."""
    return choose().dense(x, kernel, bias)


def layer_norm(x, gamma, beta, epsilon: float, training: bool | None = None):
    """Mean 0 and variance 1 over the last axis, times `gamma`, plus `beta`; statistics in float32."""
    return choose(training).layer_norm(x, gamma, beta, epsilon)


def batch_norm(x, gamma, beta, epsilon: float, total: Callable | None = None):
    """Training's batch norm: `(B, H, W, C) -> (B, H, W, C)`, the means (C,), the unbiased variances (C,).

    Those of all replicas with `total`, which gives the sum over them, as the paper's SyncBN: in the plain form.
    """
    if total is not None:
        return plain.batch_norm(x, gamma, beta, epsilon, total)
    return choose(True).batch_norm(x, gamma, beta, epsilon)


def activation(name: str, x, training: bool | None = None):
    """The activation function that a config calls `name`, of `x`."""
    return choose(training).activation(name, x)


def attention(project: Callable, x, heads: int, dropout: Callable, training: bool | None, with_weights: bool):
    """softmax(Q K^T / sqrt(d)) V of each head: `(B, H, W, C) -> (B, H, W, C)`, the weights (B, heads, N, M) or None.

    `project(x)` gives the maps of queries (B, H, W, C), keys and values (B, h, w, C); `dropout` works on the weights.
    A smaller map of queries gives a result of its size.
    Dropout's random numbers are not made a second time, so with them, or where the weights are asked for, the plain
    form is taken.
    """
    if not (with_weights or (training and dropout.rate)):
        return choose(training).attention(project, x, heads), None
    mixed, weights = plain.attention_and_weights(project, x, heads, functools.partial(dropout, training=training))
    return mixed, (weights if with_weights else None)


def merge(x, side: int):
    """The means of blocks of side x side: `(B, H, W, C) -> (B, ceil(H / side), ceil(W / side), C)`."""
    return plain.merge(x, side)


def spread(merged, like, side: int):
    """What `merge` made of a map, or a product of it, resized bilinearly to the sides of `like`."""
    return plain.spread(merged, like, side, resize_bilinear)


def recomputed(run: Callable, x, training: bool | None = None, draws: bool = False):
    """`run(x, training=training)`, of which training keeps `x` alone and makes the rest again for the gradient.

    Not if it `draws` random numbers.
    """
    table = plain if draws else choose(training)
    return table.recomputed(lambda x: run(x, training=training), x)


def resize_bilinear(x, size):
    """Bilinear with half-pixel centres and no antialiasing: `(B, H, W, C) -> (B, *size, C)`, in the dtype of `x`.

    With derivatives of any order, except in files.
    """
    plainly = keras.backend.backend() != "tensorflow" or special()
    return (plain if plainly else tensorflow).resize_bilinear(x, size)


def fuse(maps: list, linear_c: list, linear_fuse, norm, training: bool | None = None):
    """`relu(norm(linear_fuse(concatenate(resize(linear_c[i](maps[i]))))))`, (B, H_0, W_0, C): as `head.fold` says.

    As it is written above where a layer has an activation or a `call` of others, or is quantized: an int8 kernel
    cannot be multiplied into another.
    """
    if not all(map(head.foldable, [*linear_c, linear_fuse, norm])):
        return head.published(maps, linear_c, linear_fuse, norm, resize_bilinear, training)
    normalise, table = bool(training) and norm.trainable, choose(training)
    bias, *kernels = constants(lambda: head.fold(linear_c, linear_fuse, None if normalise else norm))
    fused = table.sum_of_products(maps, kernels, bias, resize_bilinear)
    return table.relu(norm(fused, training=training) if normalise else fused)


def constants(make: Callable) -> list:
    """The tensors of `make()`, which depend on weights alone: ops of the graph, or inside `final_weights()` constants.

    The products of b2's head take 3 % of its time.
    """
    if not _tracing.get().final or keras.backend.backend() != "tensorflow":
        return make()
    with tf.init_scope():
        values = [tensor.numpy() for tensor in make()]
    return [tf.constant(value) for value in values]


def cross_entropy_sum(ids, logits, weights):
    """Sum of `weights * cross-entropy` of logits resized to the ids' size; (B, H, W), (B, h, w, C), (B, H, W) -> ().

    In bands of rows on TensorFlow's CPU, where the band's kernel is; on a GPU, and by XLA, the plain form. The bands
    also find the likeliest class of each pixel where the metric of the same `step` wants it.
    """
    if keras.backend.backend() != "tensorflow" or tensorflow.on_gpu() or _tracing.get().xla:
        return plain.cross_entropy_sum(ids, logits, weights, resize_bilinear)
    total, likeliest = banded_loss.cross_entropy_sum(ids, logits, weights, kept_labels.wants_labels())
    kept_labels.keep(logits, likeliest)
    return total


def labels(logits, size):
    """The likeliest class of each pixel of logits resized bilinearly: `(B, h, w, C), (H, W) -> (B, H, W)` int32.

    On TensorFlow in blocks of bounded memory, of which XLA does not take an unknown number.
    """
    if keras.backend.backend() != "tensorflow" or _tracing.get().xla:
        return plain.labels(logits, size, resize_bilinear)
    return banded_labels.labels(logits, size)


def counts(ids, bins: int):
    """How often each of 0 to bins - 1 is among `ids`, (N,) int32 -> (bins,) int32; ids are not negative."""
    if keras.backend.backend() != "tensorflow" or _tracing.get().xla:
        return plain.counts(ids, bins)
    return tensorflow.counts(ids, bins)
