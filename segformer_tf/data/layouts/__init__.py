"""The layouts that data sets come in, told by themselves: one row each, its reader in a file of its own."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from segformer_tf.data.files import hidden, named
from segformer_tf.data.greys import settled
from segformer_tf.data.layouts import class_folders, coco, folders, labelme, published, shards, voc, yolo
from segformer_tf.data.naming import plain
from segformer_tf.data.splits import UNLABELLED, DataError, Layout, Split
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.switch import settle

# The first that a directory has is taken, so the more particular ones stand first.
LAYOUTS = (
    shards.LAYOUT,
    published.CITYSCAPES,
    published.ADE20K,
    voc.LAYOUT,
    folders.ROBOFLOW,
    folders.LAYOUT,
    folders.SIDE_BY_SIDE,
    coco.LAYOUT,
    yolo.LAYOUT,
    labelme.LAYOUT,
    class_folders.LAYOUT,
)
NO_CLASS = (
    "unlabelled",
    "unlabeled",
    "void",
    "ignore",
    "ignored",
    "unused",
)  # names for the id 255, without separators
MOST = 20  # folders that are looked into, where a directory has no layout
MORE = "`segformer-tf inspect --layouts` shows every layout."


def layout_of(directory: str | Path) -> Layout:
    """The layout that a directory has.

    Raises:
        FileNotFoundError: There is no such directory, or it has none of the layouts; with what it has instead.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is not a directory, expected a data set: correct the path.")
    settle(directory)  # what `convert-masks` or `shard` wrote before it was stopped
    for layout in LAYOUTS:
        if layout.found(directory):
            return layout
    inside = [entry for entry in sorted(directory.iterdir()) if entry.name[0] != "."]
    there = [entry.name + "/" * entry.is_dir() for entry in inside]
    shown = ", ".join(there[:8]) + (f" and {len(there) - 8} more" if len(there) > 8 else "")
    whole = [entry for entry in inside if entry.is_dir() and not hidden(entry.name)][:MOST]
    raise FileNotFoundError(
        f"{directory} is in no layout that is known: it has {shown or 'nothing'}{_parts(directory, whole)}; expected, "
        "for one,\n"
        f"{folders.TREE}\nor\n{class_folders.TREE}\n{MORE}"
    )


def _parts(directory: Path, folders: Sequence[Path]) -> str:
    """What a message says of folders that are data sets themselves, as of one that was unpacked inside another."""
    known = []
    for folder in folders:
        with suppress(OSError, ValueError):
            known += [folder] * any(layout.found(folder) for layout in LAYOUTS)
    if not known:
        return ""
    if len(known) == 1:
        return f", where {known[0]} is a data set: give that"
    images, masks = (directory / kind / known[0].name for kind in ("images", "masks"))
    return (
        f", where {named(known)} are data sets: give one of them, or move all pictures into {images} and the like, and "
        f"masks into {masks}"
    )


@spell_checked
def read_split(directory: str | Path, split: str = "train", *, seed: int = 0) -> Split:
    """The split of a data set in one of `LAYOUTS`.

    Args:
        seed: Draws the splits of a data set that has none: a fifth validates.

    Raises:
        FileNotFoundError: No such directory or split.
        DataError: Pictures without masks, masks without pictures, two of one name: all of them.
    """
    found = found_split(directory, split, seed)
    if found.problems:
        raise DataError(found.problems)
    return found


def found_split(directory: str | Path, split: str, seed: int = 0) -> Split:
    """As `read_split`, but with the problems listed in the split instead of raised."""
    layout = layout_of(directory)
    found = layout.read(Path(directory), split, seed)
    if not len(found) and not found.problems:
        raise DataError([f"the split {split!r} of {directory} is empty, expected at least one picture: add some."])

    if found.has_masks and (alone := _hidden_class(found)):
        where = f"the class {alone!r} of {directory} has the id {UNLABELLED}, which means unlabelled in masks"
        problem = f"{where}: keep to {UNLABELLED} classes, or give that id to one without pixels, named unlabelled."
        found = dataclasses.replace(found, problems=[*found.problems, problem])

    if found.has_masks and (learned := [row for row in found.classes if _is_no_class(row) and row["id"] != UNLABELLED]):
        note = (
            f"{directory}: the class {learned[0]['name']!r} (id {learned[0]['id']}) is learned and scored as others "
            f"are; if its pixels are to count for nothing, they need the id {UNLABELLED}, in the masks, or in the list "
            "of classes where masks are in colours."
        )
        found = dataclasses.replace(found, notes=[*found.notes, note])

    def other_masks() -> Iterator[Any]:
        for name in layout.splits(Path(directory)):
            if name != split:
                with suppress(OSError, ValueError):  # who asks for that split is told
                    yield from layout.read(Path(directory), name, seed).targets

    return settled(found, other_masks)


def _hidden_class(split: Split) -> str | None:
    """The name of a class whose pixels would not be seen, since its id is that of pixels that are not labelled."""
    row = next((row for row in split.classes if row["id"] == UNLABELLED), None)
    return None if row is None or _is_no_class(row) else str(row["name"])


def _is_no_class(row: dict[str, Any]) -> bool:
    return plain(str(row["name"])) in NO_CLASS
