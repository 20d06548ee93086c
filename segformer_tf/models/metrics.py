"""Scores from a streaming confusion matrix, as the field defines them: absent classes are left out of means."""

from typing import Any

import keras
import numpy as np
from keras import ops

from segformer_tf.models import kernels
from segformer_tf.models.inputs import of_shape, ranked, sizes_of
from segformer_tf.models.losses import as_masks, check_class_labels, check_range, checked_ids, problem_of, whole_ids
from segformer_tf.models.predicted import predicted_labels
from segformer_tf.storage.keywords import spell_checked


@spell_checked
def confusion(labels, predictions, num_labels: int, ignore_index: int = 255):
    """(n, n) int32 counts of pixels that are not ignored: row the truth, column the prediction.

    Class ids of one shape, arrays or tensors (of two arrays an array). n is `num_labels`, or 2 where that is 1:
    background and foreground. ValueError (InvalidArgumentError in a TensorFlow graph) for a label that is neither a
    class nor `ignore_index`, for a prediction that is no class where the label is one, and for two shapes, but for a
    last axis of 1.
    """
    classes = max(num_labels, 2)
    labels, predictions = (ids if hasattr(ids, "shape") else np.asarray(ids) for ids in (labels, predictions))
    labels, predictions = _of_one_shape(labels, predictions)
    if isinstance(labels, np.ndarray) and isinstance(predictions, np.ndarray):
        return _counts(labels, predictions, classes, ignore_index)
    labels, predictions = (ops.reshape(ids, (-1,)) for ids in (whole_ids(labels), ops.cast(predictions, "int32")))
    valid = ops.not_equal(labels, ignore_index)
    ids = check_range(ops.where(valid, labels, 0), classes, ignore_index)
    predictions = _classes(predictions, valid, classes)
    pairs = ops.where(valid, ids * classes + predictions, classes**2)  # ignored pixels are counted last, and dropped
    counts = kernels.counts(pairs, classes**2 + 1)[: classes**2]
    return ops.cast(ops.reshape(counts, (classes, classes)), "int32")


def _of_one_shape(labels, predictions):
    """Both, after a check: flattened, maps that lie otherwise would be counted against one another."""
    if ranked(labels):
        return labels, _shaped_as(predictions, labels, "predictions", "labels")
    return (_shaped_as(labels, predictions, "labels", "predictions") if ranked(predictions) else labels), predictions


def _shaped_as(ids, others, name: str, as_name: str):
    shape, sizes = tuple(others.shape), sizes_of(others)
    sizes = sizes[:-1] if len(sizes) > 1 and shape[-1] == 1 else sizes
    expected = f"expected {shape} as {as_name}: transpose or resize them."
    return of_shape(ids, [sizes, (*sizes, 1)], name, expected)


def _classes(predictions, valid, classes: int):
    """The predictions themselves, after a check that those of valid pixels are classes."""
    wrong = ops.logical_or(ops.less(predictions, 0), ops.greater_equal(predictions, classes))
    message = f"expected 0 to {classes - 1}: give class ids, or the model's num_labels."
    return checked_ids(predictions, ops.logical_and(valid, wrong), "a prediction is", message)


def _counts(labels: np.ndarray, predictions: np.ndarray, classes: int, ignore_index: int) -> np.ndarray:
    """The same by numpy, in a tenth of the time."""
    labels = labels if labels.dtype.kind in "iub" else np.asarray(ops.convert_to_numpy(whole_ids(labels)))
    ignored = labels == ignore_index
    ids = np.where(ignored, np.int32(classes), labels)  # ignored pixels are counted last, and dropped
    if ids.size and (ids.min() < 0 or ids.max() > classes or np.count_nonzero(ids == classes) > ignored.sum()):
        check_range(np.where(ignored, 0, labels).astype(np.int64), classes, ignore_index)
    if ids.size and (predictions.min() < 0 or predictions.max() >= classes):
        predictions = np.where(ignored, 0, predictions).astype(np.int64)
        _classes(predictions, ~ignored, classes)
    pairs = ids.astype(np.intp).ravel()
    pairs *= classes
    pairs += predictions.ravel()
    counts = np.bincount(pairs, minlength=(classes + 1) * classes)[: classes**2]
    return counts.reshape(classes, classes).astype(np.int32)


@spell_checked
def scores(matrix) -> dict[str, Any]:
    """`mIoU`, `mAcc`, `aAcc`, `mDice` as fractions, and `IoU`, `Acc`, `Dice` of each class, NaN where it never occurs.

    A class occurs if a truth has it or, for IoU and Dice, a prediction has it.
    """
    matrix = np.asarray(matrix, np.float64)
    hits, true, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_class = {
            "IoU": _iou(hits, true, predicted),
            "Acc": hits / true,
            "Dice": 2 * hits / (true + predicted),
        }
        overall = float(hits.sum() / matrix.sum())
    means = {f"m{name}": _mean(values) for name, values in per_class.items()}
    return {**means, "aAcc": overall, **{name: values.tolist() for name, values in per_class.items()}}


def _iou(hits, true, predicted):
    """Intersection over union from numbers of pixels, NaN where a class never occurs."""
    return hits / (true + predicted - hits)


def _mean(values) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


@keras.saving.register_keras_serializable(package="segformer_tf")
@spell_checked
class MeanIoU(keras.metrics.Metric):
    """Mean IoU of labels (B, H, W), streaming; ignored pixels and absent classes are left out.

    Predictions are logits of any size (B, h, w, num_labels), resized as the loss resizes them, in bands, or class ids
    (B, H, W). One label means background and foreground, where the logit is above 0. The metric of `model.compile()`;
    `scores(metric.confusion)` has the other scores. Weights of pictures or pixels do not change it.
    """

    def __init__(self, num_labels: int, ignore_index: int = 255, name: str = "mIoU", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.num_labels = num_labels
        self.ignore_index = ignore_index
        # float64 counts pixels exactly up to 9e15
        classes = max(num_labels, 2)
        self.confusion = self.add_weight(shape=(classes, classes), initializer="zeros", dtype="float64")

    def update_state(self, y_true, y_pred, sample_weight=None):
        del sample_weight  # a pixel counts or is ignored
        y_true = as_masks(y_true) if hasattr(y_true, "shape") else y_true
        if len(y_pred.shape) == 4:
            y_pred = predicted_labels(y_pred, ops.shape(y_true)[1:3])
        counts = confusion(y_true, y_pred, self.num_labels, self.ignore_index)
        self.confusion.assign_add(ops.cast(counts, self.confusion.dtype))

    def result(self):
        iou = _iou(ops.diagonal(self.confusion), ops.sum(self.confusion, 1), ops.sum(self.confusion, 0))
        absent = ops.isnan(iou)
        present = ops.sum(ops.cast(ops.logical_not(absent), iou.dtype))
        return ops.cast(ops.sum(ops.where(absent, 0.0, iou)) / ops.maximum(present, 1.0), "float32")

    def get_config(self):
        return {**super().get_config(), "num_labels": self.num_labels, "ignore_index": self.ignore_index}


@keras.saving.register_keras_serializable(package="segformer_tf")
@spell_checked
class LabelAccuracy(keras.metrics.Mean):
    """Share of a classifier's labels that are right, streaming; logits (B, num_labels).

    Labels are ids (B,), or 0 and 1 of every class (B, num_labels), right where a logit above 0 says 1; which, follows
    from `problem_type` and their shape as in `losses.classification_loss`. The metric of `model.compile()`.
    """

    def __init__(self, problem_type: str | None = None, name: str = "accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.problem_type = problem_type

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.convert_to_tensor(y_true)
        problem = problem_of(y_true, y_pred.shape[-1], self.problem_type)
        y_true = check_class_labels(y_true, y_pred, problem)  # one label would be compared with every picture
        if problem == "multi_label_classification":
            right = ops.equal(ops.greater(y_true, 0.5), ops.greater(y_pred, 0))
        else:
            right = ops.equal(ops.cast(ops.reshape(y_true, (-1,)), "int32"), ops.argmax(y_pred, -1))
        values = ops.cast(right, self.dtype)
        super().update_state(ops.mean(values, -1) if len(values.shape) == 2 else values, sample_weight)

    def get_config(self):
        return {**super().get_config(), "problem_type": self.problem_type}
