"""Which values a resized row is made of: bilinear, half-pixel centres, as TensorFlow and PyTorch resize."""

import math

import numpy as np


def neighbours(
    pixels: slice | np.ndarray, start: float, extent: float, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of these pixels of a side: the value before its centre, the one after it, and the weight of the latter.

    `length` values are spread over `extent` pixels from `start` on.
    """
    offsets = (np.r_[pixels] - start).astype(np.float32)
    position = np.maximum((offsets + np.float32(0.5)) * np.float32(length / extent) - np.float32(0.5), 0)
    before = np.minimum(position.astype(np.int32), length - 1)
    return before, np.minimum(before + 1, length - 1), (position - before).astype(np.float32)


def first_pixel(edge: float, length: int) -> int:
    """The first of `length` pixels whose centre is not before `edge`."""
    return length if edge >= length else max(math.ceil(edge - 0.5), 0)


def edges_of(edges: list[float], start: int, end: int) -> list[int]:
    """The pixels between `start` and `end` at which a part begins or ends, with both."""
    places = {first_pixel(edge, end) for edge in edges}
    return sorted({start, end, *(place for place in places if start < place < end)}) if start < end else []
