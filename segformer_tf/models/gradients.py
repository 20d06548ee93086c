"""Training's forms of norms, attention and Mix-FFN, on TensorFlow: gradients written out, so that little is kept for them.

What a gradient needs and can be made again from small maps is made again when it is due. Each function gives the numbers
of the plain layers, up to rounding.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from segformer_tf.models.elements import resize_bilinear


def layer_norm(x, gamma, beta, epsilon):
    """`(..., C) -> (..., C)`, sums over channels as products: half the time of Keras' way and back."""
    channels = x.shape[-1]

    @tf.custom_gradient
    def normalise(x, gamma, beta):
        rows = tf.cast(tf.reshape(x, (-1, channels)), tf.float32)
        mean_of = tf.constant(1.0 / channels, shape=(channels, 1))
        centred = rows - tf.matmul(rows, mean_of)
        scale = tf.math.rsqrt(tf.matmul(centred * centred, mean_of) + epsilon)  # (N, 1)
        normal = centred * scale

        def gradient(upstream):
            upstream = tf.cast(tf.reshape(upstream, (-1, channels)), tf.float32)
            product = upstream * normal
            mean_by_gamma = tf.reshape(gamma, (channels, 1)) / channels
            x_gradient = upstream * gamma - tf.matmul(upstream, mean_by_gamma)
            x_gradient = (x_gradient - normal * tf.matmul(product, mean_by_gamma)) * scale
            sums = tf.reduce_sum(product, 0), tf.reduce_sum(upstream, 0)
            return tf.cast(tf.reshape(x_gradient, tf.shape(x)), x.dtype), *sums

        return tf.cast(tf.reshape(normal * gamma + beta, tf.shape(x)), x.dtype), gradient

    return normalise(x, tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta))


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


def made_again(run: Callable, x):
    """`run(x)`, of which `x` alone is kept: what the gradient needs is made a second time when it is due.

    Around Mix-FFN it saves five maps a layer, four of them with its hidden channels, for a product and a depthwise
    convolution more. `run` may call Keras layers, and must draw no random numbers.
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


def attention(project: Callable, x):
    """Softmax of query times key, times value: `x (B, ...) -> (B, heads, N, d)`.

    `project(x)` gives them, (B, heads, N, d), (B, heads, M, d) twice. Keeps `x` and the result, neither the three nor the
    weights (B, heads, N, M). Of softmax' gradient, the sum over M keys is one over d channels, of the result times its
    gradient (Dao et al. 2022, FlashAttention): two passes over the weights less.
    """

    @tf.custom_gradient
    def attend(x):
        def weights_of(query, key):
            return tf.nn.softmax(tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32))

        query, key, value = project(x)
        result = tf.matmul(tf.cast(weights_of(query, key), value.dtype), value)

        def gradient(upstream, variables=()):
            again = _after(upstream, x)
            with tf.GradientTape() as tape:
                tape.watch(again)
                query, key, value = projected = project(again)
            weights = weights_of(query, key)
            product = tf.cast(upstream, tf.float32) * tf.cast(result, tf.float32)
            sums = tf.reduce_sum(product, -1, keepdims=True)  # (B, heads, N, 1)
            back = tf.cast(tf.matmul(upstream, value, transpose_b=True), tf.float32)
            back = tf.cast(weights * (back - sums), query.dtype)
            gradients = (
                tf.matmul(back, key),
                tf.matmul(back, query, transpose_a=True),
                tf.matmul(tf.cast(weights, value.dtype), upstream, transpose_a=True),
            )
            return tape.gradient(projected, (again, variables), gradients)

        return result, gradient

    return attend(x)


def sum_of_resized(x, maps, size):
    """`x` and each of the maps resized to its size, one after the other, so that two maps of that size exist, not five."""
    for map_ in maps:
        x = x + resize_bilinear(_after(x, map_), size)
    return x


def _after(earlier, x):
    """`x`, not before `earlier` is there."""
    with tf.control_dependencies([earlier]):
        return tf.identity(x)
