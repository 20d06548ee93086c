"""What `tf.distribute` needs of a model: sums over all replicas, and two breaks of Keras mended.

Under a strategy each replica has its share of the global batch. A loss here is such that its mean over the replicas is
the loss of the global batch, however unlabelled pixels are spread; Keras wants it divided by their number.

Keras 3.15's `fit` fails under `MultiWorkerMirroredStrategy` (keras-team/keras#20585), which `Mended` is for:

1. Before training it takes a mean over the replicas of a batch, to learn its shapes, of what has no mean or, where
   shares are unequal, no common shape (in one process too). Where all is built before, no batch is needed.
2. It takes the mean of the logs over axis 0, which scalars have not. They get that axis.

`tests/distributed` fails when Keras has mended both; then `Mended` can go.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops


def replicas() -> int:
    """How many devices, of all workers, learn together."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def total(x):
    """The sum of `x` over all replicas, with its gradient; `x` itself where there is one."""
    if replicas() == 1:
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return x if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, x)


def gathered(x):
    """(B, ...) -> the pictures of all replicas one after the other, with their gradient; `x` itself where there is one.

    Not where XLA compiles the step.
    """
    if replicas() == 1:
        return x
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return x if context is None else context.all_gather(x, 0)


def share_of_mean(value, count, least: float):
    """`value / count`, with both summed over the global batch, as what this replica adds to the mean over replicas.

    `least` stands for a smaller count.
    """
    return value * float(replicas()) / ops.maximum(total(count), least)


def of_share(run: Callable, x, shape: Sequence):
    """`run(x)`, which is of `shape`, also where a replica has no picture: oneDNN's convolutions give that x's shape."""
    import tensorflow as tf

    return tf.cond(tf.shape(x)[0] > 0, lambda: run(x), lambda: tf.zeros(shape, x.dtype))


def scaled(loss):
    """A replica's loss as Keras wants it: summed over the replicas it is the mean.

    Its value is the mean on each, since Keras tells an average in which a replica counts by its pictures.
    """
    if replicas() == 1:
        return loss
    mean = total(ops.stop_gradient(loss)) / float(replicas())
    return (loss + ops.stop_gradient(mean - loss)) / float(replicas())


def clipped(gradients: list, norm: float) -> list:
    """Each replica's gradients (or None) -> equal ones, whose sum over replicas is the whole gradient, not over `norm`.

    Keras clips those of each replica before it adds them up; these it leaves as they are.
    """
    whole = total([gradient for gradient in gradients if gradient is not None])
    length = ops.sqrt(sum(ops.sum(ops.square(ops.cast(gradient, "float32"))) for gradient in whole))
    share = ops.minimum(norm / ops.maximum(length, 1e-30), 1.0) / float(replicas())
    parts = iter(gradient * ops.cast(share, gradient.dtype) for gradient in whole)
    return [None if gradient is None else next(parts) for gradient in gradients]


def several_workers(strategy: Any) -> bool:
    """Whether a strategy joins more than one process."""
    if strategy is None:
        return False
    import tensorflow as tf

    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return False
    spec = strategy.cluster_resolver.cluster_spec()
    return spec is not None and sum(len(spec.task_indices(job)) for job in spec.jobs) > 1


class Mended(keras.Model):
    """A model whose `fit` and `evaluate` work under `MultiWorkerMirroredStrategy` and `MirroredStrategy`."""

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        strategy = self.distribute_strategy if keras.backend.backend() == "tensorflow" else None
        if strategy is None or strategy.num_replicas_in_sync == 1 or iterator is None:
            super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
            return
        for _, _, batches in iterator:
            batch = keras.tree.map_structure(lambda x: strategy.experimental_local_results(x)[0], next(batches))
            break
        super()._maybe_symbolic_build(data_batch=batch)

    def with_axis(self, logs):
        """Scalars by name -> the same, of shape (1,) where Keras takes their mean over axis 0."""
        if keras.backend.backend() != "tensorflow" or not several_workers(self.distribute_strategy):
            return logs
        return {name: ops.reshape(value, (1,)) for name, value in logs.items()}
