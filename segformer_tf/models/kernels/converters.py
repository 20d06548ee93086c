"""Ops that ONNX, OpenVINO and LiteRT read, in the words in which their optimizers find a norm."""

from keras import ops

from segformer_tf.models.kernels import plain
from segformer_tf.models.kernels.plain import (  # noqa: F401, the rest of the table
    at_least,
    attention,
    batch_norm,
    recomputed,
    relu,
)


def by_token(run, x):
    """`run(x)` on rows of tokens: `(B, H, W, C) -> (B, 1, N, C) -> (B, H, W, C')`.

    OpenVINO would turn what works on maps channels-first, to meet the convolutions, and copy maps forth and back for
    it; it does not look through a reshape. It saves two fifths of b0's and b2's time there (one picture, known shapes;
    measured once).
    """
    if len(x.shape) != 4:
        return run(x)
    shape = ops.shape(x)
    result = run(ops.reshape(x, (shape[0], 1, -1, shape[3])))
    return ops.reshape(result, (*shape[:3], result.shape[-1]))


def dense(x, kernel, bias):
    return by_token(lambda x: plain.dense(x, kernel, bias), x)


def layer_norm(x, gamma, beta, epsilon):
    """Mean, centre, power, mean, root, divide: so OpenVINO and ONNX Runtime find a norm, and compute it as one op."""

    def normalise(x):
        wide = plain.at_least_float32(x)
        centred = wide - ops.mean(wide, axis=(-1,), keepdims=True)
        deviation = ops.sqrt(ops.mean(ops.power(centred, 2.0), axis=(-1,), keepdims=True) + epsilon)
        normal = centred / deviation
        return ops.cast(normal * ops.cast(gamma, wide.dtype) + ops.cast(beta, wide.dtype), x.dtype)

    return by_token(normalise, x)


def activation(name, x):
    return by_token(plain.gelu, x) if name == "gelu" else plain.activation(name, x)


def sum_of_products(maps, kernels, bias, resize):
    (first, *deeper), (kernel, *others) = maps, kernels
    size = ops.shape(first)[1:3]
    products = [ops.matmul(map_, kernel_) for map_, kernel_ in zip(deeper, others, strict=True)]
    resized = [resize(product, size) for product in products]

    def add_up(x):
        product = plain.dense(x, kernel, bias)
        return sum((ops.reshape(map_, ops.shape(product)) for map_ in resized), product)

    return by_token(add_up, first)
