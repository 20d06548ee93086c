"""Checkpoints: files <-> variables. Read from the Hub, a directory or a file; written under the Hub's tensor names."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segformer_tf.checkpoints.checkpoint import Checkpoint, adapt_channels, from_torch_module, load, save, save_h5
from segformer_tf.checkpoints.matching import check_finite, match

__all__ = [
    "Checkpoint",
    "adapt_channels",
    "check_finite",
    "convert",
    "from_torch_module",
    "load",
    "match",
    "save",
    "save_h5",
]

if TYPE_CHECKING:
    convert: Callable[..., list[Path]]


def __getattr__(name: str) -> Any:
    if name == "convert":  # a public name of this room; its own, above this one, needs the models
        return importlib.import_module("segformer_tf.convert").convert
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; its public names are {', '.join(__all__)}")
