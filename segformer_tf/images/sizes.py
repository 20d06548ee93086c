"""Sizes of pictures as callers and files give them -> whole pixels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from segformer_tf.storage.keywords import spell_checked

MAX_SIDE = 16384  # pixels of a side that pictures may be resized to


@spell_checked
def parse_size(size: Any) -> dict[str, int]:
    """An int (square), a pair (height, width) or a dict -> {"height", "width"} or {"shortest_edge"}, in pixels."""
    given = size
    if dataclasses.is_dataclass(size) and not isinstance(size, type):  # transformers' SizeDict
        given = dataclasses.asdict(size)
    if isinstance(given, Mapping):
        sides = {name: value for name, value in given.items() if value is not None}
    elif np.ndim(given) == 0:
        sides = {"height": given, "width": given}
    else:
        sides = dict(zip(("height", "width"), given, strict=False)) if len(given) == 2 else {}
    if set(sides) not in ({"height", "width"}, {"shortest_edge"}) or not all(map(_is_length, sides.values())):
        raise ValueError(
            f"size is {size!r:.300}; expected {{'height': h, 'width': w}}, {{'shortest_edge': n}}, an int or a pair, "
            f"in whole pixels from 1 to {MAX_SIDE}."
        )
    return {name: int(value) for name, value in sides.items()}


def _is_length(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and bool(1 <= value <= MAX_SIDE and value == int(value))


def whole_side(name: str, value: Any) -> int:
    """A height or width of what is called `name`. Raises ValueError unless it is a whole number from 1."""
    try:
        side = int(value)
    except (TypeError, ValueError, OverflowError):
        side = 0
    if side < 1 or side != value:
        raise ValueError(f"{name} has a side of {value!r:.100}; expected (height, width) in whole pixels from 1.")
    return side


def checked_side(name: str, value: Any) -> Any:
    """As `whole_side`, an int, or of a scalar tensor an int32 tensor: InvalidArgumentError says as much in a graph."""
    import tensorflow as tf

    if not tf.is_tensor(value):
        return whole_side(name, value)
    expected = "expected (height, width) in whole pixels from 1."
    if not value.dtype.is_integer or value.shape.rank:
        raise ValueError(f"{name} has a side of {value.dtype.name}, shape {value.shape}; {expected}")
    value = tf.cast(value, tf.int64)
    told = tf.strings.join([f"{name} has a side of ", tf.strings.as_string(value), f"; {expected}"])
    with tf.control_dependencies([tf.debugging.Assert((value >= 1) & (value <= tf.int32.max), [told])]):
        return tf.cast(value, tf.int32)
