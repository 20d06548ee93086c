"""The losses that the models compute themselves when they are given labels."""

from typing import Any

import keras
import numpy as np
from keras import ops

from segformer_tf.models import kernels
from segformer_tf.models.distribution import share_of_mean
from segformer_tf.models.inputs import of_shape, ranked, sizes_of

MASKS = "(batch, height, width) class ids: leave out a channel axis, and take ids instead of one-hot maps"
WEIGHTS_EXPECTED = "expected (batch,) or (batch, height, width) as the labels: weigh each picture, or each pixel."


def full_size_logits(logits, labels):
    """Logits resized to the labels' size: `(B, h, w, C) -> (B, H, W, C)` float32.

    `labels` are `(B, H, W)` ids or `(B, H, W, C)` one-hot maps.
    """
    return kernels.resize_bilinear(ops.cast(logits, "float32"), ops.shape(as_masks(labels))[1:3])


def as_masks(labels):
    """The labels themselves; those of unknown rank are checked to be (B, H, W) as the TensorFlow graph runs."""
    return labels if ranked(labels) else of_shape(labels, [(None,) * 3], "labels", f"expected {MASKS}.")


def segmentation_loss(labels, logits, ignore_index: int = 255, sample_weight=None):
    """Mean cross-entropy over the pixels that are not ignored; 0 where every pixel is.

    Args:
        labels: (B, H, W) class ids.
        logits: (B, h, w, num_labels), resized bilinearly to the labels' size; one channel means binary cross-entropy.
        sample_weight: Weight of each picture (B,) or pixel (B, H, W).

    Raises:
        ValueError: (InvalidArgumentError inside a TensorFlow graph) a label that is neither a class nor `ignore_index`.
    """
    num_labels = logits.shape[-1]
    labels = whole_ids(check_label_shape(labels, logits))
    valid = ops.not_equal(labels, ignore_index)
    ids = ops.where(valid, labels, 0)
    ids = check_range(ids, max(num_labels, 2), ignore_index)
    weights = ops.cast(valid, "float32")
    if sample_weight is not None:
        weights = weights * by_pixel(sample_weight, labels)
    if num_labels == 1:
        logits = full_size_logits(logits, labels)[..., 0]
        total = ops.sum(ops.binary_crossentropy(ops.cast(ids, "float32"), logits, from_logits=True) * weights)
    else:
        total = kernels.cross_entropy_sum(ids, logits, weights)
    return share_of_mean(total, ops.sum(ops.cast(valid, "float32")), 1.0)


def pixel_weights(labels, class_weights, ignore_index: int = 255, sample_weight=None):
    """The weight of each pixel's class, 0 where it is ignored, times `sample_weight`: `(B, H, W) -> (B, H, W)` float32.

    `labels` may also be one-hot maps (B, H, W, C).
    """
    if not ranked(labels):
        labels = of_shape(
            labels, [(None,) * 3], "labels", "expected (batch, height, width) class ids: do not mix ranks."
        )
    labels = ops.cast(labels if len(labels.shape) == 3 else ops.argmax(labels, -1), "int32")
    valid = ops.not_equal(labels, ignore_index)
    ids = ops.clip(ops.where(valid, labels, 0), 0, len(class_weights) - 1)
    weights = ops.where(valid, ops.take(ops.convert_to_tensor(class_weights, "float32"), ids), 0.0)
    return weights if sample_weight is None else weights * by_pixel(sample_weight, labels)


def by_pixel(sample_weight, labels):
    """Weights of pictures (B,) or pixels, with an axis for each of the labels' (B, H, W).

    Pixels' weights may have a last axis of 1, and 1 for any side of the labels: each pixel then has the same.

    Raises:
        ValueError: (InvalidArgumentError in a TensorFlow graph that does not know the shapes) weights of another shape.
    """
    weights: Any = ops.cast(sample_weight, "float32")
    shape, size = weights.shape, labels.shape
    if keras.backend.backend() == "tensorflow" and not (shape.is_fully_defined() and size.is_fully_defined()):
        import tensorflow as tf

        shape, size = tf.shape(weights), tf.shape(labels)  # one graph for both kinds, as Keras traces it
        four = tf.concat([shape, tf.ones([4], tf.int32)], 0)[: tf.maximum(tf.size(shape), 4)]
        fits = tf.reduce_all((four[:3] == 1) | (four[:3] == size)) & tf.reduce_all(four[3:] == 1)
        fits &= (tf.size(shape) != 2) | (four[1] == 1)
        told = ["sample_weight has shape", shape, "for labels of shape", size, WEIGHTS_EXPECTED]
        with tf.control_dependencies([tf.debugging.Assert(fits, told)]):
            return tf.broadcast_to(tf.reshape(weights, four[:3]), size)  # XLA leaves the assertion out
    four = (*shape, 1, 1, 1, 1)[: max(len(shape), 4)]
    fits = all(own in (1, side) for own, side in zip(four[:3], size, strict=True)) and set(four[3:]) == {1}
    if not fits or (len(shape) == 2 and shape[1] != 1):  # (H, W) would be taken for (B, H)
        raise ValueError(
            f"sample_weight has shape {tuple(shape)} for labels of shape {tuple(size)}, {WEIGHTS_EXPECTED}"
        )
    return ops.reshape(weights, four[:3])


def classification_loss(labels, logits, problem_type: str | None = None, sample_weight=None):
    """Cross-entropy of `(B, num_labels)` logits, or as `problem_type` says.

    "regression": mean squared error; "single_label_classification": (B,) ids; "multi_label_classification":
    (B, num_labels) of 0 and 1. None: regression for one label, otherwise by the labels' shape.

    ValueError for labels of another shape or number, and for ids out of range (InvalidArgumentError inside a TensorFlow
    graph).
    """
    num_labels = logits.shape[-1]
    logits = ops.cast(logits, "float32")
    problem_type = problem_of(labels, num_labels, problem_type)
    labels = check_class_labels(labels, logits, problem_type)
    if problem_type == "regression":
        losses = ops.mean(ops.square(logits - ops.reshape(ops.cast(labels, "float32"), ops.shape(logits))), axis=-1)
    elif problem_type == "multi_label_classification":
        losses = ops.mean(ops.binary_crossentropy(ops.cast(labels, "float32"), logits, from_logits=True), axis=-1)
    else:
        ids = check_range(ops.reshape(whole_ids(labels), (-1,)), num_labels)
        losses = ops.sparse_categorical_crossentropy(ids, logits, from_logits=True)
    if sample_weight is not None:
        batch, weights = sizes_of(logits)[0], ops.cast(sample_weight, "float32")
        expected = f"expected (batch,) for logits of shape {tuple(logits.shape)}: give each picture its own."
        weights = of_shape(weights, [(), (1,), (batch,), (batch, 1)], "the sample_weight's numbers", expected)
        losses = losses * ops.broadcast_to(ops.reshape(weights, (-1,)), ops.shape(losses))  # never the other way round
    return share_of_mean(ops.sum(losses), ops.cast(ops.shape(losses)[0], "float32"), 1.0)


def problem_of(labels, num_labels: int, problem_type: str | None) -> str:
    """What labels of this shape are for, where the config's `problem_type` leaves it open; ValueError without one."""
    if problem_type is not None:
        return problem_type
    if num_labels == 1:
        return "regression"
    if not ranked(labels):
        raise ValueError(
            "labels have an unknown number of axes (batches differ, or their data set does not say), expected (batch,) "
            f"or (batch, {num_labels}): give all batches the same, or set the config's problem_type."
        )
    several = len(labels.shape) == 2 and labels.shape[-1] == num_labels
    return "multi_label_classification" if several else "single_label_classification"


def check_label_shape(labels, logits):
    """The labels themselves, (B, H, W); ValueError for others, and for those of another number of pictures.

    What a TensorFlow graph does not know of their shape it checks as it runs.
    """
    labels = of_shape(labels, [(None,) * 3], "labels", f"expected {MASKS}.")
    each = f"expected one mask for each picture of logits of shape {tuple(logits.shape)}: give as many as pixel_values."
    return of_shape(labels, [(sizes_of(logits)[0], None, None)], "labels", each)


def check_class_labels(labels, logits, problem_type: str):
    """The labels themselves, as `check_label_shape` does: those of a classifier for what `problem_type` says."""
    batch, num_labels = sizes_of(logits)
    one_each = problem_type == "single_label_classification" or (problem_type == "regression" and num_labels == 1)
    wanted = "(batch,)" if one_each else f"(batch, {num_labels})"
    return of_shape(
        labels,
        [(batch,), (batch, 1)] if one_each else [(batch, num_labels)],
        "labels",
        f"expected {wanted} for logits of shape {tuple(logits.shape)} and problem_type {problem_type!r}: give each "
        "picture its own, or set the config's problem_type or num_labels.",
    )


def whole_ids(labels):
    """Labels as int32, after a check that all are whole numbers: others would be cut, and NaN the lowest there is."""
    ids: Any = ops.convert_to_tensor(labels)
    if keras.backend.is_float_dtype(ids.dtype):
        cut = ops.not_equal(ids - ops.floor(ids), 0)  # of an infinite one that is NaN
        ids = checked_ids(ids, cut, "a label is", "expected class ids: look at how they are made.")
    return ops.cast(ids, "int32")


def check_range(ids, num_labels: int, ignore_index: int | None = None):
    """The ids themselves, after a check that all lie in [0, num_labels); the error names the first that does not."""
    but, made = ("", "labels") if ignore_index is None else (f" or the ignore index {ignore_index}", "masks")
    message = f"expected 0 to {num_labels - 1}{but}: correct the {made}, or the config's num_labels."
    bad = ops.logical_or(ops.less(ids, 0), ops.greater_equal(ids, num_labels))
    return checked_ids(ids, bad, "a label is", message)


def checked_ids(ids, bad, what: str, message: str):
    """The ids themselves, after a check that no value of `bad` is true; the error names the first that is.

    In a TensorFlow graph one of them is looked for only where there is one, which spares a pass over all ids.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():

            def fail():
                first = tf.reduce_max(tf.where(bad, ids, ids.dtype.min))
                return tf.group(tf.debugging.Assert(False, [what, first, message]))

            with tf.control_dependencies([tf.cond(tf.reduce_any(bad), fail, tf.no_op)]):
                return tf.identity(ids)
    if backend in ("tensorflow", "torch"):
        bad = np.asarray(ops.convert_to_numpy(bad))
        if bad.any():
            raise ValueError(f"{what} {np.asarray(ops.convert_to_numpy(ids))[bad][0].item()}, {message}")
    return ids
