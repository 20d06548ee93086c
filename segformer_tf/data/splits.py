"""A split of a data set, its pictures and what their masks mean; a layout of files that splits are read from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segformer_tf.storage.keywords import spell_checked

UNLABELLED = 255  # in a mask on disk; it becomes the model's ignore index where labels leave for the model


class DataError(ValueError):
    """Everything that is wrong with a data set, one sentence each in `problems`."""

    def __init__(self, problems: Sequence[str]):
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Coding:
    """What the values of mask files mean.

    Args:
        colours: Colour (red, green, blue) -> class id, where masks are pictures in colours; empty: they hold values.
        values: Value -> class id or `UNLABELLED`, for masks whose values are not ids; empty: a value is an id.
        bits: Whether masks are of one foreground class, so that a palette that begins with white is of black and white.
        greys: Whether grey masks hold the greys of `colours`, and not ids.
    """

    colours: Mapping[tuple[int, int, int], int] = field(default_factory=dict)
    values: Mapping[int, int] = field(default_factory=dict)
    greys: bool = False
    bits: bool = False


@spell_checked
@dataclass(frozen=True)
class Split:
    """The pictures of one split, what is known of each, and what the classes are called.

    Args:
        targets: One a picture: a mask's file, `Shapes` to draw a mask from, or for classification a class id.
        classes: [{"id", "name", "color"}], or empty where the data set does not say.
        coding: What the values of mask files mean.
        value_range: Values of 16-bit pictures that become 0 and 255; None: 0 and 65535.
        turn: Whether pictures are turned as their EXIF or XMP says; masks follow their own either way.
        shards: TFRecord files that hold the pictures and masks, instead of `images` and `targets`.
        layout: The layout that was found, in words.
        chosen: How pictures came into this split where the data set has no splits; `{"seed", "pictures"}`.
        problems: What is wrong with the files, a sentence each: `read_split` raises them, `inspect` lists them.
        notes: What a person should know of: files that were not taken, choices that were made.
    """

    name: str
    images: Sequence[Path]
    targets: Sequence[Any]
    classes: Sequence[dict[str, Any]] = ()
    coding: Coding = field(default_factory=Coding)
    value_range: tuple[float, float] | None = None
    turn: bool = True
    shards: Sequence[Path] = ()
    shard_count: int = 0
    layout: str = ""
    chosen: Mapping[str, Any] | None = None
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __len__(self) -> int:
        return self.shard_count or len(self.images)

    @property
    def has_masks(self) -> bool:
        """True for segmentation, False for classification."""
        return bool(self.shards) or not (self.targets and isinstance(self.targets[0], int))

    @property
    def id2label(self) -> dict[int, str]:
        return {int(row["id"]): str(row["name"]) for row in self.classes}


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
