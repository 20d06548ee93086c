"""TensorFlow's own ops, in inference, on any device."""

import math

import tensorflow as tf
from keras import ops

from segformer_tf.models.kernels import plain
from segformer_tf.models.kernels.plain import (  # noqa: F401, the rest of the table
    activation,
    attention_weights,
    by_token,
    layer_norm,
    merge_heads,
    recomputed,
    split_heads,
)

BAND_SCORES = 2**24  # attention scores that exist at one time: 64 MB in float32


def on_gpu() -> bool:
    """Whether TensorFlow will put the ops on a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


def at_least(x, side):
    """A comparison of three numbers in graphs of any size, where TensorFlow's convolutions refuse nothing.

    A replica of several may have no picture of the last batch.
    """
    x = plain.at_least(x, side)
    if side <= 1 or None not in x.shape[:3]:
        return x
    small = f"pixel_values have a side of under {side} pixels: enlarge or pad the picture."
    checks = [tf.debugging.Assert(tf.reduce_all(tf.shape(x)[1:3] >= side), [small])] if None in x.shape[1:3] else []
    if x.shape[0] is None and not tf.distribute.has_strategy():
        none = "pixel_values have no picture, expected at least one: leave the call out."
        checks.append(tf.debugging.Assert(tf.shape(x)[0] > 0, [none]))
    with tf.control_dependencies(checks):
        return tf.identity(x)


def dense(x, kernel, bias):
    """A product of matrices with its bias, which the graph optimizer fuses; Keras' `tensordot` hides the bias."""
    rows = _rows(x, kernel, bias)
    return ops.reshape(rows, (*ops.shape(x)[:-1], rows.shape[-1]))


def _rows(x, kernel, bias):
    """(..., C) -> (N, C')."""
    product = tf.matmul(tf.reshape(x, (-1, x.shape[-1])), kernel)
    # In bfloat16 the gradient of BiasAdd on a processor adds up no further than 256: of 1,920 ones it gives 256.
    return product + bias if product.dtype == tf.bfloat16 else tf.nn.bias_add(product, bias)


def batch_norm(x, gamma, beta, epsilon):
    """One fused op, forth and back; it has no float64."""
    if x.dtype == tf.float64:
        return plain.batch_norm(x, gamma, beta, epsilon)
    gamma, beta = (tf.cast(variable, tf.float32) for variable in (gamma, beta))
    none = tf.zeros((0,))
    fused = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon, is_training=True
    )
    return fused.y, tf.stop_gradient(fused.batch_mean), tf.stop_gradient(fused.batch_variance)


def attention(project, x, heads):
    """For one band of queries after the other where all scores would be many.

    At 1024x1024 the first stage's scores take 268 MB, and the softmax as much again; at 2048x2048 sixteen times that.
    """
    projected = project(x)
    return merge_heads(_in_bands(*split_heads(projected, heads)), ops.shape(projected[0]))


def _attend(query, key, value):
    return tf.matmul(tf.cast(attention_weights(query, key), value.dtype), value)


def _in_bands(query, key, value):
    """(B, heads, N, d), (B, heads, M, d) twice -> (B, heads, N, d)."""
    batch, heads, queries, size = (tf.shape(query)[axis] for axis in range(4))
    rows = tf.maximum(BAND_SCORES // tf.maximum(batch * heads * tf.shape(key)[2], 1), 1)
    bands = -(-queries // rows)

    def banded():
        def band(i, done):
            part = _attend(query[:, :, i * rows : (i + 1) * rows], key, value)
            return i + 1, done.write(i, tf.transpose(part, (2, 0, 1, 3)))  # (rows, B, heads, d)

        parts = tf.TensorArray(query.dtype, bands, infer_shape=False, element_shape=(None, None, *query.shape[1::2]))
        loop = tf.while_loop(lambda i, _: i < bands, band, (0, parts), parallel_iterations=1)
        return tf.reshape(tf.transpose(loop[1].concat(), (1, 2, 0, 3)), (batch, heads, queries, size))

    sides = (*query.shape[:3], key.shape[2])
    if None in sides:
        return tf.cond(bands > 1, banded, lambda: _attend(query, key, value))
    return banded() if math.prod(sides) > BAND_SCORES else _attend(query, key, value)


def sum_of_products(maps, kernels, bias, resize):
    """In one pass over the result instead of one a summand: saves a fifth of b2's head (maps of 768 channels).

    TensorFlow fuses a product of matrices with its bias and one summand; the others it adds in a single pass. `relu` of
    this table must follow.
    """
    first, *deeper = maps
    size = ops.shape(first)[1:3]
    products = [ops.matmul(map_, kernel) for map_, kernel in zip(deeper, kernels[1:], strict=True)]
    others = [resize(product, size) for product in products]
    rows = _rows(first, kernels[0], bias)
    if others:
        rows = rows + tf.reshape(tf.add_n(others), (-1, rows.shape[-1]))
    return ops.reshape(rows, (*ops.shape(first)[:-1], rows.shape[-1]))


def resize_bilinear(x, size):
    """With derivatives of any order. TensorFlow's own has the first, and of more it gives none without a word."""

    @tf.custom_gradient
    def resize(x):
        @tf.custom_gradient
        def back(upstream):
            upstream = tf.cast(upstream, tf.float32)
            gradient = tf.raw_ops.ResizeBilinearGrad(grads=upstream, original_image=x, half_pixel_centers=True)
            return gradient, resize

        return plain.resize_bilinear(x, size), back

    return resize(x)


def relu(x):
    """As a maximum: TensorFlow's graph optimizer gives up where a product, its bias, a sum and `Relu` meet."""
    return ops.maximum(x, 0.0)


def counts(ids, bins):
    # A tenth of `segment_sum`'s time.
    return tf.raw_ops.DenseBincount(input=ids, size=bins, weights=tf.constant([], tf.int32), binary_output=False)
