"""Arrays as they come -> 8 bits, channels last -> rescaled and normalised, in numpy and as TensorFlow ops alike."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TAKEN_AT_ONCE = 2**14  # values that are looked up or computed at once: 128 KB of indices, or of float64


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
    pixels = np.moveaxis(planes, 0, -1)
    if pixels.flags.c_contiguous and image.flags.c_contiguous and scaling.factor is not None:
        _scale_rows(image, scaling, scaling.factor, pixels)
        return
    height, width, channels = image.shape  # 8 bits: the 256 results of each channel are computed once, then looked up
    table = _scale(np.repeat(np.arange(256, dtype=np.uint8)[:, np.newaxis], channels, axis=1), scaling)
    # A few rows at a time: `take` wants indices of 8 bytes, and a whole picture's are memory that the system hands
    # out anew.
    rows = max(1, TAKEN_AT_ONCE // max(width, 1))
    indices = np.empty((rows, width), np.intp)
    for channel in range(channels):
        for start in range(0, height, rows):
            band = image[start : start + rows, :, channel]
            taken = indices[: len(band)]
            taken[...] = band
            np.take(table[:, channel], taken, out=planes[channel, start : start + rows], mode="clip")


def _scale_rows(image: np.ndarray, scaling: Scaling, factor: float, pixels: np.ndarray) -> None:
    """As `_scale`, (H, W, C) into (H, W, C), a few rows at a time: half the time of looking values up."""
    height, width, channels = image.shape
    given, made = image.reshape(height, -1), pixels.reshape(height, -1)
    rows = max(1, TAKEN_AT_ONCE // (width * channels))
    products = np.empty((rows, width * channels), np.float64)
    mean, std = (
        None if value is None else np.tile(np.broadcast_to(np.asarray(value, np.float32), (channels,)), width)
        for value in (scaling.mean, scaling.std)
    )
    for start in range(0, height, rows):
        band = made[start : start + rows]
        np.multiply(given[start : start + rows], factor, out=products[: len(band)])
        band[...] = products[: len(band)]
        if mean is not None and std is not None:
            np.subtract(band, mean, out=band)
            np.divide(band, std, out=band)


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


DATA_FORMATS = ("channels_last", "channels_first")


def resolve_data_format(data_format: str | None) -> str:
    """`data_format` itself, or for None what `keras.config.image_data_format()` says.

    This room does not import Keras. A program that has set its format has loaded it; without it "channels_last" holds.
    """
    if data_format is None:
        keras = sys.modules.get("keras")
        return keras.config.image_data_format() if keras else "channels_last"
    value = getattr(data_format, "value", data_format)  # transformers' ChannelDimension is an enum of strings
    value = {"first": "channels_first", "last": "channels_last"}.get(value, value)
    if value not in DATA_FORMATS:
        raise ValueError(f"data_format is {data_format!r}; expected 'channels_last', 'channels_first' or None.")
    return value


def to_channels_last(image: np.ndarray, channels: int | None, data_format: str | None, strict: bool) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) -> (H, W, C), with a grey image repeated to `channels` = 3.

    With `data_format` None the axis of `channels` (else of 1, else of 3) values is taken, the first if both ends fit;
    `channels` None is any number, and the axis then one of 1, 3 or 4.
    Raises ValueError where no axis fits, or `strict` and the count is not `channels`.
    """
    if image.ndim == 2:
        image, data_format = image[..., np.newaxis], "channels_last"
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}; expected (H, W), (H, W, C) or (C, H, W) with no side of 0.")
    strict = strict and channels is not None
    wanted = f"{channels} channels" if strict else f"{channels or 4}, 1 or 3 channels"
    if data_format is None:
        data_format = _infer(image.shape, channels)
    if data_format is None:
        raise ValueError(
            f"image has shape {image.shape}; expected {wanted} as first or last axis: select the channels the model "
            f"takes, or give input_data_format and image_mean and image_std of that length."
        )
    if resolve_data_format(data_format) == "channels_first":
        image = np.moveaxis(image, 0, -1)
    found = image.shape[-1]
    if found == 1 and channels == 3:
        return np.repeat(image, 3, axis=-1)
    if strict and found != channels:
        raise ValueError(f"image has {found} channels (shape {image.shape}, channels last); expected {channels}.")
    return image


def _infer(shape: tuple[int, ...], channels: int | None) -> str | None:
    for count in (channels, 1, 3) if channels else (1, 3, 4):
        first, last = shape[0] == count, shape[-1] == count
        if first and last:
            warnings.warn(
                f"The channel axis of an image of shape {shape} is ambiguous; the first is taken, "
                f"pass input_data_format to say which it is.",
                stacklevel=2,
            )
        if first or last:
            return "channels_first" if first else "channels_last"
    return None


def to_eight_bits(values: np.ndarray, rounded: bool = False) -> tuple[np.ndarray, bool]:
    """Values 0 to 255, or floats 0 to 1, -> uint8, and whether they were 0 to 1.

    Floats 0 to 1 are cut, not rounded, as transformers does before it hands them to Pillow; `rounded` rounds.
    """
    if values.dtype == np.uint8:
        return values, False
    low, high = values.min(), values.max()
    unit = values.dtype.kind == "f" and low >= 0 and high <= 1 and not _whole(values)
    fits = low >= 0 and high <= 255 and (unit or rounded or _whole(values))
    if not fits:
        raise ValueError(
            f"image has {values.dtype} values from {low:g} to {high:g}; "
            f"expected whole numbers from 0 to 255 or floats from 0 to 1."
        )
    scaled = (values.astype(np.float64) * 255.0).astype(np.float32) if unit else values
    return (np.rint(scaled) if rounded else scaled).astype(np.uint8), bool(unit)


def _whole(values: np.ndarray) -> bool:
    return values.dtype.kind != "f" or bool(np.allclose(values, np.trunc(values)))


def from_16_bit(values: np.ndarray, name: str) -> np.ndarray:
    """uint16 over its whole range -> uint8; values that fill 12 bits or fewer come out nearly black, with a warning."""
    high = int(values.max(initial=0))
    if 0 < high < 4096:
        warnings.warn(
            f"{name} holds 16-bit values up to {high}, which become nearly black: data of {max(high.bit_length(), 8)} "
            f"bits? Give value_range=(0, {2 ** max(high.bit_length(), 8) - 1}), or the range that it was taken with.",
            UserWarning,
            stacklevel=4,
        )
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def stretch(values: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Values from low to high -> uint8 0 to 255, rounded; those beyond are cut."""
    low, high = value_range
    return np.rint(np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def check_value_range(value_range: Any) -> tuple[float, float] | None:
    """(low, high) as numbers, or None."""
    if value_range is None:
        return None
    try:
        low, high = (float(value) for value in value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"value_range is {value_range!r}; expected two numbers, the values of black and of white.")
    return low, high


def flatten(items: Any, rank: int) -> list[Any]:
    """One item, a batch array of rank + 1, or a list (of lists) of them -> a flat list.

    An array (H, W, 1) where maps (H, W) are due is one map, not H of them.
    """
    if isinstance(items, list | tuple):
        return [item for part in items for item in flatten(part, rank)]
    shape = getattr(items, "shape", None)
    several = shape is not None and (
        (len(shape) == rank + 1 and (rank > 2 or shape[-1] != 1)) or len(shape) == rank + 2
    )
    return list(items) if several else [items]


def stack(name: str, values: np.ndarray | list[np.ndarray]) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    shapes = sorted({value.shape for value in values})
    if len(shapes) != 1:
        found = " and ".join(map(str, shapes[:3])) or "none"
        raise ValueError(
            f"{name} have shapes {found}; expected one shape to stack them: use do_resize=True with a fixed size, "
            f"or return_tensors=None."
        )
    return values[0][np.newaxis] if len(values) == 1 else np.stack(values)  # one is not copied: as long as scaling it
