"""The processor's `size`: read from the forms that files have, and turned into the target of one image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def parse_size(size: Any) -> dict[str, int]:
    """An int (square), a pair (height, width) or a dict -> {"height", "width"} or {"shortest_edge"}, in pixels."""
    if isinstance(size, dict):
        sides = {name: value for name, value in size.items() if value is not None}
    elif np.ndim(size) == 0:
        sides = {"height": size, "width": size}
    else:
        sides = dict(zip(("height", "width"), size, strict=False)) if len(size) == 2 else {}
    if set(sides) not in ({"height", "width"}, {"shortest_edge"}) or not all(map(_is_length, sides.values())):
        raise ValueError(
            f"size is {size!r}; expected {{'height': h, 'width': w}}, {{'shortest_edge': n}}, an int or a pair, "
            f"in whole pixels above 0."
        )
    return {name: int(value) for name, value in sides.items()}


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and bool(value >= 1 and value == int(value))


def target_size(
    size: dict[str, int], height: Any, width: Any, choose: Callable = lambda test, yes, no: yes if test else no
) -> tuple[Any, Any]:
    """(height, width) that an image is resized to; for tensors `choose` is `tf.where`."""
    if "height" in size:
        return size["height"], size["width"]
    edge = size["shortest_edge"]  # the other side keeps the ratio, rounded down
    return choose(height <= width, edge, edge * height // width), choose(width <= height, edge, edge * width // height)
