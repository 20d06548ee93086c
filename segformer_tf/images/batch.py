"""What the processor returns, and how several images become one batch."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class BatchFeature(dict):
    """A dict whose keys are attributes too: `batch["pixel_values"]` is `batch.pixel_values`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"BatchFeature has no field {name!r}; it has {', '.join(self)}.") from None


def flatten(items: Any, rank: int) -> list[Any]:
    """One item, a batch array of rank + 1, or a list (of lists) of them -> a flat list."""
    if isinstance(items, list | tuple):
        return [item for part in items for item in flatten(part, rank)]
    return list(items) if getattr(items, "shape", None) is not None and len(items.shape) == rank + 1 else [items]


def on_all_cores(make: Callable[[int], Any], count: int) -> list[Any]:
    """`make(0)` to `make(count - 1)`, in order, in as many threads as there are cores."""
    if count < 2:
        return [make(place) for place in range(count)]
    with ThreadPoolExecutor(min(count, os.cpu_count() or 1)) as threads:
        return list(threads.map(make, range(count)))


def stack(name: str, values: np.ndarray | list[np.ndarray]) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    shapes = sorted({value.shape for value in values})
    if len(shapes) != 1:
        found = " and ".join(map(str, shapes[:3])) or "none"
        raise ValueError(
            f"{name} have shapes {found}; expected one shape to stack them: use do_resize=True with a fixed size, "
            f"or return_tensors=None."
        )
    return np.stack(values)
