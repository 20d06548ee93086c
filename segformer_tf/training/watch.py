"""Training that notices: in every step, whether the weights are still numbers and BatchNorm's statistics too.

A loss does not tell: it is of the weights before the step. The look reads each weight once, under 1 % of a step.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.data.splits import Split
from segformer_tf.training.datasets import picture_numbers
from segformer_tf.training.sources import Source


class Watch:
    """Looks at a model in each of its training steps; `step` is the number of steps before the first bad one, or -1."""

    def __init__(self, model: keras.Model, begin: int, source: Source, batch_size: int, seed: int):
        self.model, self.batches = model, (source, batch_size, seed)
        self.made, self.first = tf.Variable(begin, dtype=tf.int64), tf.Variable(-1, dtype=tf.int64)
        train_step = model.train_step
        learned = [weight for weight in model.trainable_weights if weight.dtype == "float32"]
        statistics = [weight for weight in model.non_trainable_weights if "moving_" in weight.path]

        def watched(*args: Any) -> Any:
            before = [tf.identity(weight.value) for weight in statistics]
            logs = train_step(*args)
            for weight, old in zip(statistics, before, strict=True):
                weight.assign(tf.where(tf.math.is_finite(weight.value), weight.value, old))  # as of a skipped step
            total = tf.add_n([tf.reduce_sum(weight.value) for weight in learned])
            bad = ~tf.math.is_finite(total) & (self.first < 0)
            self.first.assign(tf.where(bad, self.made, self.first))
            self.made.assign_add(1)
            return logs

        model.train_step = watched

    @property
    def step(self) -> int:
        return int(self.first.numpy())

    def told(self) -> str:
        """What became no number, in which step, and the pictures of that step's batch where they are files."""
        bad = [weight.path for weight in self.model.weights if not np.isfinite(weight.numpy()).all()]
        text = (
            f"{len(bad)} of {len(self.model.weights)} weights are no numbers since step {self.step + 1}, the first "
            f"{bad[0] if bad else 'for a moment only'}"
        )
        pictures = _pictures(self.step, *self.batches)
        return text + (f"; that step's pictures were {', '.join(pictures)}" if pictures else "")


def _pictures(step: int, source: Source, batch_size: int, seed: int) -> Sequence[str]:
    if not isinstance(source, Split) or source.shards:
        return ()
    numbers = picture_numbers(len(source), seed, np.arange(step * batch_size, (step + 1) * batch_size))
    return [str(source.images[number]) for number in numbers]
