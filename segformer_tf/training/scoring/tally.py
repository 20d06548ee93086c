"""What is counted of each picture, and the scores of all of them: IoU, boundary IoU, groups, intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segformer_tf.models.metrics import confusion, scores
from segformer_tf.training.scoring.groups import group_scores

DILATION = 0.02  # of a picture's diagonal: how far a boundary reaches inside, as Cheng et al. (2021) have it
RESAMPLES = 1000
LEVEL = 0.95  # of the intervals
TAKEN_AT_ONCE = 2**22  # values of the resamples' sums that exist together


class Tally:
    """Counts of pictures, and the scores of all that were added.

    Args:
        names: The classes' names by id.
        ignore_index: The label of pixels that do not count.
        boundary: Also boundary IoU; takes a second for a picture of 1024 x 2048 with 19 classes.
        intervals: Also confidence intervals of 95 %, by bootstrap over pictures.
        groups: Also the scores of classes together: name -> ids.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        ignore_index: int,
        boundary: bool = False,
        intervals: bool = False,
        groups: Mapping[str, Sequence[int]] | None = None,
    ):
        count = len(names)
        self.names, self.ignore_index, self.groups = names, ignore_index, groups
        self.matrix, self.images = np.zeros((count, count), np.int64), 0
        self.edges = np.zeros((2, count), np.int64) if boundary else None  # pixels of both boundaries, and of either
        self.of_pictures: list[np.ndarray] | None = [] if intervals else None

    def add(self, labels: np.ndarray, predicted: np.ndarray) -> None:
        """One picture's truth and prediction, (H, W) class ids."""
        matrix = np.asarray(confusion(labels, predicted, len(self.names), self.ignore_index), np.int64)
        self.matrix += matrix
        self.images += 1
        if self.edges is not None:
            self.edges += boundary_counts(labels, predicted, len(self.names), self.ignore_index)
        if self.of_pictures is not None:
            self.of_pictures.append(np.stack([np.diag(matrix), matrix.sum(1), matrix.sum(0)]))

    def result(self, protocol: str) -> dict[str, Any]:
        """The scores as `evaluate` gives them."""
        found = summary(self.matrix, self.names, protocol, self.images)
        if self.edges is not None:
            with np.errstate(invalid="ignore"):
                values = self.edges[0] / self.edges[1]
            for row, value in zip(found["per_class"], values, strict=True):
                row["BoundaryIoU"] = known(value)
            found["mBoundaryIoU"] = known(np.nanmean(values)) if np.isfinite(values).any() else None
        if self.groups is not None:
            found["groups"] = group_scores(self.matrix, self.groups)
            ious = [row["IoU"] for row in found["groups"] if row["IoU"] is not None]
            found["mIoU_groups"] = sum(ious) / len(ious) if ious else None
        if self.of_pictures is not None:
            found["intervals"] = intervals(np.stack(self.of_pictures))
        return found


def summary(matrix, id2label: Mapping[int, str], protocol: str, images: int) -> dict[str, Any]:
    """The scores of a confusion matrix as `evaluate` gives them."""
    found = scores(matrix)
    per_class = [
        {"id": i, "name": id2label[i], **{key: known(found[key][i]) for key in ("IoU", "Acc", "Dice")}}
        for i in id2label
    ]
    means = {key: known(found[key]) for key in ("mIoU", "mAcc", "aAcc", "mDice")}
    return {**means, "per_class": per_class, "protocol": protocol, "images": images}


def known(value: float) -> float | None:
    """None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)


def boundary_counts(labels: np.ndarray, predicted: np.ndarray, num_labels: int, ignore_index: int) -> np.ndarray:
    """(2, n) pixels of each class that lie in both boundaries, and in either.

    A boundary is the pixels of a class that are no further than 2 % of the picture's diagonal from a pixel that is not
    of it, or from the picture's edge. Source: Cheng et al., Boundary IoU (2021), equation 3. What is ignored is taken
    out of truth and prediction alike, so both end there.
    """
    height, width = labels.shape
    reach = max(round(DILATION * math.hypot(height, width)), 1)
    predicted = np.where(labels == ignore_index, ignore_index, predicted)
    counts = np.zeros((2, num_labels), np.int64)
    for number in range(num_labels):
        true, found = boundary(labels == number, reach), boundary(predicted == number, reach)
        counts[:, number] = (true & found).sum(), (true | found).sum()
    return counts


def boundary(mask: np.ndarray, reach: int) -> np.ndarray:
    """The pixels of a mask (H, W) that are at most `reach` rows and columns away from a pixel outside of it."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    edge = np.zeros_like(mask)
    if not len(rows):
        return edge
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    inner = np.pad(mask[box], reach)  # beside the picture nothing is of the class
    for axis in (0, 1):  # a pixel stays if the 2 * reach + 1 pixels around it are set, along one side, then the other
        sums = np.cumsum(np.insert(inner, 0, False, axis), axis, dtype=np.int32)
        length = sums.shape[axis] - 2 * reach - 1
        ends = np.take(sums, range(2 * reach + 1, 2 * reach + 1 + length), axis)
        inner = ends - np.take(sums, range(length), axis) == 2 * reach + 1
    edge[box] = mask[box] & ~inner
    return edge


def intervals(counts: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """What the means and the classes' IoU are between in 95 % of resamples of the pictures.

    Args:
        counts: (pictures, 3, n): of each class the pixels that are right, that the truth has, that are predicted.

    Raises:
        ValueError: One picture, which nothing can be said of.
    """
    if len(counts) < 2:
        raise ValueError("intervals need several pictures, found 1: take a split with more, or leave them out.")
    random = np.random.default_rng(seed)
    draws = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), RESAMPLES)
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    step = max(TAKEN_AT_ONCE // flat.shape[1], 1)
    sums = np.concatenate([draws[i : i + step] @ flat for i in range(0, RESAMPLES, step)])
    hits, true, predicted = np.moveaxis(sums.reshape(RESAMPLES, 3, -1), 1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        iou, acc, dice = hits / (true + predicted - hits), hits / true, 2 * hits / (true + predicted)
    found: dict[str, Any] = {"level": LEVEL, "resamples": RESAMPLES, "seed": seed}
    for name, values in (("mIoU", iou), ("mAcc", acc), ("mDice", dice)):
        present = np.isfinite(values)
        means = np.where(present, values, 0).sum(1) / np.maximum(present.sum(1), 1)
        found[name] = between(means[present.any(1)])
    found["aAcc"] = between(hits.sum(1) / np.maximum(true.sum(1), 1))
    found["IoU"] = [between(values[np.isfinite(values)]) for values in iou.T]
    return found


def between(values: np.ndarray) -> list[float] | None:
    """The ends of what 95 % of the values lie in; None of no values."""
    if not len(values):
        return None
    return [float(value) for value in np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))]
