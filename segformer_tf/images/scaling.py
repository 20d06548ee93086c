"""Rescale and normalise, in numpy and as TensorFlow ops, with the same bits as result."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

TAKEN_AT_ONCE = 2**14  # pixels whose values are looked up at once: 128 KB of indices


class Scaling(NamedTuple):
    """What is done to each value: times `factor`, minus `mean`, divided by `std`; None leaves a step out."""

    factor: float | None
    mean: float | list[float] | None
    std: float | list[float] | None


def scale_pixels(image: np.ndarray, scaling: Scaling, planes: np.ndarray) -> None:
    """(H, W, C) into float32 planes (C, H, W), which may be a view, rounded where transformers rounds."""
    if image.dtype != np.uint8:
        planes[...] = np.moveaxis(_scale(image, scaling), -1, 0)
        return
    height, width, channels = image.shape  # 8 bits: the 256 results of each channel are computed once, then looked up
    table = _scale(np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], channels, axis=1), scaling)
    # A few rows at a time: `take` wants indices of 8 bytes, and a whole picture's are memory that the system hands out anew.
    rows = max(1, TAKEN_AT_ONCE // max(width, 1))
    indices = np.empty((rows, width), np.intp)
    for channel in range(channels):
        for start in range(0, height, rows):
            band = image[start : start + rows, :, channel]
            taken = indices[: len(band)]
            taken[...] = band
            np.take(table[:, channel], taken, out=planes[channel, start : start + rows], mode="clip")


def _scale(image: np.ndarray, scaling: Scaling) -> np.ndarray:
    if scaling.factor is not None:
        image = (image.astype(np.float64) * scaling.factor).astype(np.float32)
    if scaling.mean is not None:
        image = image if image.dtype.kind == "f" else image.astype(np.float32)
        image = (image - np.asarray(scaling.mean, image.dtype)) / np.asarray(scaling.std, image.dtype)
    return image.astype(np.float32)


def scale_tensor(image: tf.Tensor, scaling: Scaling) -> tf.Tensor:
    """uint8 (..., W, C) -> float32 of the same shape. XLA, where it is turned on, divides less exactly."""
    import tensorflow as tf

    if scaling.factor is None:
        values = tf.cast(image, tf.float32)
    else:
        values = tf.cast(tf.cast(image, tf.float64) * scaling.factor, tf.float32)
    if scaling.mean is not None and scaling.std is not None:
        shape = tf.shape(values)
        rows = tf.reshape(values, (-1, shape[-2] * shape[-1]))  # whole rows: broadcasting 3 values at a time is slow
        mean, std = (
            tf.tile(tf.broadcast_to(tf.constant(value, tf.float32), shape[-1:]), shape[-2:-1])
            for value in (scaling.mean, scaling.std)
        )
        # TensorFlow's graph optimizer would turn a plain division by a constant into a product, which rounds otherwise.
        result = tf.reshape(tf.math.divide_no_nan(rows - mean, std), shape)
        values = tf.ensure_shape(result, values.shape)
    return values
