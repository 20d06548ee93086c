"""Which values a resized row is made of: bilinear, half-pixel centres, as TensorFlow and PyTorch resize."""

import numpy as np


def neighbours(pixels: slice, start: float, extent: float, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pixel of a side: the value before its centre, the one after it, and the weight of the latter.

    `length` values are spread over `extent` pixels from `start` on.
    """
    offsets = (np.arange(pixels.start, pixels.stop) - start).astype(np.float32)
    position = np.maximum((offsets + np.float32(0.5)) * np.float32(length / extent) - np.float32(0.5), 0)
    before = np.minimum(position.astype(np.int32), length - 1)
    return before, np.minimum(before + 1, length - 1), (position - before).astype(np.float32)
