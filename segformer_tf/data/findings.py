"""What a look at the files means: errors before the first step, warnings, and the pixels of each class."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.config import SegformerConfig
from segformer_tf.data.files import named
from segformer_tf.data.looking import Look
from segformer_tf.data.masks import TRANSPARENT
from segformer_tf.data.naming import made_up, plain
from segformer_tf.data.splits import UNLABELLED
from segformer_tf.images.colours import told

MANY = 100  # classes that nobody named
LISTED = 30  # colours that are written out for a classes.json
RARE = 0.001  # share of the training pixels
TWELVE_BITS = 4096
BINARY_HINT = "for masks of one foreground class say --binary (in Python binary=True)"


@dataclass
class Findings:
    """Sentences for a person."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mask:
    """A mask's file, its split, and id -> pixels."""

    file: Path
    split: str
    ids: Mapping[int, int]


def of_values(masks: Sequence[Mask], classes: int | None, for_training: bool) -> Iterable[str]:
    """Errors in the ids of all masks.

    Args:
        classes: How many the data set or the model has; None: nobody says.
    """
    total = Counter()
    for mask in masks:
        total.update(mask.ids)
    ids = sorted(set(total) - {UNLABELLED})
    listed = told(sorted(total), [total[key] for key in sorted(total)])
    if not ids:
        return  # `of_splits` says so
    if set(total) == {0, UNLABELLED} and (for_training or classes is None or classes <= 2):
        yield (
            f"the masks have only the values {listed}; 255 means unlabelled, so that one class is left: {BINARY_HINT}, "
            "otherwise label a second class."
        )
    elif len(ids) == 1 and for_training:
        yield f"the masks have only the values {listed}; expected at least two classes: label a second one."
    elif classes is None:
        missing = sorted(set(range(ids[-1])) - set(ids))
        if missing and len(ids) == 2 and ids[0] == 0:
            yield (
                f"the masks have only the values {listed}, which makes {ids[-1] + 1} classes: {BINARY_HINT}, otherwise "
                "number the classes 0, 1, 2 ... or name them in classes.json."
            )
        elif missing:
            yield (
                f"the masks have the values {listed}; {_ranges(missing)} have no pixel, so ids are far apart "
                f"({_where(masks, ids[-1])}): correct the masks, or name all {ids[-1] + 1} classes in classes.json."
            )
        elif len(ids) > MANY:
            yield (
                f"the masks have {len(ids)} different values and nobody names so many classes: name them in "
                "classes.json if they are meant, otherwise save the masks without smooth edges."
            )
    else:
        for strange in [number for number in ids if number >= classes][:5]:
            hint = f"; {BINARY_HINT}" if set(ids) == {0, strange} else ""
            yield (
                f"{_where(masks, strange)}, expected 0 to {classes - 1} or 255 for unlabelled: correct the mask, or "
                f"add the class to classes.json or the model{hint}."
            )


def without_meaning(files: Sequence[Path], values: Mapping[int, int]) -> str:
    """Of masks whose values are not ids: value -> pixels of those that mean nothing."""
    listed = told(sorted(values), [values[value] for value in sorted(values)])
    reduced = (
        " Its labels seem to be reduced already, so move the masks into another layout." if UNLABELLED in values else ""
    )
    return f"{named(files)}: values without a meaning, {listed}: correct the masks.{reduced}"


def of_colours(colours: Mapping[tuple[int, ...], int]) -> list[str]:
    """A sentence with the classes.json of masks in colours, of which nobody says which is which: colour -> pixels."""
    if not colours:
        return []
    common = sorted(colours, key=lambda colour: (-colours[colour], colour))
    rows = [{"id": i, "name": f"class {i}", "color": list(colour)} for i, colour in enumerate(common[:LISTED])]
    edges = "; so many come of smooth edges or a lossy format, masks need one colour a class" * (len(common) > MANY)
    listed = told(common, [colours[colour] for colour in common])
    return [
        f"all masks together have {len(common)} colours, {listed}{edges}; a classes.json for them, to be given your "
        f"own names, and the id 255 for what is not labelled: {json.dumps(rows)}"
    ]


def _where(masks: Sequence[Mask], number: int) -> str:
    """`a.png has the class id 9 (1 pixel)`."""
    files = [mask for mask in masks if number in mask.ids]
    pixels = sum(mask.ids[number] for mask in files)
    verb = "has" if len(files) == 1 else "have"
    return (
        f"{named([mask.file for mask in files])} {verb} the class id {number} ({pixels:,} pixel{'s' * (pixels != 1)})"
    )


def _ranges(numbers: Sequence[int]) -> str:
    """`3 to 8, 10`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join(" to ".join(map(str, part)) for part in parts)


def of_splits(masks: Sequence[Mask], classes: Sequence[dict[str, Any]], found: Findings) -> None:
    """Splits without a label, classes without a pixel to train on or to be scored on, masks without a label.

    A test split may have no label: Cityscapes keeps its own, and gives masks of 255 alone.
    """
    splits = dict.fromkeys(mask.split for mask in masks)
    for split in splits:
        ids = [mask for mask in masks if mask.split == split]
        if empty := [mask.file for mask in ids if not set(mask.ids) - {UNLABELLED}]:
            if len(empty) == len(ids):
                told = f"no pixel of the split {split!r} is labelled, all masks ({named(empty)}) are 255"
                if split == "test" and len(splits) > 1:
                    found.warnings.append(f"{told}, so that it cannot be scored.")
                else:
                    found.errors.append(f"{told}: label some.")
            else:
                found.warnings.append(f"{named(empty)}: no pixel is labelled, all are 255.")
        labelled = sum(sum(mask.ids.values()) - mask.ids.get(UNLABELLED, 0) for mask in ids)
        unlabelled = sum(mask.ids.get(UNLABELLED, 0) for mask in ids)
        if labelled and unlabelled > labelled:
            share = unlabelled / (labelled + unlabelled)
            found.warnings.append(f"{share:.0%} of the pixels of the split {split!r} are 255, unlabelled.")
    if "train" not in {mask.split for mask in masks}:
        return
    trained = {row["name"]: row["pixels"].get("train", 0) for row in classes}
    total = sum(trained.values())
    elsewhere = {row["name"]: [s for s, n in row["pixels"].items() if n and s != "train"] for row in classes}
    if never := [name for name, pixels in trained.items() if not pixels]:
        only = [f"{name} (only in {', '.join(elsewhere[name])})" if elsewhere[name] else name for name in never]
        found.warnings.append(f"{len(never)} of {len(classes)} classes have no pixel to train on: {named(only)}.")
    for split in splits:
        counts = {row["name"]: row["pixels"].get(split, 0) for row in classes}
        if any(counts.values()) and (absent := [name for name in counts if trained[name] and not counts[name]]):
            found.warnings.append(
                f"{len(absent)} of {len(classes)} classes have no pixel in the split {split!r}, so that they are not "
                f"scored there: {named(absent)}."
            )
    if rare := [name for name, pixels in trained.items() if 0 < pixels < RARE * total]:
        listed = [f"{name} ({trained[name]:,} pixels)" for name in rare]
        found.warnings.append(
            f"{len(rare)} of {len(classes)} classes have under {RARE:.1%} of the training pixels: {named(listed)}."
        )


def of_pictures(
    files: Mapping[str, Sequence[tuple[Path, Look]]], deep_is_told: bool, found: Findings, padded: bool = True
) -> None:
    """What is unusual about pictures that can be read.

    Args:
        padded: Small ones are, for segmentation; a classifier's pictures are resized, whatever their size.
    """
    everything = [pair for pairs in files.values() for pair in pairs]

    def which(test) -> list[Path]:
        return [file for file, look in everything if test(look)]

    if turned := which(lambda look: look.turned):
        found.notes.append(
            f"{named(turned)}: turned as the EXIF tag says, so masks must lie as viewers show the picture."
        )
    if paged := which(lambda look: look.pages > 1):
        found.warnings.append(f"{named(paged)}: several pages or frames, of which the first is read.")
    if padded and (small := which(lambda look: min(look.size) < SMALLEST_SIDE)):
        found.warnings.append(
            f"{named(small)}: under {SMALLEST_SIDE} pixels high or wide, so padded to {SMALLEST_SIDE}."
        )
    if alpha := which(lambda look: look.mode in ("RGBA", "LA", "PA")):
        found.notes.append(f"{named(alpha)}: the alpha channel is left out.")
    if clear := which(lambda look: TRANSPARENT in look.values):
        found.notes.append(f"the masks of {named(clear)}: transparent pixels are not labelled, whatever their colour.")
    deep = [look.highest for _, look in everything if look.highest is not None]
    if deep and 0 < max(deep) < TWELVE_BITS and not deep_is_told:
        found.warnings.append(
            f"{named(which(lambda look: look.highest is not None))}: 16-bit files whose highest value is {max(deep)}, "
            f"so that pictures are nearly black: give value_range (0, {2 ** max(deep).bit_length() - 1})."
        )
    copies = defaultdict(list)
    for split, pairs in files.items():
        for file, look in pairs:
            copies[look.digest].append((split, file))
    shared = [group for group in copies.values() if len({split for split, _ in group}) > 1]
    if shared:
        pair = " and ".join(str(file) for _, file in shared[0][:2])
        found.warnings.append(
            f"{len(shared)} picture{'s are' if len(shared) > 1 else ' is'} in more than one split ({pair}), so that "
            "validation is not on unseen pictures."
        )


def differences(classes: Sequence[dict[str, Any]], config: SegformerConfig) -> list[str]:
    """Why a model is not one for the data set's classes; nothing if it is, or if one of them has no names."""
    count = 2 if config.num_labels == 1 else config.num_labels  # one logit tells two classes
    mine, theirs = [str(row["name"]) for row in classes], [str(config.id2label[i]) for i in sorted(config.id2label)]
    if mine and len(mine) != count:
        return [
            f"the data set has {len(mine)} classes ({_shown(mine)}), but the model {count} ({_shown(theirs)}): take a "
            "model with the data set's classes, or say which class is which."
        ]
    unlike = [(a, b) for a, b in zip(mine, theirs, strict=False) if plain(a) != plain(b)]
    if config.num_labels == 1 or not unlike or made_up(mine) or made_up(theirs):
        return []
    return [
        f"the classes of the data set ({_shown(mine)}) are not those of the model ({_shown(theirs)}), for one "
        f"{unlike[0][0]!r} where the model has {unlike[0][1]!r}: give both the same names in the same order."
    ]


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
