"""What oneDNN, TensorFlow's library for processors, is fast at; the rest is `tensorflow`'s."""

import functools

import tensorflow as tf

from segformer_tf.models.kernels import plain
from segformer_tf.models.kernels.tensorflow import (  # noqa: F401, the rest of the table
    activation,
    at_least,
    attention,
    batch_norm,
    by_token,
    dense,
    recomputed,
    relu,
    sum_of_products,
)


def layer_norm(x, gamma, beta, epsilon):
    """In the form that TensorFlow's graph optimizer replaces by oneDNN's kernel (`_MklLayerNorm`).

    One pass over the map, where the plain form takes six: about 5 % of b2. Every token is a channel of a batch norm in
    NCHW, whose own scale and offset do nothing.
    """
    if x.dtype == tf.float64:
        return plain.layer_norm(x, gamma, beta, epsilon)
    shape = tf.shape(x)
    tokens = tf.reduce_prod(shape[:-1])
    rows = tf.reshape(x, (shape[0], -1, x.shape[-1]))
    ones, zeros = (tf.fill((tokens,), tf.constant(value, tf.float32)) for value in (1.0, 0.0))
    normal = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(rows, (1, tokens, x.shape[-1], 1)),
        scale=ones,
        offset=zeros,
        mean=tf.zeros((0,)),
        variance=tf.zeros((0,)),
        epsilon=epsilon,
        data_format="NCHW",
        is_training=True,
    ).y
    normal = tf.reshape(normal, tf.shape(rows))
    return tf.reshape(normal * tf.cast(gamma, x.dtype) + tf.cast(beta, x.dtype), shape)


@functools.cache
def fuses_layer_norm() -> bool:
    """Whether TensorFlow on this machine runs `layer_norm` as oneDNN's kernel, tried once in a graph of its own.

    Where it does not (oneDNN is off on processors without AVX-512 VNNI unless `TF_ENABLE_ONEDNN_OPTS=1`, or a
    TensorFlow whose optimizer does not find the form) the form takes twice the time of the plain one.
    """
    return "_MklLayerNorm" in ops_that_ran(layer_norm)


def ops_that_ran(norm) -> set[str]:
    """The kinds of op in TensorFlow's optimized graph of `norm` for maps of any size."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, None, None, 8))
        y = norm(x, 2.0 * tf.ones(8), tf.ones(8), 1e-5)
        metadata = v1.RunMetadata()
        options = v1.RunOptions(output_partition_graphs=True)
        session.run(y, {x: [[[[1.0] * 8]]]}, options=options, run_metadata=metadata)
    return {node.op for graph in metadata.partition_graphs for node in graph.node}
