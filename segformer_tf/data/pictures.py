"""Pictures as training sees them, and their masks, as arrays and without TensorFlow."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from segformer_tf.data.masks import coded, read_mask
from segformer_tf.data.splits import Split
from segformer_tf.images.opening import name_of, to_pixels
from segformer_tf.images.orientation import orientation

PNG = b"\x89PNG\r\n\x1a\n"
# Keywords of PNG's texts, and its chunk, that Pillow looks for an orientation in.
TEXTS, TEXT_KEYS = (b"tEXt", b"zTXt", b"iTXt"), (b"exif", b"xmp", b"XML:com.adobe.xmp", b"Raw profile type exif")


def read_picture(source: Path | bytes, value_range: tuple[float, float] | None = None, turn: bool = True) -> np.ndarray:
    """(H, W, 3) uint8; alpha is left out, grey repeated.

    Args:
        value_range: Values of pictures of over 8 bits that become 0 and 255; None: 0 and 65535 of 16-bit ones.
        turn: Whether to turn it as its EXIF or XMP says.

    Raises:
        OSError: The file cannot be decoded.
        ValueError: It has other channels, or values of over 16 bits and no range for them.
    """
    pixels = to_pixels(source, 3, "channels_last", strict=True, exif=turn, value_range=value_range)
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"{name_of(source)} holds {pixels.dtype} values, expected 8 or 16 bits: give value_range, the values of "
            "black and white, or save it as PNG."
        )
    return pixels


def may_turn(data: bytes) -> bool:
    """Whether Pillow may turn a JPEG or PNG, told without decoding it; True for what it cannot open."""
    if data.startswith(PNG):
        return _png_may_turn(data)
    try:
        return orientation(Image.open(BytesIO(data))) != 1
    except Exception:  # whoever decodes it says what is wrong
        return True


def _png_may_turn(data: bytes) -> bool:
    """By its chunks, also those behind the pixels: Pillow itself would have to decode these to tell."""
    place = len(PNG)
    while place + 8 <= len(data):
        kind, begin = data[place + 4 : place + 8], place + 8
        if kind == b"eXIf" or (kind in TEXTS and data[begin : begin + 80].partition(b"\0")[0] in TEXT_KEYS):
            return True
        place = begin + int.from_bytes(data[place : place + 4], "big") + 4  # the sum of check
    return False


def picture_of(split: Split, number: int) -> np.ndarray:
    """(H, W, 3) uint8, as viewers show it unless the split says that pictures are not turned."""
    return read_picture(split.images[number], split.value_range, split.turn)


def ids_of(split: Split, number: int) -> np.ndarray:
    """(H, W) int32 class ids, `UNLABELLED` where a pixel is not labelled.

    Raises:
        OSError, ValueError: A file cannot be read or understood.
    """
    if isinstance(split.targets[number], os.PathLike):
        return _ids(split, number, (0, 0))
    return _ids(split, number, picture_of(split, number).shape[:2])


def _ids(split: Split, number: int, size: tuple[int, ...]) -> np.ndarray:
    """(H, W) int32: a mask's file as it is, shapes drawn for a picture of that size."""
    target = split.targets[number]
    if isinstance(target, os.PathLike):
        return read_mask(Path(target), split.coding)
    return coded(target.ids(size), split.coding)


def pair_of(split: Split, number: int) -> tuple[np.ndarray, np.ndarray | int]:
    """A picture (H, W, 3) uint8 with its ids (H, W) int32, or its class id.

    Raises:
        OSError, ValueError: A file cannot be read or understood, or the mask has another size.
    """
    image = picture_of(split, number)
    if not split.has_masks:
        return image, int(split.targets[number])
    height, width = image.shape[:2]
    ids = _ids(split, number, (height, width))
    if ids.shape != (height, width):
        raise ValueError(
            f"the mask of {split.images[number]} has {ids.shape[0]} x {ids.shape[1]} pixels, expected the picture's "
            f"{height} x {width}: export it again in the picture's size."
        )
    return image, ids
