"""The head's algebra, which is every table's: linear, resize, concatenate and fuse as one product a stage."""

import keras
from keras import ops


def published(maps, linear_c, linear_fuse, norm, resize, training=None):
    """As in the paper: each map through its linear layer, resized, concatenated deepest first, fused, normed, ReLU."""
    size = ops.shape(maps[0])[1:3]
    resized = [resize(linear(map_), size) for linear, map_ in zip(linear_c, maps, strict=True)]
    return ops.relu(norm(linear_fuse(ops.concatenate(resized[::-1], axis=-1)), training=training))


def foldable(layer) -> bool:
    """Whether a part of the head computes what its weights say: linear, not quantized, without a `call` of others."""
    own, kind = vars(layer), type(layer)
    return (
        kind.call.__module__.startswith(("keras.", "segformer_tf."))
        and not {"call", "__call__"} & own.keys()
        and own.get("activity_regularizer") is None
        and own.get("activation") in (None, keras.activations.linear)
        and not layer.quantization_mode
    )


def fold(linear_c, linear_fuse, norm) -> list:
    """The bias (C,), and for each stage the kernel (C_i, C) that takes its map at its own size to its share of the sum.

    All is linear up to the BatchNorm, and bilinear resizing is linear and keeps constants. So each map may be
    multiplied by `linear_c[i] @ (its rows of linear_fuse)` first, then resized, then added: the same variables,
    gradients and numbers up to rounding, without the map of stages * C channels; 38.6 of b2's 62.4 GMAC become 1.5.
    With `norm` (None in training), its running statistics are multiplied in too.
    """
    rows = ops.split(linear_fuse.kernel, len(linear_c), axis=0)[::-1]  # the deepest stage's come first
    pairs = list(zip(linear_c, rows, strict=True))
    kernels = [ops.matmul(linear.kernel, row) for linear, row in pairs]
    biases = [ops.matmul(ops.expand_dims(linear.bias, 0), row)[0] for linear, row in pairs]
    bias = sum(biases[1:], biases[0])
    if norm is None:
        return [bias, *kernels]
    scale = ops.cast(norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon), bias.dtype)
    shift = ops.cast(norm.beta, bias.dtype)
    return [(bias - ops.cast(norm.moving_mean, bias.dtype)) * scale + shift, *(kernel * scale for kernel in kernels)]
