"""Sizes: the overlapping windows that a large picture is cut into, scales, and the size that ADE20K is scored at."""

import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from typing import Any

from segformer_tf.bounds import SMALLEST_SIDE

ADE20K_SIDES = (2048, 512)  # long and short side that ADE20K's pictures are fitted into
LARGEST_SCALE = 16
WINDOW = (1024, 1024)  # where none is given: as the authors' evaluation of Cityscapes has it


def spans(length: int, window: int, stride: int) -> Iterator[tuple[int, int]]:
    """Start and end of each window along one side; the last one is moved back so that it ends with the picture."""
    for index in range(max(length - window + stride - 1, 0) // stride + 1):
        end = min(index * stride + window, length)
        yield max(end - window, 0), end


def sides_of(name: str, value: Any) -> tuple[int, int]:
    """(height, width) of what is called `name`. Raises ValueError unless they are two whole numbers from 1."""
    sides = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else ()
    if len(sides) != 2 or not all(
        isinstance(side, Real) and float(side).is_integer() and float(side) >= 1 for side in sides
    ):
        found = repr(value) if isinstance(value, str) or not sides else sides
        raise ValueError(f"{name} is {found}; expected (height, width) in whole pixels, each at least 1.")
    return int(sides[0]), int(sides[1])


def steps_of(window: tuple[int, int]) -> tuple[int, int]:
    """The stride of a window where none is given."""
    return max(window[0] * 3 // 4, 1), max(window[1] * 3 // 4, 1)


def check_windows(window: Any, stride: Any, smallest: int = SMALLEST_SIDE) -> tuple[tuple[int, int], tuple[int, int]]:
    """Both as (height, width). Raises ValueError unless they are so, in pixels, and windows leave no gap.

    `smallest` is the smallest side of a picture that the model takes, if it is known.
    """
    window, stride = sides_of("window", window), sides_of("stride", stride)
    if min(window) < smallest:
        raise ValueError(
            f"window is {window}; expected at least {smallest} pixels a side, the smallest picture that a model takes."
        )
    if any(step > side for step, side in zip(stride, window, strict=True)):
        raise ValueError(f"stride is {stride}; expected at most the window, {window}, or pixels are missed.")
    return window, stride


def check_slides(mode: str, **given: Any) -> None:
    """Raises ValueError where something that is of windows is given, not None, and the picture is taken whole."""
    for name, value in given.items():
        if mode == "whole" and value is not None:
            raise ValueError(f'{name} is {value!r}, and is for mode="slide" only: give that too, or leave {name} out.')


def check_scales(scales: Sequence[float]) -> None:
    """Raises ValueError unless there is at least one, and each is a factor of a picture's size."""
    if isinstance(scales, str) or not hasattr(scales, "__len__") or not len(scales):
        raise ValueError(f"scales are {scales!r}; expected at least one factor in a list, such as (0.75, 1.0, 1.25).")
    for scale in scales:
        if not isinstance(scale, Real) or not 0 < scale < math.inf:
            raise ValueError(f"scales are {tuple(scales)}; expected each above 0, such as 0.75 or 1.5.")
        if scale > LARGEST_SCALE:
            raise ValueError(
                f"scales are {tuple(scales)}; expected factors of at most {LARGEST_SCALE}: {scale:g} % is "
                f"{scale / 100:g}."
            )


def ade20k_size(height: int, width: int, scale: float = 1.0, multiple: int = 1) -> tuple[int, int]:
    """The largest size of the same ratio inside 2048 x 512 (or 512 x 2048) times `scale`, as MMSegmentation rounds it.

    `multiple`: of what the sides are then rounded up to: 32 in the authors' own evaluation.
    """
    long, short = (int(side * scale) for side in ADE20K_SIDES)
    factor = min(long / max(height, width), short / min(height, width))
    sides = [max(math.ceil(int(side * factor + 0.5) / multiple), 1) * multiple for side in (height, width)]
    return sides[0], sides[1]
