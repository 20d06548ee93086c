"""A large picture in overlapping windows: what each says is averaged on the logits' grid, a quarter of the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

CELL = 4  # pixels a side that one logit stands for


def slide(
    run: Callable[[np.ndarray], np.ndarray],
    pixel_values: np.ndarray,
    window: tuple[int, int] = (1024, 1024),
    stride: tuple[int, int] = (768, 768),
) -> np.ndarray:
    """Mean logits of the windows over a picture: (H, W, C) -> (ceil(H / 4), ceil(W / 4), classes) float32.

    `run` turns (1, h, w, C) into (1, h / 4, w / 4, classes). The picture is filled up with zeros to whole cells, so
    that windows meet on the grid of logits; averaging there keeps memory at a sixteenth of full-size logits.
    Source: slide inference as the authors' evaluation of Cityscapes has it (windows of 1024, stride 768).

    Raises:
        ValueError: A window or stride that is not a positive multiple of 4, or a stride larger than its window.
    """
    check_windows(window, stride)
    height, width = (-(-side // CELL) for side in pixel_values.shape[:2])
    padding = [(0, height * CELL - pixel_values.shape[0]), (0, width * CELL - pixel_values.shape[1]), (0, 0)]
    picture = np.pad(pixel_values, padding)
    total, counts = None, np.zeros((height, width, 1), np.float32)
    for top, bottom in spans(height * CELL, window[0], stride[0]):
        for left, right in spans(width * CELL, window[1], stride[1]):
            logits = np.asarray(run(picture[np.newaxis, top:bottom, left:right]), np.float32)[0]
            if total is None:
                total = np.zeros((height, width, logits.shape[-1]), np.float32)
            cells = slice(top // CELL, bottom // CELL), slice(left // CELL, right // CELL)
            total[cells] += logits
            counts[cells] += 1
    assert total is not None  # there is at least one window
    return total / counts


def spans(length: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Start and end of each window along one side; the last one is moved back so that it ends with the picture."""
    for index in range(max(length - window + stride - 1, 0) // stride + 1):
        end = min(index * stride + window, length)
        yield max(end - window, 0), end


def check_windows(window: tuple[int, int], stride: tuple[int, int]) -> None:
    """Raises ValueError unless both are (height, width) in multiples of 4 pixels and windows leave no gap."""
    for name, sides in (("window", window), ("stride", stride)):
        if len(sides) != 2 or any(side < CELL or side % CELL for side in sides):
            raise ValueError(
                f"{name} is {tuple(sides)}; expected (height, width) in positive multiples of {CELL} pixels."
            )
    if any(step > side for step, side in zip(stride, window, strict=True)):
        raise ValueError(
            f"stride is {tuple(stride)}; expected at most the window, {tuple(window)}, or pixels are missed."
        )
