"""Each kernel in Keras' words: for any backend and device, and what the other tables are held against."""

import math
from collections.abc import Callable

import keras
from keras import ops

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def at_least(x, side):
    check_sides(x.shape[1:3], side)
    return x


def check_sides(sides, smallest: int) -> None:
    """ValueError where a side that is known is under `smallest` pixels."""
    if any(isinstance(side, int) and side < smallest for side in sides):
        raise ValueError(
            f"pixel_values are {sides[0]} x {sides[1]} pixels, expected at least {smallest} a side: enlarge or pad the "
            "picture."
        )


def by_token(run: Callable, x):
    return run(x)


def dense(x, kernel, bias):
    return ops.matmul(x, kernel) + bias


def layer_norm(x, gamma, beta, epsilon):
    wide = at_least_float32(x)
    centred = wide - ops.mean(wide, axis=-1, keepdims=True)
    scale = ops.rsqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + epsilon)
    return ops.cast(centred * scale * ops.cast(gamma, wide.dtype) + ops.cast(beta, wide.dtype), x.dtype)


def batch_norm(x, gamma, beta, epsilon, total=lambda x: x):
    """`total` gives the sum of `x` over all replicas."""
    wide = at_least_float32(x)
    count = total(ops.cast(ops.prod(ops.shape(x)[:3]), wide.dtype))
    mean = total(ops.sum(wide, axis=(0, 1, 2))) / count
    variance = total(ops.sum(ops.square(wide - mean), axis=(0, 1, 2))) / count
    scale = ops.rsqrt(variance + epsilon) * ops.cast(gamma, wide.dtype)
    normal = ops.cast((wide - mean) * scale + ops.cast(beta, wide.dtype), x.dtype)
    return normal, mean, variance * count / ops.maximum(count - 1.0, 1.0)


def gelu(x):
    """Exact GELU through `erf`, an op that ONNX has (`tf.nn.gelu` writes `Erfc`, which it has not)."""
    return 0.5 * x * (1.0 + ops.erf(x * (1.0 / math.sqrt(2.0))))


ACTIVATIONS: dict[str, Callable] = {
    "gelu": gelu,
    "gelu_new": lambda x: ops.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": ops.relu,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
    "sigmoid": ops.sigmoid,
}


def activation(name, x):
    return ACTIVATIONS[name](x)


def attention(project, x, heads):
    return attention_and_weights(project, x, heads, lambda weights: weights)[0]


def attention_and_weights(project, x, heads, dropout):
    """What `attention` gives, with dropout of its weights, and the weights themselves, (B, heads, N, M)."""
    projected = project(x)
    query, key, value = split_heads(projected, heads)
    weights = ops.cast(attention_weights(query, key), query.dtype)
    mixed = ops.matmul(dropout(weights), value)
    return merge_heads(mixed, ops.shape(projected[0])), weights


def split_heads(projected, heads):
    """Maps of queries, keys, values -> (B, heads, N, d), (B, heads, M, d) twice; keys come divided by sqrt(d).

    They are the smallest operand of the products, so scaling them costs least.
    """
    query, key, value = projected
    channels = query.shape[-1]
    return [heads_of(part, heads) for part in (query, key * (channels // heads) ** -0.5, value)]


def heads_of(x, heads):
    """(B, H, W, C) -> (B, heads, N, d)."""
    shape = (ops.shape(x)[0], -1, heads, x.shape[-1] // heads)
    return ops.transpose(ops.reshape(x, shape), (0, 2, 1, 3))


def merge_heads(mixed, shape):
    """(B, heads, N, d) -> (B, H, W, C), the shape of the queries' map."""
    return ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), shape)


def attention_weights(query, key):
    """(B, heads, N, d), (B, heads, M, d) -> softmax over the keys, (B, heads, N, M), float32 or wider."""
    scores = at_least_float32(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))))
    # A small picture leaves one token to attend to, and Keras warns of a softmax over one.
    return ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores)


def merge(x, side):
    """Blocks that reach over an edge are the means of what they cover."""
    return ops.average_pool(x, side, side, padding="same", data_format="channels_last") if side > 1 else x


def spread(merged, like, side, resize):
    """To whole blocks first, and cut then: in a map of odd sides every value stays where it belongs."""
    if side == 1:
        return merged
    (height, width), blocks = ops.shape(like)[1:3], ops.shape(merged)[1:3]
    whole = resize(merged, [side * block for block in blocks])
    return whole if (height, width) == tuple(whole.shape[1:3]) else whole[:, :height, :width]


def recomputed(run, x):
    return run(x)


def resize_bilinear(x, size):
    if keras.backend.backend() == "tensorflow":  # Keras' own refuses a size that is known only when the graph runs
        return ops.cast(tf.image.resize(x, size), x.dtype)
    return ops.image.resize(x, size, interpolation="bilinear", data_format="channels_last")


def sum_of_products(maps, kernels, bias, resize):
    """The sum of `resize(maps[i] @ kernels[i])` at the first map's size, plus `bias`: (B, H_0, W_0, C)."""
    first, *deeper = [ops.matmul(map_, kernel) for map_, kernel in zip(maps, kernels, strict=True)]
    size = ops.shape(first)[1:3]
    return sum((resize(map_, size) for map_ in deeper), first + bias)


def relu(x):
    """Of what `sum_of_products` gives."""
    return ops.relu(x)


def cross_entropy_sum(ids, logits, weights, resize):
    resized = resize(at_least_float32(logits), ops.shape(ids)[1:3])
    return ops.sum(ops.sparse_categorical_crossentropy(ids, resized, from_logits=True) * weights)


def labels(logits, size, resize):
    return ops.cast(ops.argmax(resize(at_least_float32(logits), size), -1), "int32")


def counts(ids, bins):
    return ops.segment_sum(ops.ones_like(ids), ids, bins)


def at_least_float32(x):
    return ops.cast(x, "float32") if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16") else x
