"""Training on TensorFlow: gradients written out, so that little is kept for them.

What a gradient needs and can be made again from small maps is made again when it is due. Each function gives the
numbers of `plain`, up to rounding.
"""

import math

import tensorflow as tf
from keras import ops

from segformer_tf.models.kernels import plain
from segformer_tf.models.kernels.tensorflow import (  # noqa: F401, the rest of the table
    at_least,
    batch_norm,
    by_token,
    dense,
    on_gpu,
)


def layer_norm(x, gamma, beta, epsilon):
    """`(..., C) -> (..., C)`, sums over channels as products: half the time of Keras' way and back on a processor.

    A GPU's products have 10 bits of mantissa (TF32), too few for a mean: there sums are sums.
    """
    if x.dtype == tf.float64:
        return plain.layer_norm(x, gamma, beta, epsilon)
    channels = x.shape[-1]

    def mean(rows):
        """(N, C) -> (N, 1)."""
        if on_gpu():
            return tf.reduce_mean(rows, -1, keepdims=True)
        return tf.matmul(rows, tf.constant(1.0 / channels, shape=(channels, 1)))

    def mean_by(gamma, rows):
        """The mean of `rows * gamma`."""
        if on_gpu():
            return tf.reduce_mean(rows * gamma, -1, keepdims=True)
        return tf.matmul(rows, tf.reshape(gamma, (channels, 1)) / channels)

    @tf.custom_gradient
    def normalise(x, gamma, beta):
        rows = tf.cast(tf.reshape(x, (-1, channels)), tf.float32)
        centred = rows - mean(rows)
        scale = tf.math.rsqrt(mean(centred * centred) + epsilon)  # (N, 1)
        normal = centred * scale

        def gradient(upstream):
            upstream = tf.cast(tf.reshape(upstream, (-1, channels)), tf.float32)
            product = upstream * normal
            x_gradient = upstream * gamma - mean_by(gamma, upstream)
            x_gradient = (x_gradient - normal * mean_by(gamma, product)) * scale
            sums = tf.reduce_sum(product, 0), tf.reduce_sum(upstream, 0)
            return tf.cast(tf.reshape(x_gradient, tf.shape(x)), x.dtype), *sums

        return tf.cast(tf.reshape(normal * gamma + beta, tf.shape(x)), x.dtype), gradient

    return normalise(x, tf.cast(gamma, tf.float32), tf.cast(beta, tf.float32))


def activation(name, x):
    return gelu(x) if name == "gelu" else plain.activation(name, x)


def relu(x):
    """Keeps what is no number: TensorFlow joins a batch norm and its ReLU to one op, which makes 0 of it."""

    @tf.custom_gradient
    def activate(x):
        result = tf.maximum(x, tf.zeros((), x.dtype))
        return result, lambda upstream: tf.raw_ops.ReluGrad(gradients=upstream, features=result)

    return activate(x)


def gelu(x):
    """Exact GELU whose gradient needs its input alone, where TensorFlow keeps four maps."""

    @tf.custom_gradient
    def activate(x):
        def gradient(upstream):
            density = tf.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))
            return upstream * (_cumulative(x) + x * density)

        return x * _cumulative(x), gradient

    return activate(x)


def _cumulative(x):
    return 0.5 + 0.5 * tf.math.erf(x * (1.0 / math.sqrt(2.0)))


def recomputed(run, x):
    """`run(x)`, of which `x` alone is kept: what the gradient needs is made a second time when it is due.

    Around Mix-FFN it saves five maps a layer, four of them with its hidden channels, for a product and a depthwise
    convolution more. `run` may call Keras layers, and must draw no random numbers.

    `keras.remat` gives the same loss at the same peak, and took longer (docs/notes/benchmarks.md).
    """

    @tf.custom_gradient
    def call(x):
        def gradient(upstream, variables=()):
            again = _after(upstream, x)
            with tf.GradientTape() as tape:
                tape.watch(again)
                result = run(again)
            return tape.gradient(result, (again, variables), upstream)

        return run(x), gradient

    return call(x)


def attention(project, x, heads):
    """Keeps `x` and the result, neither queries, keys and values nor the weights (B, heads, N, M).

    Of softmax' gradient, the sum over M keys is one over d channels, of the result times its gradient (Dao et al. 2022,
    FlashAttention): two passes over the weights less.
    """

    def parts_of(x):
        projected = project(x)
        return plain.split_heads(projected, heads), ops.shape(projected[0])

    @tf.custom_gradient
    def attend(x):
        (query, key, value), shape = parts_of(x)
        result = tf.matmul(tf.cast(plain.attention_weights(query, key), value.dtype), value)

        def gradient(upstream, variables=()):
            upstream = plain.heads_of(upstream, heads)
            again = _after(upstream, x)
            with tf.GradientTape() as tape:
                tape.watch(again)
                query, key, value = parts = parts_of(again)[0]
            weights = plain.attention_weights(query, key)
            product = tf.cast(upstream, weights.dtype) * tf.cast(result, weights.dtype)
            sums = tf.reduce_sum(product, -1, keepdims=True)  # (B, heads, N, 1)
            back = tf.cast(tf.matmul(upstream, value, transpose_b=True), weights.dtype)
            back = tf.cast(weights * (back - sums), query.dtype)
            gradients = (
                tf.matmul(back, key),
                tf.matmul(back, query, transpose_a=True),
                tf.matmul(tf.cast(weights, value.dtype), upstream, transpose_a=True),
            )
            return tape.gradient(parts, (again, variables), gradients)

        return plain.merge_heads(result, shape), gradient

    return attend(x)


def sum_of_products(maps, kernels, bias, resize):
    """One resized map added after the other, so that two maps of full size exist, not five."""
    first, *deeper = maps
    products = [ops.matmul(map_, kernel) for map_, kernel in zip(deeper, kernels[1:], strict=True)]
    fused = dense(first, kernels[0], bias)
    size = ops.shape(fused)[1:3]
    for product in products:
        fused = fused + resize(_after(fused, product), size)
    return fused


def _after(earlier, x):
    """`x`, not before `earlier` is there."""
    with tf.control_dependencies([earlier]):
        return tf.identity(x)
