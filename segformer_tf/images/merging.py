"""Logits of the parts of a picture -> its label map at full size, band after band of rows.

Full-size logits are: of one part its logits resized bilinearly (half-pixel centres) to the pixels it covers, where
parts overlap their mean, plain or weighted; of several variants of a picture (scales, mirror images) the mean of their
class probabilities. They exist for some pixels at a time. Where all logits around a pixel agree on the class, so does
every mean of them: only the other pixels are computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from segformer_tf.images.bilinear import edges_of, first_pixel, neighbours
from segformer_tf.images.cells import fill, scale_of
from segformer_tf.images.probabilities import entropy, softmax

BAND_PIXELS = 2**20  # pixels that are looked at together
CHUNK_VALUES = 2**17  # values (pixels times classes) that are computed together: half a megabyte a copy
CELL_PIXELS = 32  # between four logits, from which on `cells.fill` is faster than looking at every pixel's classes
BLENDS = ("mean", "gaussian")  # how overlapping parts count: alike, or most in their middle
BELL = 1 / 8  # standard deviation of "gaussian", in sides of a part


class Box(NamedTuple):
    """The pixels of the result that a part's logits are spread over; may be fractions, and reach past the picture.

    Its ends stand here, not its sides: parts that lie side by side then share an edge to the last bit.
    """

    top: float
    left: float
    bottom: float
    right: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def width(self) -> float:
        return self.right - self.left

    def covers(self, row: float, column: float) -> bool:
        return self.top <= row < self.bottom and self.left <= column < self.right


class Part(NamedTuple):
    """Logits (h, w, C) float32 of a box, the classes that each votes for (h, w), and the variant they belong to.

    The first `cut` rows of both, which are done, are let go.
    """

    logits: np.ndarray
    votes: np.ndarray
    box: Box
    variant: int
    cut: int = 0

    @property
    def pixels(self) -> float:
        """Between four logits."""
        return self.box.height * self.box.width / ((len(self.votes) + self.cut) * self.votes.shape[1])

    def rows(self, pixels: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`neighbours` of rows of pixels, counted in the rows that are left."""
        upper, lower, weight = neighbours(pixels, self.box.top, self.box.height, len(self.votes) + self.cut)
        return upper - self.cut, lower - self.cut, weight

    def below(self, done: int) -> Part:
        """Without the rows that no pixel from row `done` on needs, if these are a quarter or more."""
        first = int(self.rows(slice(done, done + 1))[0][0])
        if first < len(self.votes) / 4:
            return self
        return self._replace(logits=self.logits[first:].copy(), votes=self.votes[first:].copy(), cut=self.cut + first)


class Merger:
    """A label map that fills from the top as parts come; a part is let go when its last row is done.

    Args:
        size: (height, width) of the result.
        scores: Also keep the probability of each pixel's label, (H, W) float16; takes many times as long.
        maps: Also keep these, (H, W) float16 each: the probability of a class (its id), or "entropy" from 0 (sure) to 1
            (all classes alike).
        blend: "mean", or "gaussian": overlapping parts count by a bell over each, so that their edges do not show.
        temperature: What logits are divided by for these probabilities; labels are the same for all temperatures.
    """

    def __init__(
        self, size: tuple[int, int], scores=False, maps: Sequence[Any] = (), blend="mean", temperature: float = 1.0
    ):
        self.size = size
        self.scores = np.empty(size, np.float16) if scores else None
        self.maps = {kind: np.empty(size, np.float16) for kind in maps}
        self.blend = blend
        self.temperature = np.float32(temperature)
        self.parts: list[Part] = []
        self.done = 0  # rows
        self._classes: Any = None  # (H, W), as small as ids can be: a quarter of int32's memory while parts come

    @property
    def labels(self) -> np.ndarray:
        """Class ids, (H, W) int32; made anew at each call."""
        return self._classes.astype(np.int32)

    def add(self, logits: np.ndarray, box: Box | None = None, variant: int = 0) -> None:
        """Logits (h, w, C) of a box, or the whole picture; one class gets a second, the rest, whose logit is 0."""
        logits = np.ascontiguousarray(logits, np.float32)
        if logits.shape[-1] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=-1)
        votes = logits.argmax(-1).astype(np.uint8 if logits.shape[-1] <= 256 else np.int32)
        if self._classes is None:
            self._classes = np.empty(self.size, votes.dtype)
        self.parts.append(Part(logits, votes, box or Box(0, 0, *self.size), variant))

    def finish(self, until: float = math.inf) -> None:
        """Labels all rows above `until`, for which every part must have come."""
        height, width = self.size
        until = first_pixel(until, height)
        rows = edges_of([edge for part in self.parts for edge in (part.box.top, part.box.bottom)], self.done, until)
        columns = edges_of([edge for part in self.parts for edge in (part.box.left, part.box.right)], 0, width)
        for top, bottom in pairwise(rows):
            for left, right in pairwise(columns):
                inside = [part for part in self.parts if part.box.covers(top + 0.5, left + 0.5)]
                self._label(slice(top, bottom), slice(left, right), inside)
        self.done = max(self.done, until)
        left = [part for part in self.parts if first_pixel(part.box.bottom, height) > self.done]
        self.parts = [part.below(self.done) for part in left]

    def _label(self, rows: slice, columns: slice, parts: list[Part]) -> None:
        """Labels a rectangle that the same parts cover everywhere."""
        across = [neighbours(columns, part.box.left, part.box.width, part.logits.shape[1]) for part in parts]
        everywhere = self.scores is not None or bool(self.maps)
        votes = [_across(part.votes, *sides[:2]) for part, sides in zip(parts, across, strict=True)]
        variants = [part.variant for part in parts]
        wide = len(parts) == 1 and not everywhere and parts[0].pixels >= CELL_PIXELS
        scale = scale_of(parts[0].logits) if wide else np.inf
        step = max(BAND_PIXELS // (columns.stop - columns.start), 1)
        for top in range(rows.start, rows.stop, step):
            band = slice(top, min(top + step, rows.stop))
            down = [part.rows(band) for part in parts]
            if scale < np.inf:
                fill(self._classes[band, columns], *parts[0][:2], down[0], across[0], scale)
                continue
            # Rows that lie between the same two rows of logits in every part are a group, and done together.
            changes = np.logical_or.reduce([np.diff(upper, prepend=-1) != 0 for upper, _, _ in down])
            starts = np.flatnonzero(changes)
            counts = np.diff(starts, append=band.stop - top)
            classes, agreed = _agreement(votes, [(upper[starts], lower[starts]) for upper, lower, _ in down])
            labels = self._classes[band, columns]
            labels[...] = np.repeat(classes, counts, axis=0)
            group, column = np.nonzero(np.ones_like(agreed) if everywhere else ~agreed)
            chunk = max(CHUNK_VALUES // parts[0].logits.shape[-1], 1)
            for start in range(0, len(group), chunk):
                some = slice(start, start + chunk)
                for row, place, values in _values(parts, down, across, starts, counts, group[some], column[some]):
                    weights = self._weights(parts, row + band.start, place + columns.start)
                    merged = _mean(values, variants, weights)
                    chosen = labels[row, place] = merged.argmax(-1)  # the same whether probabilities are asked for
                    if len(set(variants)) == 1:
                        merged = softmax(merged / self.temperature) if everywhere else merged
                    elif self.temperature != 1:
                        merged = _mean([value / self.temperature for value in values], variants, weights)
                    if self.scores is not None:
                        self.scores[band, columns][row, place] = merged[np.arange(len(chosen)), chosen]
                    for kind, drawn in self.maps.items():
                        found = entropy(merged) if kind == "entropy" else merged[:, kind]
                        drawn[band, columns][row, place] = found

    def _weights(self, parts: list[Part], row: np.ndarray, column: np.ndarray) -> list[Any]:
        """How much each part counts at pixels, (N, 1), or None where all count alike."""
        if self.blend == "mean":
            return [None] * len(parts)
        return [
            _bell(row, part.box.top, part.box.height) * _bell(column, part.box.left, part.box.width) for part in parts
        ]


def _values(parts, down, across, starts, counts, group, column) -> Iterator[tuple[np.ndarray, np.ndarray, list]]:
    """Row, column and each part's logits (N, C) of pixels, given by their group of rows; a row at a time."""
    first = starts[group]
    blends = [
        _blend(part.logits, upper[first], lower[first], left[column], right[column], weight[column])
        for part, (upper, lower, _), (left, right, weight) in zip(parts, down, across, strict=True)
    ]
    for number in range(counts[group].max()):
        inside = slice(None) if number < counts[group].min() else counts[group] > number
        row = first[inside] + number
        values = [
            above[inside] + slope[inside] * weight[row, np.newaxis]
            for (above, slope), (_, _, weight) in zip(blends, down, strict=True)
        ]
        yield row, column[inside], values


def _across(votes: np.ndarray, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row of logits and pixel of a row: what the logit before it votes for; whether the next agrees."""
    before = np.take(votes, left, axis=1)
    return before, before == np.take(votes, right, axis=1)


def _agreement(votes, ends) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel of a row of a band: what the first logit beside it votes for; whether all others agree."""
    labels: Any = None
    agreed: Any = True
    for (classes, same), (upper, lower) in zip(votes, ends, strict=True):
        above = classes[upper]
        agreed = agreed & same[upper] & same[lower] & (above == classes[lower])
        if labels is None:
            labels = above
        else:
            agreed = agreed & (above == labels)
    return labels, agreed


def _blend(logits: np.ndarray, upper, lower, left, right, weight) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C) between two columns of the upper rows, and what the lower rows add to them."""
    width, flat, weight = logits.shape[1], logits.reshape(-1, logits.shape[-1]), weight[:, np.newaxis]

    def along(row: np.ndarray) -> np.ndarray:
        start = np.take(flat, row * width + left, axis=0)
        end = np.take(flat, row * width + right, axis=0)
        end -= start
        end *= weight
        end += start
        return end

    above, below = along(upper), along(lower)
    below -= above
    return above, below


def _bell(pixels: np.ndarray, start: float, extent: float) -> np.ndarray:
    """(N, 1) weights along one side; at the edges of a part, four deviations out, still above 0."""
    away = (pixels + 0.5 - start - extent / 2) / (BELL * extent)
    return np.exp(-0.5 * away * away).astype(np.float32)[:, np.newaxis]


def _mean(values: list[np.ndarray], variants: list[int], weights: list[Any]) -> np.ndarray:
    """The mean logits of a variant's parts, or the mean probabilities of several variants, (N, C)."""
    kinds = sorted(set(variants))
    means: list[Any] = []
    for kind in kinds:
        own = [(v, w) for v, w, variant in zip(values, weights, variants, strict=True) if variant == kind]
        if len(own) == 1:
            means.append(own[0][0])
        elif own[0][1] is None:
            means.append(sum((value for value, _ in own[1:]), own[0][0]) / np.float32(len(own)))
        else:
            total = sum((weight for _, weight in own[1:]), own[0][1])
            means.append(sum((value * (weight / total) for value, weight in own), np.float32(0)))
    if len(kinds) == 1:
        return means[0]
    means = [softmax(mean) for mean in means]
    return sum(means[1:], means[0]) / np.float32(len(means))
