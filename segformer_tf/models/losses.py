"""The losses that the models compute themselves when they are given labels."""

import keras
from keras import ops

from segformer_tf.models.elements import resize_bilinear

BAND_VALUES = 2**21  # full-size logits of one band of the loss: 8 MB


def full_size_logits(logits, labels):
    """Logits resized to the labels' size: `(B, h, w, C) -> (B, H, W, C)` float32.

    `labels` are `(B, H, W)` ids or `(B, H, W, C)` one-hot maps.
    """
    return resize_bilinear(ops.cast(logits, "float32"), ops.shape(labels)[1:3])


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
    _check_label_shape(labels, logits)
    labels = ops.cast(labels, "int32")
    valid = ops.not_equal(labels, ignore_index)
    ids = ops.where(valid, labels, 0)
    ids = check_range(ids, max(num_labels, 2), ignore_index)
    weights = ops.cast(valid, "float32")
    if sample_weight is not None:
        sample_weight = ops.cast(sample_weight, "float32")
        extra_axes = tuple(range(len(sample_weight.shape), 3))
        weights = weights * ops.expand_dims(sample_weight, extra_axes)
    if num_labels == 1:
        logits = full_size_logits(logits, labels)[..., 0]
        total = ops.sum(ops.binary_crossentropy(ops.cast(ids, "float32"), logits, from_logits=True) * weights)
    else:
        total = resized_cross_entropy(ids, logits, weights)
    return total / ops.maximum(ops.sum(ops.cast(valid, "float32")), 1.0)


def resized_cross_entropy(ids, logits, weights):
    """Sum of `weights * cross-entropy` of logits resized to the ids' size: (B, H, W), (B, h, w, C), (B, H, W) -> scalar.

    On TensorFlow's CPU, resizing, softmax and their gradient are made for one band of rows after the other, so that the
    logits of full size never exist at once: 4 pictures of 512 x 512 and 150 classes would take 0.6 GB, several times over.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):  # the band's kernel is the CPU's; XLA fuses the plain form
            return _banded_cross_entropy(tf, ids, tf.cast(logits, tf.float32), weights)
    losses = ops.sparse_categorical_crossentropy(ids, full_size_logits(logits, ids), from_logits=True)
    return ops.sum(losses * weights)


def _banded_cross_entropy(tf, ids, logits, weights):
    """Picture after picture, band after band: what exists beside the logits and their gradient is four bands."""

    @tf.custom_gradient
    def summed(logits):
        totals, gradients = tf.map_fn(
            lambda picture: _one_picture(tf, *picture),
            (ids, logits, weights),
            fn_output_signature=(tf.float32, tf.TensorSpec(logits.shape[1:], tf.float32)),
            parallel_iterations=1,
        )
        return tf.reduce_sum(totals), lambda upstream: upstream * gradients

    return summed(logits)


def _one_picture(tf, ids, logits, weights):
    """(H, W), (h, w, C), (H, W) -> the sum of weighted losses, and its gradient (h, w, C)."""
    (height, width), size, num_labels = tf.unstack(tf.shape(ids)), tf.shape(logits)[:2], logits.shape[-1]
    scale = tf.cast([height, width], tf.float32) / tf.cast(size, tf.float32)
    # Every band adds to the whole gradient, so a band is not much smaller than that.
    band = tf.maximum(BAND_VALUES, tf.size(logits)) // (width * num_labels)
    band = tf.clip_by_value(band, 1, height)
    # Rows of `logits` that one band can touch: those under it and a neighbour on either side.
    window = tf.minimum(tf.cast(tf.math.ceil(tf.cast(band, tf.float32) / scale[0]), tf.int32) + 2, size[0])

    def one_band(top, total, gradient):
        bottom = tf.minimum(top + band, height)
        first = tf.cast(tf.floor((tf.cast(top, tf.float32) + 0.5) / scale[0] - 0.5), tf.int32)
        first = tf.clip_by_value(first, 0, size[0] - window)
        rows = logits[tf.newaxis, first : first + window]
        place = {
            "scale": scale,
            "translation": tf.stack([tf.cast(first, tf.float32) * scale[0] - tf.cast(top, tf.float32), 0.0]),
            "kernel_type": "triangle",
            "antialias": False,
        }
        resized = tf.raw_ops.ScaleAndTranslate(images=rows, size=tf.stack([bottom - top, width]), **place)
        losses, back = _cross_entropy(
            tf,
            tf.reshape(resized, (-1, num_labels)),
            tf.reshape(ids[top:bottom], (-1,)),
            tf.reshape(weights[top:bottom], (-1,)),
        )
        back = tf.raw_ops.ScaleAndTranslateGrad(grads=tf.reshape(back, tf.shape(resized)), original_image=rows, **place)
        gradient += tf.pad(back[0], ((first, size[0] - first - window), (0, 0), (0, 0)))
        return bottom, total + losses, gradient

    start = (tf.constant(0), tf.constant(0.0), tf.zeros_like(logits))
    return tf.while_loop(lambda top, *_: top < height, one_band, start, parallel_iterations=1)[1:]


def _cross_entropy(tf, logits, ids, weights):
    """(N, C), (N,), (N,) -> the sum of weighted cross-entropies, and its gradient (N, C).

    Through oneDNN's softmax, in a third of the time of `sparse_softmax_cross_entropy_with_logits`. The logarithm of the
    sum comes from the largest share, which is never small.
    """
    num_labels = logits.shape[-1]
    shares = tf.nn.softmax(logits)
    log_sum = tf.reduce_max(logits, -1) - tf.math.log(tf.reduce_max(shares, -1))
    true = tf.gather(tf.reshape(logits, (-1,)), tf.range(tf.size(ids)) * num_labels + ids)
    gradient = (shares - tf.one_hot(ids, num_labels)) * weights[:, tf.newaxis]
    return tf.reduce_sum((log_sum - true) * weights), gradient


def classification_loss(labels, logits, problem_type: str | None = None, sample_weight=None):
    """Cross-entropy of `(B, num_labels)` logits, or as `problem_type` says.

    "regression": mean squared error; "single_label_classification": (B,) ids; "multi_label_classification":
    (B, num_labels) of 0 and 1. None: regression for one label, otherwise by the labels' shape.
    """
    num_labels = logits.shape[-1]
    logits = ops.cast(logits, "float32")
    if problem_type is None:
        if num_labels == 1:
            problem_type = "regression"
        elif len(labels.shape) == 2 and labels.shape[-1] == num_labels:
            problem_type = "multi_label_classification"
        else:
            problem_type = "single_label_classification"
    if problem_type == "regression":
        losses = ops.mean(ops.square(logits - ops.reshape(ops.cast(labels, "float32"), ops.shape(logits))), axis=-1)
    elif problem_type == "multi_label_classification":
        losses = ops.mean(ops.binary_crossentropy(ops.cast(labels, "float32"), logits, from_logits=True), axis=-1)
    else:
        ids = check_range(ops.reshape(ops.cast(labels, "int32"), (-1,)), num_labels)
        losses = ops.sparse_categorical_crossentropy(ids, logits, from_logits=True)
    if sample_weight is not None:
        losses = losses * ops.cast(sample_weight, "float32")
    return ops.mean(losses)


def _check_label_shape(labels, logits) -> None:
    if len(labels.shape) != 3:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, expected (batch, height, width) class ids for logits of shape "
            f"{tuple(logits.shape)}: leave out a channel axis, and take ids instead of one-hot maps."
        )


def check_range(ids, num_labels: int, ignore_index: int | None = None):
    """The ids themselves, after a check that all lie in [0, num_labels); the error names the first that does not."""
    but = "" if ignore_index is None else f" or the ignore index {ignore_index}"
    message = f"expected 0 to {num_labels - 1}{but}: correct the masks, or the config's num_labels."
    bad = ops.logical_or(ops.less(ids, 0), ops.greater_equal(ids, num_labels))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.executing_eagerly():
            _raise_first_bad(ids, bad, message)
            return ids
        first = tf.reduce_max(tf.where(bad, ids, tf.constant(-(2**31), ids.dtype)))
        check = tf.debugging.Assert(tf.logical_not(tf.reduce_any(bad)), ["a label is", first, message])
        with tf.control_dependencies([check]):
            return tf.identity(ids)
    if keras.backend.backend() == "torch":
        _raise_first_bad(ids, bad, message)
    return ids


def _raise_first_bad(ids, bad, message: str) -> None:
    bad = ops.convert_to_numpy(bad)
    if bad.any():
        raise ValueError(f"a label is {int(ops.convert_to_numpy(ids)[bad][0])}, {message}")
