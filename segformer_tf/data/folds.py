"""Leave-one-group-out: the pictures of a data set by drive, city or whatever their names say, and its folds."""

import dataclasses
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segformer_tf.data.classes import common
from segformer_tf.data.files import key_of, named, names_below
from segformer_tf.data.inspection import Inspection, inspect
from segformer_tf.data.layouts import read_split
from segformer_tf.data.splits import DataError, Split
from segformer_tf.storage.read import read_json

DRIVE = r"^([^_]+)_"  # "0006R0_f01020", "aachen_000000_000019_leftImg8bit": what stands before the first _
SHAPE = '{"group": ["picture", ...], ...} or {"picture": "group", ...}'


def group_pictures(splits: Sequence[Split], rule: str | Path) -> dict[str, Split]:
    """The pictures of several splits together, a split for each group, by name.

    Args:
        rule: "drive": what stands before the first "_" of a picture's name; a regular expression with one group, which
            is searched for in the name; or a JSON file, {"group": ["picture", ...]} or {"picture": "group"}, names
            without suffix, with as many of their folders before them as tell them apart.

    Raises:
        DataError: The splits have other classes, or other colours for them.
        ValueError: The rule leaves out pictures, or makes fewer than two groups.
    """
    if any(split.shards for split in splits):
        raise ValueError("shards have no pictures' names, which folds are made of: take the data set itself.")
    classes, unlike = common({split.name: split.classes for split in splits})
    codings = [split.coding for split in splits]
    coding = dataclasses.replace(codings[0], greys=any(one.greys for one in codings))
    if any(dataclasses.replace(one, greys=coding.greys) != coding for one in codings) and not unlike:
        unlike = ["the splits have other colours for their classes, expected the same in all: give them one list."]
    if unlike:
        raise DataError(unlike)
    pairs = [(image, target) for split in splits for image, target in zip(split.images, split.targets, strict=True)]
    names = names_below([image for image, _ in pairs])
    group_of = _from_file(Path(rule), pairs) if str(rule).endswith(".json") else _from_names(str(rule), pairs)
    if left_out := [name for name, group in zip(names, group_of, strict=True) if group is None]:
        raise ValueError(
            f"{len(left_out)} of {len(names)} pictures are in no group by {str(rule)!r} ({', '.join(left_out[:3])}), "
            "expected all of them: change the rule."
        )
    groups = sorted({group for group in group_of if group is not None})
    if len(groups) < 2:
        raise ValueError(
            f"{str(rule)!r} makes one group, {groups[0]!r}, of all {len(names)} pictures, expected two or more, so "
            "that one can be left out: change the rule."
        )
    found = {}
    for group in groups:
        own = [pair for pair, its in zip(pairs, group_of, strict=True) if its == group]
        images, targets = [image for image, _ in own], [target for _, target in own]
        found[group] = dataclasses.replace(
            splits[0], name=group, images=images, targets=targets, classes=classes, coding=coding, chosen=None
        )
    return found


def _from_names(rule: str, pairs: Sequence[tuple[Path, Any]]) -> list[str | None]:
    """The group of each picture; None for those that the rule leaves out."""
    try:
        pattern = re.compile(DRIVE if rule == "drive" else rule)
    except re.error as error:
        raise ValueError(f"the folds' rule {rule!r} is no regular expression ({error}): correct it.") from None
    if pattern.groups != 1:
        raise ValueError(
            f"the folds' rule {rule!r} has {pattern.groups} groups in brackets, expected one, which says the group, as "
            f"{DRIVE!r} does; or drive, or a .json file."
        )
    found = [pattern.search(image.stem) for image, _ in pairs]
    return [(match[1] or None) if match else None for match in found]


def _from_file(file: Path, pairs: Sequence[tuple[Path, Any]]) -> list[str | None]:
    by_end = defaultdict(list)  # "0000", "cam0/0000", "train/cam0/0000" ... -> numbers of pictures
    for number, (image, _) in enumerate(pairs):
        parts = key_of(image, Path(image.anchor)).split("/")
        for start in range(len(parts)):
            by_end["/".join(parts[start:])].append(number)
    found: list[str | None] = [None] * len(pairs)
    strange = []
    for name, group in _named_in(file):
        numbers = by_end[unicodedata.normalize("NFC", name)]
        if len(numbers) > 1:
            raise ValueError(
                f"{file} names {name!r}, which {len(numbers)} pictures are called "
                f"({named([pairs[number][0] for number in numbers])}), expected one: put its folders before it."
            )
        strange += [] if numbers else [name]
        for number in numbers:
            if found[number] not in (None, group):
                raise ValueError(
                    f"{file} has {name!r} in {found[number]!r} and in {group!r}, expected one: correct it."
                )
            found[number] = group
    if strange:
        raise ValueError(
            f"{file} names {named(sorted(strange))}, expected names of pictures without suffix: correct it."
        )
    return found


def _named_in(file: Path) -> list[tuple[str, str]]:
    """Names of pictures and their groups, as a JSON file says them."""
    given = read_json(file, f"groups of pictures, {SHAPE}", dict)
    lists = {group: several for group, several in given.items() if isinstance(several, list)}
    if any(not isinstance(value, (str, list)) for value in given.values()) or (lists and len(lists) < len(given)):
        raise ValueError(f"{file} has values of other kinds, expected {SHAPE}: correct it.")
    if empty := [group for group, several in lists.items() if not several]:
        raise ValueError(f"{file} has the group {empty[0]!r} without pictures, expected some: correct it.")
    found = [(str(name), group) for group, several in lists.items() for name in several] if lists else [*given.items()]
    if bare := [name for name, group in found if not group.strip()]:
        raise ValueError(f"{file} has {bare[0]!r} in a group without a name, expected one: correct it.")
    return found


def inspect_folds(
    data: str | Path, rule: str | Path, *, binary: bool = False, broken: str = "stop", **reading: Any
) -> Inspection:
    """Train and val pictures of a directory together, inspected once; its `splits` are the groups. Errors as `inspect`.

    Raises:
        ValueError: As `group_pictures`.
    """
    splits = [read_split(data, name) for name in ("train", "val")]
    found = inspect(group_pictures(splits, rule), binary=binary, broken=broken, **reading).check()
    found.warnings += lacking(found)
    return found


def lacking(found: Inspection) -> list[str]:
    """A sentence for each class that only one group has, or that one does not have."""
    told = []
    for row in found.classes:
        counts: Mapping[str, int] = row.get("pixels", row.get("pictures", {}))
        having = [group for group in found.splits if counts.get(group)]
        if len(having) == 1:
            told.append(
                f"only the group {having[0]!r} has the class {row['name']!r}: its fold cannot learn it, and scores 0 "
                "there."
            )
        elif having:
            told += [
                f"the group {group!r} has no {row['name']!r}: its fold's mean leaves that out, or has 0 for it where "
                "the model finds some there."
                for group in found.splits
                if group not in having
            ]
    return told


def fold(found: Inspection, group: str) -> Inspection:
    """What `train` takes: the other groups as "train", this one as "val"."""
    others = [split for name, split in found.splits.items() if name != group]
    train = dataclasses.replace(
        others[0],
        name="train",
        images=[image for split in others for image in split.images],
        targets=[target for split in others for target in split.targets],
    )
    validation = dataclasses.replace(found.splits[group], name="val")
    classes = [_two_splits(row, group) for row in found.classes]
    unlabelled = {
        "train": sum(n for name, n in found.unlabelled.items() if name != group),
        "val": found.unlabelled.get(group, 0),
    }
    return dataclasses.replace(
        found,
        splits={"train": train, "val": validation},
        classes=classes,
        unlabelled=unlabelled,
        warnings=[],
        notes=[f"the fold {group!r}: its {len(validation)} pictures validate, the other {len(train)} are trained on"],
    )


def _two_splits(row: dict[str, Any], group: str) -> dict[str, Any]:
    key = "pixels" if "pixels" in row else "pictures"
    others = sum(count for name, count in row[key].items() if name != group)
    return {**row, key: {"train": others, "val": row[key].get(group, 0)}}


def directory_of(run: str | Path, group: str) -> Path:
    """Where a fold's run lies: letters and digits of any script stay."""
    plain = re.sub(r"[^\w.-]+", "-", unicodedata.normalize("NFC", group))
    return Path(run) / f"fold-{plain}"
