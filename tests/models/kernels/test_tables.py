"""Each table beside `plain`: values and gradients, in every dtype, tiny and large, of known and of changing size."""

import functools
import types

import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf.models import kernels
from segformer_tf.models.kernels import TABLES, plain

TOLERANCE = {"float32": 2e-5, "bfloat16": 4e-2, "float16": 1e-2}
SIZES = {"tiny": (1, 2, 3), "large": (2, 24, 40)}
CHANNELS, HEADS, REDUCED = 16, 2, 2


def attend(table, x, query, key, value):
    def project(x):
        reduced = x[:, ::REDUCED, ::REDUCED]
        return [
            table.dense(map_, kernel, tf.zeros(CHANNELS, x.dtype))
            for map_, kernel in zip((x, reduced, reduced), (query, key, value), strict=True)
        ]

    return table.attention(project, x, HEADS)


def mix(table, x, kernel, bias):
    return table.recomputed(lambda x: table.activation("gelu", table.dense(x, kernel, bias)), x)


def fuse(table, x, kernel, other, last, bias):
    return table.relu(
        table.sum_of_products([x, x[:, ::2, ::2], x[:, :1, :1]], [kernel, other, last], bias, kernels.resize_bilinear)
    )


def sums_of_rows(table, x):
    return table.by_token(lambda x: tf.cumsum(x, axis=-1), x)


# How a kernel is called on a map and what else it takes: "m" a matrix, "v" a vector, "p" a vector of positive numbers.
CASES = {
    "at_least": (lambda table, x: table.at_least(x, 2), ""),
    "by_token": (sums_of_rows, ""),
    "dense": (lambda table, x, kernel, bias: table.dense(x, kernel, bias), "mv"),
    "layer_norm": (lambda table, x, gamma, beta: table.layer_norm(x, gamma, beta, 1e-5), "pv"),
    "batch_norm": (lambda table, x, gamma, beta: table.batch_norm(x, gamma, beta, 1e-5), "pv"),
    "activation": (lambda table, x: table.activation("gelu", x), ""),
    "attention": (attend, "mmm"),
    "recomputed": (mix, "mv"),
    "sum_of_products": (fuse, "mmmv"),
    "relu": (lambda table, x: table.relu(x), ""),
}  # fmt: skip


def arrays(case, size, dtype):
    """The map and the weights of a case, rounded to the dtype."""
    random = np.random.default_rng(len(case))
    makers = {
        "m": lambda: random.normal(scale=CHANNELS**-0.5, size=(CHANNELS, CHANNELS)),
        "v": lambda: random.normal(size=CHANNELS),
        "p": lambda: random.uniform(0.5, 2.0, CHANNELS),
    }
    inputs = [random.normal(0.3, 1.0, (*SIZES[size], CHANNELS)), *(makers[kind]() for kind in CASES[case][1])]
    return [tf.cast(x, dtype) for x in inputs]


def values_and_gradients(table, case, inputs, dynamic):
    """What a graph gives, and the gradients of its first result by the map and every weight, as float32."""
    map_, *weights = inputs
    weights = [tf.Variable(weight) for weight in weights]
    shape = (None, None, None, CHANNELS) if dynamic else map_.shape

    @tf.function(input_signature=[tf.TensorSpec(shape, map_.dtype)])
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            first, *others = tf.nest.flatten(CASES[case][0](table, x, *weights))
            upstream = 1.0 + tf.reshape(tf.cos(tf.range(tf.size(first), dtype=tf.float32)), tf.shape(first))
            total = tf.reduce_sum(tf.cast(first, tf.float32) * upstream)
        results = first, *others, *tape.gradient(total, [x, *weights])
        return [tf.cast(y, tf.float32) for y in results]

    return run(map_)


@functools.cache
def reference(case, size, dtype):
    """`plain` in float32, on the numbers that the dtype can hold."""
    return values_and_gradients(plain, case, [tf.cast(x, tf.float32) for x in arrays(case, size, dtype)], False)


OTHERS = [
    (name, case)
    for name, table in TABLES.items()
    for case in CASES
    if name == "plain" or getattr(table, case) is not getattr(plain, case)
]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize(("table", "case"), OTHERS)
def test_a_kernel_gives_plains_values_and_gradients(table, case, dynamic, size, dtype):
    found = values_and_gradients(TABLES[table], case, arrays(case, size, dtype), dynamic)
    for ours, expected in zip(found, reference(case, size, dtype), strict=True):
        assert relative_difference(ours, expected) < TOLERANCE[dtype]


@pytest.mark.parametrize("case", ["layer_norm", "batch_norm"])
@pytest.mark.parametrize("table", TABLES)
def test_norms_of_64_bits_are_computed_in_64_bits(table, case):
    x, gamma, beta = arrays(case, "tiny", "float64")
    found = tf.nest.flatten(CASES[case][0](TABLES[table], x, gamma, beta))[0]
    axes = -1 if case == "layer_norm" else (0, 1, 2)
    mean, variance = (function(x.numpy(), axis=axes, keepdims=True) for function in (np.mean, np.var))
    assert relative_difference(found, (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta) < 1e-12


@pytest.mark.parametrize("case", ["layer_norm", "batch_norm"])
@pytest.mark.parametrize("table", TABLES)
def test_statistics_of_16_bits_are_taken_in_32(table, case):
    """Of numbers of which 16 bits keep no sum: their mean is ten times their spread."""
    random = np.random.default_rng(0)
    x = tf.cast(random.normal(100.0, 10.0, (1, 5, 7, CHANNELS)), tf.bfloat16)
    ones, zeros = tf.ones(CHANNELS, tf.bfloat16), tf.zeros(CHANNELS, tf.bfloat16)
    found = tf.nest.flatten(CASES[case][0](TABLES[table], x, ones, zeros))[0]
    wide, axes = np.asarray(x, "float64"), -1 if case == "layer_norm" else (0, 1, 2)
    mean, variance = (function(wide, axis=axes, keepdims=True) for function in (np.mean, np.var))
    assert relative_difference(tf.cast(found, "float32"), (wide - mean) / np.sqrt(variance)) < 4e-3


def second_derivatives(table, case):
    """Of a sum of the gradients by the map and every weight, with signs that differ, by each of them."""
    map_, *weights = arrays(case, "tiny", "float32")
    sources = [map_, *map(tf.Variable, weights)]
    with tf.GradientTape() as outer:
        outer.watch(map_)
        with tf.GradientTape() as inner:
            inner.watch(map_)
            total = tf.reduce_sum(tf.sin(tf.nest.flatten(CASES[case][0](table, *sources))[0]))
        gradients = inner.gradient(total, sources)
        total = sum(
            tf.reduce_sum(each * tf.reshape(tf.sin(1.0 + tf.range(tf.size(each), dtype=tf.float32)), each.shape))
            for each in gradients
        )
    return outer.gradient(total, sources)


@pytest.mark.parametrize(("table", "case"), OTHERS)
def test_a_kernel_gives_plains_second_derivatives(table, case):
    for found, expected in zip(second_derivatives(TABLES[table], case), second_derivatives(plain, case), strict=True):
        assert relative_difference(found, expected) < 1e-4


def test_every_table_has_the_same_names():
    for name, table in TABLES.items():
        missing = [case for case in CASES if not callable(getattr(table, case, None))]
        assert not missing, f"{name} lacks {missing}"
        assert isinstance(table, types.ModuleType) and table.__doc__
    assert set(TABLES) == {"plain", "converters", "tensorflow", "onednn", "training"}
    assert all(callable(getattr(kernels, case)) for case in set(CASES) - {"sum_of_products", "relu"})
