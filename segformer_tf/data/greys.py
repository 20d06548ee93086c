"""Whether the grey masks of a split hold class ids, or the greys of the classes' colours: told by all of them."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.data.masks import GREY, bits_are_colours, mask_values
from segformer_tf.data.splits import UNLABELLED, Coding, Split

LOOKED_AT = 200  # masks at most, evenly over the split; where others hold what these do not, reading them is an error


@dataclass
class _Seen:
    """Values of 8- and 16-bit grey masks; whether there are masks of 1 bit, and such in colours."""

    values: set[int] = field(default_factory=set)
    bits: bool = False
    coloured: bool = False


def settled(split: Split, others: Callable[[], Iterable[Any]] = tuple) -> Split:
    """The split with `coding.greys` as its masks have it, and a note where that could be meant otherwise.

    Values that cannot be ids are colours, and the other way round. Where all could be both and mean different classes,
    they are colours if every class's colour is a grey or other masks are in colours, else ids.

    Args:
        others: The masks of other splits, which decide where those of this one do not.
    """
    greys = {red: number for (red, green, blue), number in split.coding.colours.items() if red == green == blue}
    if split.coding.values or all(grey == number for grey, number in greys.items()):
        return split
    ids = {*range(len(split.classes)), UNLABELLED}
    decisive = ids ^ greys.keys()

    def doubtful(values: set[int]) -> bool:
        return not values & decisive and any(greys.get(value, value) != value for value in values)

    seen = _look(split.targets, decisive, _Seen())
    bits = seen.bits and bits_are_colours(split.coding)
    if doubtful(seen.values):
        seen = _look(list(others()), decisive, seen)
    doubt = doubtful(seen.values)
    as_colours = not seen.values & (ids - greys.keys()) and bool(seen.values & (greys.keys() - ids))
    if doubt:
        as_colours = seen.coloured or bits or len(greys) == len(split.coding.colours)
    notes = [*split.notes]
    if doubt and as_colours:
        listed = " and ".join(map(str, sorted(seen.values)))
        notes.append(_note(split, f"grey masks hold {listed}, ids and greys of the classes' colours alike"))
    if bits and (greys[0], greys[255]) != (0, 1):
        notes.append(_note(split, "masks of 1 bit are black and white, colours of classes"))
    coding = dataclasses.replace(split.coding, greys=as_colours)
    return dataclasses.replace(split, coding=coding, notes=notes)


def _note(split: Split, what: str) -> str:
    return (
        f"{Path(split.targets[0]).parent}: {what}, and are read as colours; if they are ids, take the colours out of "
        "the list of classes."
    )


def _look(masks: Sequence[Any], decisive: set[int], seen: _Seen) -> _Seen:
    """Until a value decides. Files that cannot be read are left to the look at the data, which names them."""
    files = [mask for mask in masks if isinstance(mask, os.PathLike)]
    for file in files[:: -(-len(files) // LOOKED_AT) or 1]:
        try:
            with Image.open(file) as image:
                mode = image.mode
            if mode == "1":
                seen.bits = True
            elif mode not in GREY:
                seen.coloured = True
            elif mode not in ("P", "PA"):  # a palette tells by itself
                seen.values.update(np.unique(mask_values(Path(file), Coding(greys=True))).tolist())
        except (OSError, ValueError):
            continue
        if seen.values & decisive:
            break
    return seen
