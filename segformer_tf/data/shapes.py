"""Annotations as shapes -> class ids: polygons, rectangles, circles, bitmaps, run lengths, at a picture's size.

A pixel belongs to a polygon if its centre lies inside (even-odd rule); coordinates are those of pixel edges, so that
(0, 0) to (W, H) is the whole picture, as in COCO. Later shapes lie over earlier ones; what none covers is
background, 0.
"""

import base64
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.images.opening import open_image

FAR = 1e9  # pixels from a picture's corner; what is further is a fault, and may be too much for differences


@dataclass(frozen=True)
class Shapes:
    """A mask that is drawn when it is needed.

    Args:
        file: The annotation file, for messages.
        read: -> [(class id, mask (H, W) bool)] for a size (H, W), in the order they are drawn.
        size: Height and width that the annotation says its picture has, if it does.
    """

    file: Path
    read: Callable[[tuple[int, int]], Sequence[tuple[int, np.ndarray]]]
    size: tuple[int, int] | None = None

    def ids(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W) int32 ids for the picture of that size.

        Raises ValueError where the annotation is of another size, or cannot be understood.
        """
        if self.size is not None and tuple(self.size) != tuple(size):
            raise ValueError(
                f"{self.file} is for a picture of {self.size[0]} x {self.size[1]} pixels, but its picture is "
                f"{size[0]} x {size[1]} as viewers show it: annotate that one, or correct the size."
            )
        ids = np.zeros(size, np.int32)
        for number, mask in self.read(size):
            ids[mask] = number
        return ids


def _points(values: Any, least: int, most: int | None = None) -> np.ndarray:
    """Numbers, in pairs or one after the other -> (N, 2) x and y; ValueError where they are no such points."""
    numbers = np.asarray(values, np.float64).ravel()
    if numbers.size % 2 or not least <= numbers.size // 2 <= (most or numbers.size):
        pairs = f"{'' if most else 'at least '}{least} pair{'s' * (least > 1)}"
        raise ValueError(f"it has {numbers.size} numbers, expected {pairs} of x and y")
    if len(far := numbers[~(np.abs(numbers) < FAR)]):  # NaN compares false
        raise ValueError(f"it has the coordinate {far[0]:g}, expected pixels")
    return numbers.reshape(-1, 2)


def flat(points: Any) -> bool:
    """Whether a polygon has fewer than three points, in pairs or one after the other, and so no area."""
    if not isinstance(points, (list, tuple)):
        return False
    return len(points) < 3 if points and isinstance(points[0], (list, tuple)) else len(points) in (0, 2, 4)


def polygon(points: Any, size: tuple[int, int]) -> np.ndarray:
    """At least three x and y in pixels, (N, 2) or (2 N,) -> (H, W) bool: the pixels whose centres lie inside."""
    x, y = _points(points, 3).T
    inside = np.zeros(size, bool)
    height, width = size
    first, last = max(math.ceil(y.min() - 0.5), 0), min(math.ceil(y.max() - 0.5), height)
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    for row in range(first, last):
        middle = row + 0.5
        crossed = (y <= middle) != (y2 <= middle)
        where = np.sort(x[crossed] + (middle - y[crossed]) / (y2 - y)[crossed] * (x2 - x)[crossed])
        ends = np.clip(np.ceil(where - 0.5), 0, width).astype(int)
        for left, right in zip(ends[::2], ends[1::2], strict=True):
            inside[row, left:right] = True
    return inside


def rectangle(points: Any, size: tuple[int, int]) -> np.ndarray:
    """Two opposite corners -> (H, W) bool."""
    (left, top), (right, bottom) = np.sort(_points(points, 2, 2), axis=0)
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)], size)


def circle(points: Any, size: tuple[int, int]) -> np.ndarray:
    """Centre and a point of the edge -> (H, W) bool."""
    (x, y), (edge_x, edge_y) = _points(points, 2, 2)
    rows, columns = np.arange(size[0])[:, None] + 0.5, np.arange(size[1]) + 0.5
    return (rows - y) ** 2 + (columns - x) ** 2 <= (edge_x - x) ** 2 + (edge_y - y) ** 2


def bitmap(encoded: str, corner: Any, size: tuple[int, int]) -> np.ndarray:
    """A PNG in base64 that lies with its left upper corner at (x, y) -> (H, W) bool."""
    picture: Any = open_image(base64.b64decode(encoded))
    part = np.asarray(picture.convert("L")) > 0
    left, top = (round(value) for value in _points(corner, 1, 1)[0])
    mask = np.zeros(size, bool)
    rows, columns = (
        slice(max(start, 0), max(start + length, 0)) for start, length in zip((top, left), part.shape, strict=True)
    )
    target = mask[rows, columns]
    target[:] = part[max(-top, 0) :, max(-left, 0) :][: target.shape[0], : target.shape[1]]
    return mask


def run_lengths(counts: str | bytes | Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """COCO's RLE -> (H, W) bool: lengths of runs of 0, 1, 0 ... down the columns, as numbers or as COCO's text."""
    lengths = np.asarray(_decoded(counts) if isinstance(counts, (str, bytes)) else counts, np.int64)
    pixels = size[0] * size[1]  # each by itself too: a sum of huge ones may come to the right number
    if lengths.ndim != 1 or (lengths < 0).any() or (lengths > pixels).any() or lengths.sum() != pixels:
        raise ValueError(f"its run lengths cover {int(lengths.sum())} pixels, expected {size[0] * size[1]}")
    values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return values.reshape(size[1], size[0]).T


def _decoded(text: str | bytes) -> list[int]:
    """COCO's text: six bits a character, the lowest five of a number first, from the third on as a difference."""
    data = text.encode() if isinstance(text, str) else text
    lengths: list[int] = []
    number = shift = 0
    for character in data:
        bits = character - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:  # more of this number follows
            continue
        if bits & 16:  # negative
            number -= 1 << shift
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number = shift = 0
    return lengths
