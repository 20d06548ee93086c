"""A path, bytes or a file -> a decoded PIL image, with one clear sentence for what is no image."""

from __future__ import annotations

import os
import sys
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


def open_image(source: Any) -> Image.Image | np.ndarray:
    """Path, bytes or file object -> loaded PIL image, of an animation its first frame; images and arrays stay.

    Raises FileNotFoundError, IsADirectoryError, or OSError with one sentence naming the file for what is not an image,
    is cut off, empty, or larger than Pillow's `MAX_IMAGE_PIXELS` allows; TypeError for anything else than an image.
    """
    if isinstance(source, Image.Image | np.ndarray):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a directory; expected an image file.")
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; expected an image file.")
        return _decode(path.read_bytes(), str(path))
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source), f"The image given as {len(source)} bytes")
    if hasattr(source, "read"):
        return _decode(source.read(), str(getattr(source, "name", "The file object")))
    if hasattr(source, "__array__"):  # TensorFlow and Keras tensors
        return np.asarray(source)
    raise TypeError(f"image is a {type(source).__name__}; expected a path, bytes, a PIL image, an array or a tensor.")


def _decode(data: bytes, name: str) -> Image.Image:
    if not data:
        raise OSError(f"{name} is empty (0 bytes); expected an image.")
    try:
        image = Image.open(BytesIO(data))
        image.load()
    except Warning:  # a DecompressionBombWarning, where the caller has made warnings errors
        raise
    except UnidentifiedImageError:
        raise OSError(f"{name} is not an image in a format that Pillow reads.") from None
    except Image.DecompressionBombError as error:
        raise OSError(f"{name} is too large to decode safely: {error}") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise OSError(f"{name} is damaged or cut off and cannot be decoded ({error}).") from error
    return image


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


def to_channels_last(image: np.ndarray, channels: int, data_format: str | None, strict: bool) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) -> (H, W, C), with a grey image repeated to `channels` = 3.

    With `data_format` None the axis of `channels` (else of 1, else of 3) values is taken, the first if both ends fit.
    Raises ValueError where no axis fits, or `strict` and the count is not `channels`.
    """
    if image.ndim == 2:
        image, data_format = image[..., np.newaxis], "channels_last"
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}; expected (H, W), (H, W, C) or (C, H, W) with no side of 0.")
    wanted = f"{channels} channels" if strict else f"{channels}, 1 or 3 channels"
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


def _infer(shape: tuple[int, ...], channels: int) -> str | None:
    for count in (channels, 1, 3):
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


GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")


def to_pixels(source: Any, channels: int, data_format: str | None, strict: bool, exif: bool) -> np.ndarray:
    """Anything `open_image` takes -> (H, W, C): uint8, or the array's own type where that is float or a wider integer.

    PIL images are converted to RGB for `channels` 3 and to grey for 1; alpha is dropped, not blended. 16-bit greys are
    divided by 257: always for mode "I;16" and uint16 arrays, for mode "I" if a value is over 255.
    `exif` turns a PIL image as its EXIF tag says. Raises ValueError for NaN, infinite or out-of-range values.
    """
    image = open_image(source)
    if isinstance(image, Image.Image):
        image, data_format = _from_pil(ImageOps.exif_transpose(image) if exif else image, channels), "channels_last"
    if image.dtype == bool:
        image = image.astype(np.uint8)
    if image.dtype == np.uint16:
        image = _from_16_bit(image)
    if image.dtype.kind not in "uif" and image.dtype.name != "bfloat16":
        raise ValueError(f"image has dtype {image.dtype}; expected integers or floats.")
    if image.dtype.name == "bfloat16":
        image = image.astype(np.float32)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError("image has NaN or infinite values; expected finite ones.")
    return to_channels_last(image, channels, data_format, strict)


def _from_pil(image: Image.Image, channels: int) -> np.ndarray:
    if image.mode in GREY_16:
        return np.asarray(image)
    if image.mode == "I":
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ValueError(f"image of mode I has values from {low} to {high}; expected 0 to 65535.")
        return values.astype(np.uint8 if high <= 255 else np.uint16)
    if image.mode == "F":
        return to_eight_bits(np.asarray(image), rounded=True)[0]
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Pillow warns where a palette with transparency goes to RGB directly
    mode = {1: "L", 3: "RGB"}.get(channels)
    return np.asarray(image.convert(mode) if mode else image)


def _from_16_bit(values: np.ndarray) -> np.ndarray:
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


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


def to_class_ids(source: Any) -> np.ndarray:
    """Anything `open_image` takes -> (H, W) integers: class ids, of a palette image its indices.

    Raises ValueError for several channels and for ids that are not whole numbers.
    """
    ids = open_image(source)
    if isinstance(ids, Image.Image):
        if ids.mode not in ("1", "L", "P", "I", "F", *GREY_16):
            raise ValueError(
                f"segmentation map has mode {ids.mode}; expected one channel of class ids (mode L, P, I, I;16 or 1)."
            )
        ids = np.asarray(ids)
    if ids.ndim == 3 and 1 in (ids.shape[0], ids.shape[-1]):
        ids = ids[..., 0] if ids.shape[-1] == 1 else ids[0]
    if ids.ndim != 2 or 0 in ids.shape:
        raise ValueError(f"segmentation map has shape {ids.shape}; expected (H, W).")
    if ids.dtype.kind == "f" and not (np.isfinite(ids).all() and (ids == np.trunc(ids)).all()):
        raise ValueError("segmentation map has values that are not whole numbers; expected class ids.")
    return ids.astype(np.int64)


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
