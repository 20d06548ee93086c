"""Pillow's resampling as TensorFlow ops: 8-bit results equal `PIL.Image.resize` byte for byte, at any size."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, __version__

from segformer_tf.images.sizes import MAX_SIDE, checked_side
from segformer_tf.storage.keywords import spell_checked

if TYPE_CHECKING:
    import tensorflow as tf

# Radius of each filter in source pixels, before it is stretched for shrinking.
SUPPORT = {"box": 0.5, "bilinear": 1.0, "hamming": 1.0, "bicubic": 2.0, "lanczos": 3.0}
METHOD = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's numbers
METHODS = ("nearest", *SUPPORT)
PILLOW_VERSION = tuple(int(part) for part in __version__.split(".")[:2])
BLOCK = 8  # output rows that share one window of source rows; measured best among 2 to 64


@spell_checked
def resize(image: tf.Tensor, size: tuple[int, int] | tf.Tensor, method: str = "bilinear") -> tf.Tensor:
    """Resize as Pillow does, (H, W, C) -> (h, w, C) or (B, H, W, C) -> (B, h, w, C), with `size` = (h, w).

    uint8 gives Pillow's bytes. float32 follows Pillow's mode "F" (sums in double precision, up to the last bit).
    Any other type works with "nearest" only. Each channel is resized by itself: alpha is not premultiplied.
    Raises ValueError for another method, type or rank. Source: Pillow's `Resample.c` and `Geometry.c`.
    """
    import tensorflow as tf

    if method not in METHODS:
        raise ValueError(f"method is {method!r}; expected one of {', '.join(METHODS)}.")
    image = tf.convert_to_tensor(image)
    if image.shape.rank not in (3, 4):
        raise ValueError(f"image has shape {image.shape}; expected (H, W, C) or (B, H, W, C).")
    if method != "nearest" and image.dtype not in (tf.uint8, tf.float32):
        raise ValueError(f"image is {image.dtype.name}; {method} resizing expects uint8 or float32.")
    height, width = (checked_side("size", side) for side in (size[0], size[1]))
    batch = image if image.shape.rank == 4 else image[tf.newaxis]
    sides = [checked_side("image", _side(batch, axis)) for axis in (1, 2)]
    with tf.control_dependencies([side for side in sides if tf.is_tensor(side)]):
        batch = tf.identity(batch)
    if method == "nearest":
        batch = tf.gather(batch, _nearest(_side(batch, 1), height), axis=1)
        batch = tf.gather(batch, _nearest(_side(batch, 2), width), axis=2)
    else:
        batch = _two_passes(batch, height, width, method)
    batch.set_shape([image.shape[0] if image.shape.rank == 4 else 1, *map(_static, (height, width)), image.shape[-1]])
    return batch if image.shape.rank == 4 else batch[0]


def _two_passes(batch: tf.Tensor, height, width, method: str) -> tf.Tensor:
    """Resample both sides, each pass rounded to 8 bits: so their order is part of the result."""
    import tensorflow as tf

    def along_height(batch):  # (B, H, W, C) -> (B, h, W, C)
        batch_size, rows, columns, channels = (_side(batch, axis) for axis in range(4))
        if _same(rows, height):
            return batch
        batch = _resample(tf.reshape(batch, (batch_size, rows, columns * channels)), rows, height, method)
        return tf.reshape(batch, (batch_size, height, columns, channels))

    def along_width(batch):  # (B, H, W, C) -> (B, H, w, C)
        columns = _side(batch, 2)
        if _same(columns, width):
            return batch
        planes = tf.transpose(batch, (0, 3, 2, 1))  # (B, C, W, H): the axis to resample comes last but one
        return tf.transpose(_resample(planes, columns, width, method), (0, 3, 2, 1))

    height_first = _height_first(_side(batch, 1), _side(batch, 2), height, width)
    if isinstance(height_first, bool):
        return along_width(along_height(batch)) if height_first else along_height(along_width(batch))
    return tf.cond(height_first, lambda: along_width(along_height(batch)), lambda: along_height(along_width(batch)))


def _height_first(rows, columns, height, width):
    """Whether the installed Pillow shrinks the height before it resizes the width."""
    if PILLOW_VERSION < (12, 2):
        return False
    shrinks = height < rows
    if PILLOW_VERSION < (13,):
        return shrinks & ((rows - 1) // 100 >= columns)  # over a hundred times; their product may not fit in 32 bits
    return shrinks & (rows - height > 2 * (columns - width))


def _resample(values: tf.Tensor, length, out, method: str) -> tf.Tensor:
    """Resample the last axis but one, (..., length, N) -> (..., out, N), as one small matrix product per block."""
    import tensorflow as tf

    indices, weights, taps = _windows(length, out, method)  # (blocks, window), (blocks, BLOCK, window)
    windows = tf.gather(values, indices, axis=-2)  # (..., blocks, window, N)
    if values.dtype == tf.uint8:
        # 22-bit coefficients times 8-bit values need 30 bits, more than float32 holds exactly. Split into two halves of
        # 11 bits, up to 64 products add up exactly in float32 (and in TF32); above that float64 does, more slowly.
        result = tf.cond(taps <= 64, lambda: _split_product(weights, windows), lambda: _product(weights, windows))
        if method in ("bicubic", "lanczos"):  # the others have no negative weights
            result = tf.clip_by_value(result, 0.0, 255.0)
    else:
        result = tf.matmul(weights, tf.cast(windows, tf.float64))
    result = tf.cast(result, values.dtype)  # (..., blocks, BLOCK, N); drops the fraction, as Pillow's shift does
    shape = tf.shape(result)
    result = tf.reshape(result, tf.concat([shape[:-3], [shape[-3] * BLOCK], shape[-1:]], 0))
    return result[..., :out, :]  # pyright: ignore[reportArgumentType]


def _split_product(weights: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    weights = _round(weights * 2.0**22)
    high = tf.floor(weights * 2.0**-11 + 0.5)
    low = weights - high * 2.0**11
    windows = tf.cast(windows, tf.float32)
    high = tf.matmul(tf.cast(high * 2.0**-11, tf.float32), windows)
    low = tf.matmul(tf.cast(low * 2.0**-11, tf.float32), windows)
    return high + (tf.floor(low) * 2.0**-11 + 0.5)


def _product(weights: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    result = tf.matmul(_round(weights * 2.0**22) * 2.0**-22, tf.cast(windows, tf.float64))
    return tf.cast(tf.floor(result + 0.5), tf.float32)


def _round(values: tf.Tensor) -> tf.Tensor:
    """To the nearest whole number, halves away from zero."""
    import tensorflow as tf

    return tf.sign(values) * tf.floor(tf.abs(values) + 0.5)


def _windows(length, out, method: str) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Source indices (blocks, window) of each block of outputs, weights (blocks, BLOCK, window), and the most taps."""
    import tensorflow as tf

    scale = tf.cast(length, tf.float64) / tf.cast(out, tf.float64)
    stretch = tf.maximum(scale, 1.0)
    reach = SUPPORT[method] * stretch
    blocks = (out + BLOCK - 1) // BLOCK
    position = tf.minimum(tf.range(blocks * BLOCK), out - 1)  # the last block is filled up with the last output
    center = (tf.cast(position, tf.float64) + 0.5) * scale
    first = tf.maximum(tf.cast(center - reach + 0.5, tf.int32), 0)
    last = tf.minimum(tf.cast(center + reach + 0.5, tf.int32), length)
    start = first[::BLOCK]
    window = tf.reduce_max(last[BLOCK - 1 :: BLOCK] - start)
    start = tf.minimum(start, length - window)
    indices = start[:, tf.newaxis] + tf.range(window)
    center, first, last = (tf.reshape(value, (blocks, BLOCK, 1)) for value in (center, first, last))
    source = indices[:, tf.newaxis, :]
    weights = _filter(method, (tf.cast(source, tf.float64) - center + 0.5) * (1.0 / stretch))
    weights = tf.where((source >= first) & (source < last), weights, tf.zeros_like(weights))
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, -1, keepdims=True))
    return indices, weights, tf.reduce_max(last - first)


def _filter(method: str, x: tf.Tensor) -> tf.Tensor:
    """Height of the filter at distance x from its centre, both in units of its stretched pixel."""
    import tensorflow as tf

    zero = tf.zeros_like(x)
    if method == "box":
        return tf.where((x > -0.5) & (x <= 0.5), tf.ones_like(x), zero)
    if method == "lanczos":
        return tf.where((x >= -3.0) & (x < 3.0), _sinc(x) * _sinc(x / 3.0), zero)
    x = tf.abs(x)
    if method == "bilinear":
        return tf.maximum(1.0 - x, 0.0)
    if method == "hamming":
        # Pillow writes these two constants in single precision.
        lobe = 0.540000021457672119140625 + 0.4600000083446502685546875 * tf.cos(x * math.pi)
        return tf.where(x < 1.0, _sinc(x) * lobe, zero)
    inner = (1.5 * x - 2.5) * x * x + 1.0  # Keys' bicubic with a = -0.5
    outer = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return tf.where(x < 1.0, inner, tf.where(x < 2.0, outer, zero))


def _sinc(x: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    angle = x * math.pi
    return tf.where(x == 0.0, tf.ones_like(x), tf.math.divide_no_nan(tf.sin(angle), angle))


def _nearest(length, out) -> tf.Tensor:
    """Source index of each output. Pillow adds the step up one by one, and that sum's rounding errors count."""
    import tensorflow as tf

    step = tf.cast(length, tf.float64) / tf.cast(out, tf.float64)
    steps = tf.concat([[step * 0.5], tf.fill([out - 1], step)], 0)
    return tf.minimum(tf.cast(tf.cumsum(steps), tf.int32), length - 1)


def _side(tensor: tf.Tensor, axis: int):
    """Length of an axis: an int where it is known, else a scalar tensor."""
    import tensorflow as tf

    known = tensor.shape[axis]
    return tf.shape(tensor)[axis] if known is None else known


def _static(value) -> int | None:
    return value if isinstance(value, int) else None


def _same(length, out) -> bool:
    return isinstance(length, int) and isinstance(out, int) and length == out


@spell_checked
def target_size(size: dict[str, int], height: Any, width: Any) -> tuple[Any, Any]:
    """(height, width) that an image is resized to: ints, or int32 tensors where a side is known only as a graph runs.

    Raises ValueError, or InvalidArgumentError in a graph, where a shortest edge would make the other over `MAX_SIDE`.
    """
    if "height" in size:
        return size["height"], size["width"]
    edge = size["shortest_edge"]  # the other side keeps the ratio, rounded down
    if not (isinstance(height, Integral) and isinstance(width, Integral)):
        return _target_tensors(edge, height, width)
    height, width = int(height), int(width)  # Python's own, which do not overflow
    if edge * max(height, width) > MAX_SIDE * min(height, width):
        raise ValueError("".join(_too_long(edge, str(height), str(width))))
    return (edge, edge * width // height) if height <= width else (edge * height // width, edge)


def _target_tensors(edge: int, height: Any, width: Any) -> tuple[tf.Tensor, tf.Tensor]:
    import tensorflow as tf

    height, width = tf.cast(height, tf.int64), tf.cast(width, tf.int64)  # 32 bits do not hold their products
    shortest, longest = tf.minimum(height, width), tf.maximum(height, width)
    told = tf.strings.join(_too_long(edge, tf.strings.as_string(height), tf.strings.as_string(width)))
    with tf.control_dependencies([tf.debugging.Assert(edge * longest <= MAX_SIDE * shortest, [told])]):
        sides = tf.cast(edge * tf.stack([height, width]) // tf.maximum(shortest, 1), tf.int32)
    return sides[0], sides[1]


def _too_long(edge: int, height: Any, width: Any) -> list[Any]:
    after = f", and a shortest edge of {edge} would make its longest over {MAX_SIDE} pixels: "
    return ["image is ", height, " x ", width, after, "give height and width instead."]


@spell_checked
def pillow_resize(image: np.ndarray, size: tuple[int, int], resample: int) -> np.ndarray:
    """uint8 (H, W, C) -> (h, w, C), by Pillow; for other than 3 channels each channel by itself."""
    height, width = size
    if image.shape[-1] == 3:
        picture = Image.fromarray(np.ascontiguousarray(image))
        return np.asarray(picture.resize((width, height), Image.Resampling(resample)))
    planes = (Image.fromarray(plane) for plane in np.ascontiguousarray(np.moveaxis(image, -1, 0)))
    return np.stack(
        [np.asarray(plane.resize((width, height), Image.Resampling(resample))) for plane in planes], axis=-1
    )
