"""One picture of a split and its mask as arrays, without TensorFlow."""

import os

import numpy as np

from segformer_tf.data.masks import coded, read_mask
from segformer_tf.data.pictures import read_picture
from segformer_tf.data.splits import Split


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
