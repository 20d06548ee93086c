"""Scores from a streaming confusion matrix, as the field defines them: absent classes are left out of means."""

from typing import Any

import keras
import numpy as np
from keras import ops


def confusion(labels, predictions, num_labels: int, ignore_index: int = 255):
    """(num_labels, num_labels) int64 counts of pixels that are not ignored: row the truth, column the prediction."""
    labels, predictions = (np.asarray(ids).reshape(-1).astype(np.int64) for ids in (labels, predictions))
    valid = labels != ignore_index
    pairs = labels[valid] * num_labels + predictions[valid]
    return np.bincount(pairs, minlength=num_labels**2).reshape(num_labels, num_labels)


def scores(matrix) -> dict[str, Any]:
    """`mIoU`, `mAcc`, `aAcc`, `mDice` as fractions, and `IoU`, `Acc`, `Dice` of each class, NaN where it never occurs.

    A class occurs if a truth has it or, for IoU and Dice, a prediction has it.
    """
    matrix = np.asarray(matrix, np.float64)
    hits, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_class = {
            "IoU": hits / (true + predicted - hits),
            "Acc": hits / true,
            "Dice": 2 * hits / (true + predicted),
        }
        overall = float(hits.sum() / matrix.sum())
    means = {f"m{name}": _mean(values) for name, values in per_class.items()}
    return {**means, "aAcc": overall, **{name: values.tolist() for name, values in per_class.items()}}


def _mean(values) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


@keras.saving.register_keras_serializable(package="segformer_tf")
class MeanIoU(keras.metrics.Metric):
    """Mean IoU of labels (B, H, W) and logits (B, H, W, C), streaming; ignored pixels and absent classes are left out.

    For `model.compile(metrics=[MeanIoU(num_labels)])`; `scores(metric.confusion)` has the other scores.
    """

    def __init__(self, num_labels: int, ignore_index: int = 255, name: str = "mIoU", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_labels = num_labels
        self.ignore_index = ignore_index
        # float64 counts pixels exactly up to 9e15
        self.confusion = self.add_weight(shape=(num_labels, num_labels), initializer="zeros", dtype="float64")

    def update_state(self, y_true, y_pred, sample_weight=None):
        del sample_weight  # a pixel counts or is ignored
        labels = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        valid = ops.not_equal(labels, self.ignore_index)
        predictions = ops.reshape(ops.argmax(y_pred, axis=-1), (-1,))
        pairs = ops.where(valid, labels, 0) * self.num_labels + ops.cast(predictions, "int32")
        counts = ops.segment_sum(ops.cast(valid, "float64"), pairs, self.num_labels**2)
        self.confusion.assign_add(ops.reshape(counts, (self.num_labels, self.num_labels)))

    def result(self):
        hits = ops.diagonal(self.confusion)
        union = ops.sum(self.confusion, 0) + ops.sum(self.confusion, 1) - hits
        present = ops.cast(union > 0, "float64")
        mean = ops.sum(hits / ops.maximum(union, 1.0)) / ops.maximum(ops.sum(present), 1.0)
        return ops.cast(mean, "float32")

    def get_config(self):
        return {**super().get_config(), "num_labels": self.num_labels, "ignore_index": self.ignore_index}
