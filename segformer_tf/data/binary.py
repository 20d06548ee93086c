"""Masks of one foreground class, in whatever values they were saved -> ids 0 and 1."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segformer_tf.data.masks import TRANSPARENT
from segformer_tf.data.naming import TWO
from segformer_tf.data.splits import UNLABELLED
from segformer_tf.images.colours import told


def meaning(masks: Sequence[tuple[Path, Mapping[int, int]]]) -> dict[int, int]:
    """What the values of a data set's masks mean: 0 is background, the other value foreground.

    255 is foreground where it is the other value, and unlabelled where masks have a third one. Masks that could not be
    read, and were told of as such, have none.

    Args:
        masks: File and value -> pixels, of each mask.

    Raises:
        ValueError: There are other values, or files differ in what 255 is.
    """
    total = Counter()
    for _, values in masks:
        total.update({value: count for value, count in values.items() if value != TRANSPARENT})
    others = sorted(set(total) - {0, UNLABELLED})
    if len(others) > 1:
        raise ValueError(
            f"the masks have {told(list(total), list(total.values()))}, expected 0 and one other value for masks of "
            "one foreground class: correct them, or leave out --binary."
        )
    if not others:
        return {0: 0, UNLABELLED: 1}
    foreground = others[0]
    if UNLABELLED not in total:
        return {0: 0, foreground: 1}
    with_255 = [(file, values) for file, values in masks if UNLABELLED in values]
    if not any(foreground in values for _, values in with_255):
        other = next(file for file, values in masks if foreground in values)
        raise ValueError(
            f"{with_255[0][0]} has 0 and 255, but {other} has 0 and {foreground}; expected one value for the "
            "foreground in all masks: save them alike."
        )
    return {0: 0, foreground: 1, UNLABELLED: UNLABELLED}


def names(classes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two rows: the data set's own, or background and what it names.

    Raises ValueError where it names more than two classes.
    """
    if len(classes) > 2:
        listed = ", ".join(str(row["name"]) for row in classes)
        raise ValueError(
            f"the data set names {len(classes)} classes ({listed}), expected one or two with --binary: leave it out, "
            "or correct classes.json."
        )
    if len(classes) == 2:
        return [dict(row) for row in classes]
    foreground = dict(classes[0]) if classes else {"name": TWO[1]}
    return [{"id": 0, "name": TWO[0]}, {**foreground, "id": 1}]
