"""Pictures as training sees them, and their masks, as arrays and without TensorFlow."""

import os
from pathlib import Path

import numpy as np

from segformer_tf.data.masks import coded, read_mask
from segformer_tf.data.splits import Split
from segformer_tf.images.opening import name_of, to_pixels


def read_picture(source: Path | bytes, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """(H, W, 3) uint8, turned as its EXIF tag says; alpha is left out, grey repeated.

    Args:
        value_range: Values of pictures of over 8 bits that become 0 and 255; None: 0 and 65535 of 16-bit ones.

    Raises:
        OSError: The file cannot be decoded.
        ValueError: It has other channels, or values of over 16 bits and no range for them.
    """
    pixels = to_pixels(source, 3, "channels_last", strict=True, value_range=value_range)
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"{name_of(source)} holds {pixels.dtype} values, expected 8 or 16 bits: give value_range, the values of "
            "black and white, or save it as PNG."
        )
    return pixels


def picture_of(split: Split, number: int) -> np.ndarray:
    """(H, W, 3) uint8, as viewers show it."""
    return read_picture(split.images[number], split.value_range)


def ids_of(split: Split, number: int) -> np.ndarray:
    """(H, W) int32 class ids, `UNLABELLED` where a pixel is not labelled.

    Raises:
        OSError, ValueError: A file cannot be read or understood.
    """
    target = split.targets[number]
    if isinstance(target, os.PathLike):
        return read_mask(target, split.coding)
    height, width = picture_of(split, number).shape[:2]
    return coded(target.ids((height, width)), split.coding)


def pair_of(split: Split, number: int) -> tuple[np.ndarray, np.ndarray | int]:
    """A picture (H, W, 3) uint8 with its ids (H, W) int32, or its class id.

    Raises:
        OSError, ValueError: A file cannot be read or understood, or the mask has another size.
    """
    image = picture_of(split, number)
    target = split.targets[number]
    if not split.has_masks:
        return image, int(target)
    height, width = image.shape[:2]
    by_file = isinstance(target, os.PathLike)
    ids = read_mask(target, split.coding) if by_file else coded(target.ids((height, width)), split.coding)
    if ids.shape != (height, width):
        raise ValueError(
            f"the mask of {split.images[number]} has {ids.shape[0]} x {ids.shape[1]} pixels, expected the picture's "
            f"{height} x {width}: export it again in the picture's size."
        )
    return image, ids
