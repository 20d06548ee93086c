"""A path, bytes or a file -> a decoded picture, upright, and its pixels; one clear sentence for what is no picture."""

from __future__ import annotations

import os
import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from segformer_tf.images import depths, tiff
from segformer_tf.images.arrays import to_array
from segformer_tf.images.orientation import upright
from segformer_tf.images.scaling import from_16_bit, stretch, to_channels_last, to_eight_bits
from segformer_tf.images.tiff import check_pixels
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.read import check_file

GREY_16 = ("I;16", "I;16L", "I;16B", "I;16N")
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # of a Path one slash is left; a drive's name is one letter
# What Pillow's errors say of whole files that it needs more for.
LACKING = {
    "Unable to locate Ghostscript": "is PostScript, which Pillow reads with Ghostscript: install that, or",
    "cannot find loader": "is of a kind that Pillow knows, and does not read here:",
}
LOSSY_FORMATS = ("JPEG", "MPO", "AVIF", "HEIF")


@spell_checked
def open_image(
    source: Any, exif: bool | None = None, page: int | None = None, channels: int = 3, deep: bool = False
) -> Image.Image | np.ndarray:
    """Path, bytes or file object -> loaded PIL image, of an animation its first frame; images and arrays stay.

    Args:
        exif: Whether to turn it as its EXIF tag says; None: files and bytes, but not PIL images.
        page: Of a TIFF of several pages the one that is meant, from 1; None: it must have one.
        channels, deep: What a TIFF is read for, see `tiff.open_tiff`; of more than 4 bands it gives an array.

    Raises FileNotFoundError, IsADirectoryError, or OSError with one sentence naming the file for what is not an image,
    is cut off, empty, no file but a pipe or a device, or has more pixels than Pillow's `MAX_IMAGE_PIXELS` (89,478,485;
    set it higher, or to None for no limit, where you trust the files); ValueError for a TIFF of several pages or
    other bands; TypeError for anything else than an image.
    """
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, Image.Image):
        return upright(source) if exif else source
    if data := _bytes(source):
        return _upright(_decode(data, name_of(source), page, channels, deep, exif), exif)
    if hasattr(source, "__array__"):  # tensors
        return to_array(source)
    raise TypeError(f"image is a {type(source).__name__}; expected a path, bytes, a PIL image, an array or a tensor.")


def _upright(image: Image.Image | np.ndarray, exif: bool | None) -> Image.Image | np.ndarray:
    """What a file holds, upright unless that is switched off."""
    return upright(image) if exif is not False and isinstance(image, Image.Image) else image


def name_of(source: Any) -> str:
    """What messages call a picture."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"The image given as {len(source)} bytes"
    if hasattr(source, "read"):
        return str(getattr(source, "name", "The file object"))
    return str(getattr(source, "filename", "") or "image")


def _bytes(source: Any) -> bytes | None:
    """What a file holds, None for what is no file."""
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not str(source):
            raise FileNotFoundError("The path of an image is empty; expected an image file.")
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a directory; expected an image file.")
        if not path.exists() and URL.match(str(source)):
            raise FileNotFoundError(f"{source} is an address, which is not fetched; download it and give the file.")
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; expected an image file.")
        check_file(path, "an image file (a pipe's bytes can be read and given as bytes)")
        data = path.read_bytes()
    elif isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif hasattr(source, "read"):
        data = source.read()
    else:
        return None
    if not data:
        raise OSError(f"{name_of(source)} is empty (0 bytes); expected an image.")
    return data


def _decode(
    data: bytes, name: str, page: int | None, channels: int, deep: bool, exif: bool | None
) -> Image.Image | np.ndarray:
    try:
        if data.startswith(tiff.STARTS):
            image = tiff.open_tiff(data, name, page, channels, deep, exif is not False)
            if isinstance(image, np.ndarray):
                return image
        else:
            image = Image.open(BytesIO(data))
        check_pixels(*image.size, name)
        cut = ";16" in depths.remember(image) and image.mode[0] != "I"
        if image.format in ANIMATED and getattr(image, "is_animated", False):
            _warn(f"{name} has several frames, of which the first is taken; `segformer-tf video` labels all.")
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # beyond twice the limit, or warned
        raise OSError(f"{name} is too large to decode safely: {error}; {tiff.HIGHER}.") from None
    except (Warning, ImportError):
        raise
    except UnidentifiedImageError:
        raise OSError(f"{name} is not an image in a format that Pillow reads.") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        if name in str(error):
            raise
        if lacking := next((told for text, told in LACKING.items() if text in str(error)), None):
            raise OSError(f"{name} {lacking} convert it to PNG.") from error
        raise OSError(f"{name} is damaged or cut off and cannot be decoded ({error}).") from error
    if cut and 0 < int(np.asarray(image.convert("RGB")).max()) < 16:
        _warn(
            f"{name} holds colours of 16 bits up to {16 * 256}, of which Pillow keeps 8, nearly black: data of 12 "
            "bits? Save it as a TIFF and give value_range=(0, 4095), or convert it to 8 bits."
        )
    return image


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=5)  # where `open_image` was called


def is_lossy(source: Any) -> bool:
    """Whether a file (path, bytes or file object) is a picture in a format that changes values, whatever its name says.

    JPEG, lossy WebP, AVIF, HEIF and TIFF with one of these inside: no format for a mask, whose ids it smears.
    """
    data = _bytes(source)
    if data is None:
        return False
    try:
        return _is_lossy(tiff.by_pillow(data), data)
    except Exception:  # whoever opens it says what is wrong with it
        return False


def _is_lossy(image: Any, data: bytes) -> bool:
    """As `is_lossy`, of a picture as it was opened from `data`, before it is turned and forgets its format."""
    kind = getattr(image, "format", None)
    if kind == "WEBP":
        return bool(data) and b"VP8L" not in data
    return kind in LOSSY_FORMATS or (kind == "TIFF" and image.tag_v2.get(tiff.COMPRESSION) in tiff.LOSSY)


def to_pixels(
    source: Any,
    channels: int | None,
    data_format: str | None,
    strict: bool,
    exif: bool | None = None,
    value_range: tuple[float, float] | None = None,
    page: int | None = None,
) -> np.ndarray:
    """Anything `open_image` takes -> (H, W, C): uint8, or the array's own type where that is float or a wider integer.

    PIL images are converted to RGB for `channels` 3 and to grey for 1; alpha is dropped, not blended. `channels` None
    is 3 for pictures, and for arrays and tensors as many as they have. With
    `value_range` (low, high) everything but 8-bit values is stretched from there to 0 to 255. Without, 16-bit greys are
    divided by 257: always for mode "I;16" and uint16 arrays, for mode "I" if a value is over 255. Floats of grey and
    colour pictures, of files and in PIL images, are 0 to 1 or 0 to 255 and become 8 bits too; those of arrays, and of
    other bands, stay.
    Raises ValueError, naming a file, for NaN, infinite or out-of-range values and for other channels.
    """
    image = open_image(source, exif, page, channels or 3, value_range is not None)
    name = name_of(source)
    drawn = isinstance(image, Image.Image) or not (isinstance(source, np.ndarray) or hasattr(source, "__array__"))
    if drawn:  # a picture, of a file where it is an array by now; not an array of the caller's
        data_format, channels = "channels_last", channels or 3
    try:
        if isinstance(image, Image.Image):
            image = _from_pil(image, channels or 3, value_range is not None)
        return to_channels_last(_in_range(image, name, value_range, drawn), channels, data_format, strict)
    except ValueError as error:
        if name == "image":
            raise
        raise ValueError(f"{name}: {error}") from None


def _in_range(image: np.ndarray, name: str, value_range: tuple[float, float] | None, drawn: bool) -> np.ndarray:
    """Values of any type, of a picture (`drawn`) or an array, as `to_pixels` gives them."""
    if image.dtype == bool:
        return image.astype(np.uint8)
    if image.dtype.name == "bfloat16":
        image = image.astype(np.float32)
    if image.dtype.kind not in "uif":
        raise ValueError(f"image has dtype {image.dtype}; expected integers or floats.")
    image = image.astype(image.dtype.newbyteorder("="), copy=False)  # `>u2` is not equal to `np.uint16`
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ValueError("image has NaN or infinite values; expected finite ones.")
    if value_range is not None and image.dtype != np.uint8:
        return stretch(image, value_range)
    if drawn and image.dtype.kind == "f" and (image.ndim == 2 or image.shape[-1] in (1, 3)):
        return to_eight_bits(image, rounded=True)[0]
    return from_16_bit(image, name) if image.dtype == np.uint16 else image


def _from_pil(image: Image.Image, channels: int, stretched: bool) -> np.ndarray:
    if image.mode in GREY_16 and tiff.WHITE in image.info:
        return image.info[tiff.WHITE] - np.asarray(image)
    if image.mode in (*GREY_16, "F") or (stretched and image.mode == "I"):
        return np.asarray(image)
    if image.mode == "I":
        values = np.asarray(image)
        low, high = int(values.min()), int(values.max())
        if low < 0 or high > 65535:
            raise ValueError(
                f"image of mode I has values from {low} to {high}; expected 0 to 65535, or give value_range."
            )
        return values.astype(np.uint8 if high <= 255 else np.uint16)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # Pillow warns where a palette with transparency goes to RGB directly
    mode = {1: "L", 3: "RGB"}.get(channels)
    return np.asarray(image.convert(mode) if mode else image)


def to_class_ids(source: Any, exif: bool | None = None, page: int | None = None) -> np.ndarray:
    """Anything `open_image` takes -> (H, W) class ids: integers as the file holds them, of a palette its indices.

    Of a PIL image they are its values, which of greys of 2 and 4 bits Pillow has multiplied by 85 and 17.

    Raises ValueError, naming a file, for several channels, ids that are not whole numbers and lossy formats.
    """
    name = name_of(source)
    name = "segmentation map" if name == "image" else name
    data = None if isinstance(source, np.ndarray | Image.Image) else _bytes(source)
    opened = source if data is None else _decode(data, name, page, 3, False, exif)
    if _is_lossy(opened, data or b""):
        raise ValueError(f"{name} is a lossy picture, which smears class ids; expected a PNG: export the mask again.")
    ids = open_image(source, exif) if data is None else _upright(opened, exif)
    if isinstance(ids, Image.Image):
        if ids.mode not in ("1", "L", "P", "I", "F", *GREY_16):
            raise ValueError(
                f"{name} has mode {ids.mode}; expected one channel of class ids (mode L, P, I, I;16 or 1)."
            )
        ids = np.asarray(ids if data is None else depths.as_held(ids))
    if ids.ndim == 3 and 1 in (ids.shape[0], ids.shape[-1]):
        ids = ids[..., 0] if ids.shape[-1] == 1 else ids[0]
    if ids.ndim != 2 or 0 in ids.shape:
        raise ValueError(f"{name} has shape {ids.shape}; expected (H, W).")
    if ids.dtype.kind == "f" and not (np.isfinite(ids).all() and (ids == np.trunc(ids)).all()):
        raise ValueError(f"{name} has values that are not whole numbers; expected class ids.")
    return ids.astype(np.int64)
