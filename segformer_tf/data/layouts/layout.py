"""What a layout of files on disk is: how it is told, how it is read, what its tree looks like."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segformer_tf.data.splits import Split


@dataclass(frozen=True)
class Layout:
    """One way in which data sets lie on disk.

    Args:
        name: As a person calls it.
        tree: Its folders and files, as an error or `inspect --layouts` shows them.
        found: Whether a directory has this layout.
        splits: Directory -> the splits that it has.
        read: Directory, split and seed -> the split.
    """

    name: str
    tree: str
    found: Callable[[Path], bool]
    splits: Callable[[Path], list[str]]
    read: Callable[[Path, str, int], Split]
