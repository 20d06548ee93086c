"""Label maps as polygons along the pixels' edges, which fill up to exactly the pixels they were made of."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

# Directions of a walk along the edges of a region, which lies to the right of it: the next one is a turn to the right.
RIGHT, DOWN, LEFT, UP = range(4)


class Polygon(NamedTuple):
    """Corners (N, 2) int as (x, y), clockwise, the first not repeated; `area` in pixels."""

    corners: np.ndarray
    area: int


def polygons(mask: np.ndarray) -> Iterator[Polygon]:
    """A mask (H, W) bool -> one polygon for each region of pixels that touch at their sides, from top to bottom.

    Corners lie between pixels: a single pixel at (0, 0) is (0, 0), (1, 0), (1, 1), (0, 1). A hole is joined to the
    outline by a cut of no width, walked there and back, because COCO's polygons know no holes.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return
    top, left = int(rows[0]), int(columns[0])
    for walk in _walks(np.pad(mask[top : rows[-1] + 1, left : columns[-1] + 1], 1)):
        corners = _without_straight_ones(walk)
        yield Polygon(corners + np.array((left - 1, top - 1)), _area(corners))


def coco_annotations(labels: np.ndarray, ids: Sequence[int], min_area: float = 0) -> list[dict[str, Any]]:
    """COCO annotations of the regions of at least `min_area` pixels of those classes in a map (H, W)."""
    if not isinstance(min_area, Real):
        raise ValueError(f"min_area is {min_area!r}; expected a number of pixels.")
    found = []
    for class_id in ids:
        for corners, area in polygons(labels == class_id):
            if area < min_area:
                continue
            (left, top), (right, bottom) = corners.min(0).tolist(), corners.max(0).tolist()
            annotation = {
                "id": len(found) + 1,
                "image_id": 1,
                "category_id": class_id,
                "segmentation": [corners.ravel().tolist()],
                "area": area,
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
            }
            found.append(annotation)
    return found


def _walks(mask: np.ndarray) -> Iterator[np.ndarray]:
    """Walks (N, 2) around the regions of a mask with an empty rim, holes included; every step is one pixel long."""
    width = mask.shape[1] + 1  # of the grid of corners; a corner's number is y * width + x
    step = np.array([1, width, -1, -width])
    start, direction = _edges(mask, width)
    at = np.full((mask.shape[0] * width + width, 4), -1, np.int32)  # corner, direction -> edge
    at[start, direction] = np.arange(len(start))
    end = start + step[direction]
    # Where two pixels touch at a corner only, turning right stays with the pixel that the walk came along.
    turns = [at[end, (direction + turn) % 4] for turn in (1, 0, 3)]
    following = np.where(turns[0] >= 0, turns[0], np.where(turns[1] >= 0, turns[1], turns[2])).tolist()
    loops = _cycles(following)
    points = np.stack([start % width, start // width], 1)
    areas = [_area(points[loop]) for loop in loops]
    starts, ends, xs, ys, directions = (v.tolist() for v in (start, end, *points.T, direction))

    # A hole hangs on the edge at the other end of the row of pixels to the left of its leftmost edge. That edge lies
    # further left, so from right to left every hole is complete before it is joined.
    hanging: dict[int, list[int]] = {}

    def joined(loop: list[int]) -> list[int]:
        walk: list[int] = []
        for edge in loop:
            walk.append(starts[edge])
            if edge in hanging:
                hole = hanging.pop(edge)
                walk += [ends[edge], *hole, hole[0]]
        return walk

    holes = []
    for loop, area in zip(loops, areas, strict=True):
        if area < 0:
            x, y, place = min((xs[e], ys[e], place) for place, e in enumerate(loop) if directions[e] == DOWN)
            holes.append((x, y, loop[place:] + loop[:place]))
    for x, y, loop in sorted(holes, key=lambda hole: -hole[0]):
        outside = int(np.flatnonzero(~mask[y, :x])[-1])
        edge = int(at[(y + 1) * width + outside + 1, UP])
        hanging[edge] = joined(loop)
    for loop, area in zip(loops, areas, strict=True):
        if area > 0:
            numbers = np.array(joined(loop))
            yield np.stack([numbers % width, numbers // width], 1)


def _edges(mask: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The corner where each edge between a pixel of the mask and one that is none begins, and its direction."""
    sides = {
        RIGHT: (mask[1:] & ~mask[:-1], (1, 0)),  # above a pixel; then where the edge begins, from the array's origin
        DOWN: (mask[:, :-1] & ~mask[:, 1:], (0, 1)),
        LEFT: (mask[:-1] & ~mask[1:], (1, 1)),
        UP: (mask[:, 1:] & ~mask[:, :-1], (1, 1)),
    }
    starts, directions = [], []
    for direction, (found, (down, right)) in sides.items():
        y, x = np.nonzero(found)
        starts.append((y + down) * width + x + right)
        directions.append(np.full(len(y), direction))
    return np.concatenate(starts), np.concatenate(directions)


def _cycles(following: list[int]) -> list[list[int]]:
    seen = bytearray(len(following))
    cycles = []
    for first in range(len(following)):
        edge, cycle = first, []
        while not seen[edge]:
            seen[edge] = 1
            cycle.append(edge)
            edge = following[edge]
        if cycle:
            cycles.append(cycle)
    return cycles


def _without_straight_ones(walk: np.ndarray) -> np.ndarray:
    """The points where the direction changes."""
    onwards = np.sign(np.roll(walk, -1, 0) - walk)
    return walk[(onwards != np.roll(onwards, 1, 0)).any(1)]


def _area(points: np.ndarray) -> int:
    """Pixels inside; negative for a walk around a hole."""
    x, y = points.T.astype(np.int64)
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) // 2


def svg_path(mask: np.ndarray) -> str:
    """(H, W) bool -> the `d` of an SVG path around its pixels."""
    return "".join("M" + "L".join(f"{x},{y}" for x, y in polygon.corners.tolist()) + "Z" for polygon in polygons(mask))


def svg(labels: np.ndarray, rows: Sequence[dict[str, Any]], palette: np.ndarray) -> str:
    """Class ids (H, W) -> the text of an SVG of that size: a path for each class of `rows` (of `class_table`), named as
    one points at it.
    """
    paths = []
    for row in rows:
        score = "" if row["score"] is None else f", score {row['score']:.3f}"
        title = f"{html.escape(row['name'])}: {row['share']:.1%}{score}"
        color = "#{:02x}{:02x}{:02x}".format(*map(int, palette[row["id"]]))
        paths.append(f'<path fill="{color}" d="{svg_path(labels == row["id"])}"><title>{title}</title></path>')
    height, width = labels.shape
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" fill-rule="evenodd">\n' + "\n".join(paths) + "\n</svg>\n"
    )
