"""What a look at folders of classes means: classes without a picture, and pictures that are of two classes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from segformer_tf.data.files import named
from segformer_tf.data.findings import Findings
from segformer_tf.data.looking import Look
from segformer_tf.data.splits import Split

FEW = 5  # pictures of a class, under which little can be learned


def of_classes(
    classes: Sequence[dict[str, Any]], splits: Mapping[str, Split], looks: Mapping[str, list[Look]], found: Findings
) -> None:
    """Classes with no or few pictures, of what `inspect` counted, and files that lie in two classes."""
    if len(classes) == 1 and "train" in splits:
        found.errors.append(
            f"the data set has one class ({classes[0]['name']}), expected two or more: add a folder for each class."
        )
    for split in splits:
        if never := [row["name"] for row in classes if not row["pictures"].get(split)]:
            what = "to train on" if split == "train" else f"in the split {split!r}"
            found.warnings.append(f"{len(never)} of {len(classes)} classes have no picture {what}: {named(never)}.")
    if few := [row["name"] for row in classes if 0 < row["pictures"].get("train", FEW) < FEW]:
        found.warnings.append(f"{len(few)} of {len(classes)} classes have under {FEW} training pictures: {named(few)}.")
    copies = defaultdict(list)
    for name, split in splits.items():
        for file, target, look in zip(split.images, split.targets, looks[name], strict=True):
            copies[look.digest].append((file, target))
    double = [group for group in copies.values() if len({target for _, target in group}) > 1]
    if double:
        first, other = double[0][0], next(pair for pair in double[0] if pair[1] != double[0][0][1])
        found.warnings.append(
            f"{len(double)} picture{'s are' if len(double) > 1 else ' is'} of more than one class ({first[0]} and "
            f"{other[0]}), so that no answer is right: keep one of each."
        )
