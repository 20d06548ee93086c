"""Labels of pixels between four logits, with those classes alone that can win there.

A cell is the pixels between the same four logits: what lies between two rows of them and two columns. A bilinear mean
is never above the largest of its four values nor below the smallest: a class whose largest is below another's smallest
wins nowhere in the cell. Of 11 classes two or three are left, of 150 not many more.
"""

from collections.abc import Iterator

import numpy as np

ROUNDING = 1e-5  # of the largest logit: well above what float32 loses in a mean of four
LARGEST = 1e30  # logits above it would overflow between two of different signs
CORNER_VALUES = 2**19  # logits (cells times classes) that are looked at together: two megabytes a corner
CHUNK_VALUES = 2**17  # values (pixels times classes) that are computed together: half a megabyte a copy
Sides = tuple[np.ndarray, np.ndarray, np.ndarray]


def scale_of(logits: np.ndarray) -> float:
    """The largest of logits without its sign; infinite where `fill` cannot take them."""
    scale = float(np.maximum(logits.max(), -logits.min()))
    return scale if scale < LARGEST else np.inf  # also where there is a NaN


def fill(labels: np.ndarray, logits: np.ndarray, votes: np.ndarray, down: Sides, across: Sides, scale: float) -> None:
    """Writes the class of every pixel of `labels` (rows, columns), as `merging` finds it from all classes.

    `logits` (h, w, C) are at most `scale`, without their signs; `votes` (h, w) are their likeliest classes; `down` and
    `across` are the `neighbours` of the rows and columns.
    """
    (upper, lower, _), (left, right, _) = down, across
    rows, heights = _runs(upper)
    columns, widths = _runs(left)
    corners = [(y[rows], x[columns]) for y in (upper, lower) for x in (left, right)]  # rows and columns of logits
    first, *others = (votes[np.ix_(*corner)] for corner in corners)
    made = first.astype(labels.dtype, copy=False).repeat(widths, axis=1).repeat(heights, axis=0)
    row, column = np.nonzero(np.logical_or.reduce([first != other for other in others]))
    margin, pixels = np.float32(ROUNDING * scale), int(heights.max() * widths.max())
    step = max(CORNER_VALUES // logits.shape[-1], 1)
    for start in range(0, len(row), step):
        y, x = row[start : start + step], column[start : start + step]
        values = [logits[beside[y], ahead[x]] for beside, ahead in corners]  # four of (cells, C)
        for some, ids in _candidates(values, margin, pixels):
            places = rows[y[some]], columns[x[some]], heights[y[some]], widths[x[some]]
            few = [np.take_along_axis(value[some], ids, axis=1).T for value in values]  # four of (candidates, cells)
            _choose(made, ids.T.astype(labels.dtype), few, places, down[2], across[2])
    labels[...] = made


def _runs(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where values that follow each other and are the same begin, and how many they are."""
    starts = np.flatnonzero(np.diff(values, prepend=-1))
    return starts, np.diff(starts, append=len(values))


def _candidates(values: list[np.ndarray], margin: np.float32, pixels: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Cells, and the classes (cells, some) of each that can win there, in rising order; cells of as many together."""
    highest = np.maximum(np.maximum(values[0], values[1]), np.maximum(values[2], values[3]))
    lowest = np.minimum(np.minimum(values[0], values[1]), np.minimum(values[2], values[3]))
    cell, ids = np.nonzero(highest >= lowest.max(axis=1, keepdims=True) - margin)
    last = np.searchsorted(cell, np.arange(1, len(highest) + 1)) - 1
    first = np.concatenate([[0], last[:-1] + 1])
    sizes = (last - first).astype(np.float32)
    bins = np.where(sizes < 4, sizes, 2 ** np.ceil(np.log2(sizes + 1)) - 1).astype(int) + 1  # 2, 3, 4, 8, 16, ...
    for size in sorted(set(bins.tolist())):
        cells = np.flatnonzero(bins == size)
        chunk = max(CHUNK_VALUES // (size * pixels), 1)
        for start in range(0, len(cells), chunk):
            some = cells[start : start + chunk]
            places = first[some, np.newaxis] + np.arange(size)
            yield some, ids[np.minimum(places, last[some, np.newaxis])]  # the last is repeated where there are fewer


def _choose(labels, ids, corners, places, down, across) -> None:
    """Labels cells of a contiguous map: `ids` and each of the four `corners` are (candidates, cells)."""
    flat = labels.reshape(-1)  # the same memory; one index a pixel takes half the time of two
    top, left, height, width = places
    cell = np.repeat(np.arange(len(left)), width)  # for each of the cells' columns of pixels
    column = left[cell] + np.arange(len(cell)) - np.repeat(np.cumsum(width) - width, width)
    weight = across[column]
    start, end, below_start, below_end = (np.take(corner, cell, axis=1) for corner in corners)
    above = start + (end - start) * weight  # as `merging` blends, to the bit
    slope = below_start + (below_end - below_start) * weight - above
    heights = height[cell]
    for count in sorted(set(height.tolist())):
        some = np.flatnonzero(heights == count)
        rows = top[cell[some]] + np.arange(count)[:, np.newaxis]  # (count, columns)
        weight = down.take(rows)
        best: np.ndarray = np.broadcast_to(ids[0][cell[some]], rows.shape).copy()
        most = slope[0][some] * weight
        most += above[0][some]
        for candidate in range(1, len(ids)):
            value = slope[candidate][some] * weight
            value += above[candidate][some]
            np.copyto(best, ids[candidate][cell[some]], where=value > most)
            if candidate < len(ids) - 1:
                np.maximum(most, value, out=most)
        rows *= labels.shape[1]
        rows += column[some]
        flat[rows] = best
