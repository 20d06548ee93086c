"""A look at all files of a data set before a run: what it holds, what is suspicious, what is wrong, all at once."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segformer_tf.config import SegformerConfig
from segformer_tf.data import binary as two_classes
from segformer_tf.data import findings
from segformer_tf.data.class_findings import of_classes
from segformer_tf.data.classes import common, numbered
from segformer_tf.data.files import gathered
from segformer_tf.data.findings import Findings, Mask
from segformer_tf.data.layouts import found_split, layout_of
from segformer_tf.data.looking import Look, look
from segformer_tf.data.masks import UNKNOWN, label_of
from segformer_tf.data.splits import UNLABELLED, DataError, Split
from segformer_tf.storage.keywords import spell_checked


@spell_checked
@dataclass
class Inspection(Findings):
    """What is in a data set: `errors` must be mended before a run, `warnings` may not be meant, `notes` are choices.

    Args:
        layout: The layout that was found, in words.
        splits: Name -> the split to train or evaluate on: without broken pairs, its masks' values understood.
        classes: [{"id", "name", "color", "pixels": {split: number}, "share"}]; for classification "pictures" in place
            of "pixels". `share` is of all that is labelled, in all splits.
        unlabelled: Split -> pixels that are not labelled.
        unusable: Split -> pictures that were found and are not in `splits`, since they or their masks cannot be used.
        sizes: (height, width) -> pictures.
        modes: Pillow's mode of the pictures (RGB, L, I;16 ...) -> pictures.
    """

    layout: str = ""
    splits: dict[str, Split] = field(default_factory=dict)
    classes: list[dict[str, Any]] = field(default_factory=list)
    unlabelled: dict[str, int] = field(default_factory=dict)
    unusable: dict[str, int] = field(default_factory=dict)
    sizes: Counter = field(default_factory=Counter)
    modes: Counter = field(default_factory=Counter)

    def check(self, config: SegformerConfig | None = None) -> "Inspection":
        """Itself, if nothing is wrong and, with a `config`, the model has the classes of the data.

        Raises:
            DataError: With everything that is wrong.
        """
        errors = [*self.errors, *(findings.differences(self.classes, config) if config and not self.errors else ())]
        if errors:
            raise DataError(errors)
        return self

    def counts(self, split: str) -> list[int] | None:
        """Pixels (or pictures) of each class in a split; None for shards, which are not counted."""
        if self.splits[split].shards:
            return None
        return [row.get("pixels", row.get("pictures", {})).get(split, 0) for row in self.classes]

    @property
    def id2label(self) -> dict[int, str]:
        """Class id -> name, the data set's own or made up."""
        return {row["id"]: row["name"] for row in self.classes}

    @property
    def colours(self) -> dict[int, list[int]]:
        """Class id -> red, green and blue, of the classes that the data set gives a colour."""
        return {row["id"]: list(row["color"]) for row in self.classes if row.get("color") is not None}

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "layout": self.layout,
            "pictures": {name: len(split) for name, split in self.splits.items()},
            "unusable": self.unusable,
            "drawn": {name: dict(split.chosen) for name, split in self.splits.items() if split.chosen} or None,
            "sizes": [{"height": h, "width": w, "pictures": n} for (h, w), n in self.sizes.most_common()],
            "modes": dict(self.modes),
            "classes": self.classes,
            "unlabelled": self.unlabelled,
            "errors": self.errors,
            "warnings": self.warnings,
            "notes": self.notes,
        }


@spell_checked
def inspect(
    data: str | Path | Split | Mapping[str, Split],
    config: SegformerConfig | None = None,
    *,
    splits: Sequence[str] | None = None,
    binary: bool = False,
    broken: str = "stop",
    seed: int = 0,
    value_range: tuple[float, float] | None = None,
    turn: bool = True,
) -> Inspection:
    """Reads every file of a data set once and says what is there. What is wrong with the data is listed, not raised.

    Args:
        data: A directory, or splits.
        config: Of the model that the data is for; without it the data set alone says its classes.
        splits: Names of those to read, such as ("train", "val") before a run; None: all that the directory has.
        binary: Masks of one foreground class: 0 is background, the other value (255, 1 ...) foreground.
        broken: "stop": a file that cannot be read is an error; "skip": it is left out with a warning.
        seed: Draws the splits of a data set that has none.
        value_range: Values of 16-bit pictures that become 0 and 255.
        turn: Whether pictures are turned as their EXIF or XMP says; False where the model's processor has
            `do_exif_transpose=False`.

    Raises:
        FileNotFoundError: No such directory, or it has no layout that is known.
        ValueError: `broken` is neither "stop" nor "skip".
    """
    if broken not in ("stop", "skip"):
        raise ValueError(f'broken is {broken!r}, expected "stop" or "skip": choose one of these.')
    found = Inspection()
    looks, colours = {}, Counter()
    for name, split in _open(data, splits, seed, found).items():
        found.layout = found.layout or split.layout
        found.errors += [problem for problem in split.problems if problem not in found.errors]
        found.notes += [note for note in split.notes if note not in found.notes]
        coding = dataclasses.replace(split.coding, bits=binary)
        split = dataclasses.replace(
            split, coding=coding, value_range=value_range or split.value_range, turn=turn and split.turn
        )
        seen = look(split)
        for one in seen:
            colours.update(one.colours)
        found.splits[name], looks[name] = _usable(split, seen, broken, found)
        found.unusable[name] = len(split.images) - len(looks[name])
    found.notes += findings.of_colours(colours)
    pairs = {name: list(zip(found.splits[name].images, seen, strict=True)) for name, seen in looks.items()}
    has_masks = all(split.has_masks for split in found.splits.values())
    findings.of_pictures(pairs, value_range is not None, found, padded=has_masks)
    for _, seen in (pair for several in pairs.values() for pair in several):
        found.sizes[seen.size] += 1
        found.modes[seen.mode] += 1
    _judge(found, looks, config, binary)
    return found


def _open(data, splits: Sequence[str] | None, seed: int, found: Inspection) -> dict[str, Split]:
    if isinstance(data, Split):
        return {data.name: data}
    if isinstance(data, Mapping):
        return dict(data)
    layout = layout_of(data)
    found.layout = layout.name
    opened, there = {}, splits or layout.splits(Path(data))
    if lacking := [name for name in ("train", "val") if splits is None and name not in there]:
        found.warnings.append(f"the data set has no split {lacking[0]!r}, which training needs.")
    for name in there:
        try:
            opened[name] = found_split(data, name, seed)
        except (FileNotFoundError, ValueError) as error:
            if splits is None and name not in ("train", "val") and isinstance(error, FileNotFoundError):
                found.warnings.append(f"left out: the split {name!r}: {error}")  # its masks may be kept elsewhere
                continue
            new = getattr(error, "problems", [str(error)])
            found.errors += [problem for problem in new if problem not in found.errors]
    return opened


def _usable(split: Split, looks: list[Look], broken: str, found: Findings) -> tuple[Split, list[Look]]:
    """The split without the pairs that cannot be used, which are errors, or warnings where they may be skipped."""
    left_out, wrong = [], []
    for image, target, seen in zip(split.images, split.targets, looks, strict=True):
        if seen.problem:
            file = target if isinstance(target, Path) and str(target) in seen.problem else image
            (left_out if seen.broken and broken == "skip" else wrong).append((file, seen.problem))
    found.warnings += [f"left out: {sentence}" for sentence in gathered(left_out)]
    found.errors += gathered(wrong)
    kept = [number for number, seen in enumerate(looks) if not seen.problem]
    if looks and not kept and broken == "skip":
        found.errors.append(f"the split {split.name!r} is empty after leaving out what cannot be read: mend the files.")
    if len(kept) < len(looks):
        images, targets = ([values[i] for i in kept] for values in (split.images, split.targets))
        split = dataclasses.replace(split, images=images, targets=targets)
    return split, [looks[number] for number in kept]


def _judge(found: Inspection, looks: dict[str, list[Look]], config: SegformerConfig | None, binary: bool) -> None:
    """Classes with their pixels, and what the values of the masks say."""
    splits = found.splits
    classes, unlike = common({name: split.classes for name, split in splits.items()})
    found.errors += unlike
    if binary:
        classes = _as_binary(found, looks, classes)
    if any(not split.has_masks for split in splits.values()):
        found.classes = _counted(classes, {name: Counter(split.targets) for name, split in splits.items()}, "pictures")
        of_classes(found.classes, splits, looks, found)
        return
    masks, odd = [], Counter()
    for name, seen in looks.items():
        for file, one in zip(splits[name].targets, seen, strict=True):
            ids = Counter()
            for value, pixels in one.values.items():
                number = label_of(splits[name].coding.values, value)
                ids[number] += pixels
                odd.update({value: pixels} if number == UNKNOWN else {})
            masks.append(Mask(getattr(file, "file", file), name, ids))
    if strange := [mask.file for mask in masks if UNKNOWN in mask.ids]:
        found.errors.append(findings.without_meaning(strange, odd))
    if not classes and config is not None:
        classes = numbered([config.id2label[i] for i in sorted(config.id2label)])
        if config.num_labels == 1:
            classes = two_classes.names(())
    known = len(classes) if classes else None
    wrong = list(findings.of_values(masks, known, "train" in splits))
    found.errors += wrong
    totals = {name: Counter() for name in splits}
    for mask in masks:
        totals[mask.split].update(mask.ids)
    found.unlabelled = {name: total.pop(UNLABELLED, 0) for name, total in totals.items()}
    highest = max((number for total in totals.values() for number in total), default=-1)
    classes = classes or numbered([f"class {i}" for i in range(highest + 1)])
    found.classes = _counted(classes, totals, "pixels")
    if not (strange or wrong):  # what the pixels are called is known
        findings.of_splits(masks, found.classes, found)


def _as_binary(found: Inspection, looks, classes) -> list[dict[str, Any]]:
    """Sets what the masks' values mean in every split; the two classes."""
    try:
        masks = [
            (getattr(file, "file", file), one.values)
            for name, seen in looks.items()
            for file, one in zip(found.splits[name].targets, seen, strict=True)
        ]
        values = two_classes.meaning(masks)
        rows = two_classes.names(classes)
    except ValueError as error:
        found.errors.append(str(error))
        return list(classes)
    for name, split in found.splits.items():
        coding = dataclasses.replace(split.coding, values=values)
        found.splits[name] = dataclasses.replace(split, coding=coding, classes=rows)
    return rows


def _counted(classes, totals: Mapping[str, Counter], key: str) -> list[dict[str, Any]]:
    everything = max(sum(sum(total.values()) for total in totals.values()), 1)
    return [
        {
            **row,
            key: {name: int(total[row["id"]]) for name, total in totals.items()},
            "share": sum(total[row["id"]] for total in totals.values()) / everything,
        }
        for row in classes
    ]
