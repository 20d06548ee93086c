"""Classes scored together, as Cityscapes' categories are: `{"flat": ["road", "sidewalk"], ...}`."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.data.naming import id_of
from segformer_tf.models.metrics import scores
from segformer_tf.storage.read import read_json

Groups = Mapping[str, Sequence[str | int]]
CITYSCAPES = {
    "flat": ["road", "sidewalk"],
    "construction": ["building", "wall", "fence"],
    "object": ["pole", "traffic light", "traffic sign"],
    "nature": ["vegetation", "terrain"],
    "sky": ["sky"],
    "human": ["person", "rider"],
    "vehicle": ["car", "truck", "bus", "train", "motorcycle", "bicycle"],
}
SHAPE = '{"flat": ["road", "sidewalk"], ...}'


def read_groups(source: str | Path | Groups, id2label: Mapping[int, str]) -> dict[str, list[int]]:
    """Group -> ids of its classes, from a JSON file, a dictionary, or "cityscapes": its seven categories.

    Raises:
        ValueError: A class that is none of the model's, one in two groups, a group without classes.
    """
    if isinstance(source, (str, os.PathLike)):
        known = str(source) == "cityscapes"
        groups = CITYSCAPES if known else read_json(Path(source), f"groups of classes, {SHAPE}", dict)
    else:
        groups = source
    found: dict[str, list[int]] = {}
    taken: dict[int, str] = {}
    if not groups:
        raise ValueError(f"{source} names no group, expected {SHAPE}: name some.")
    for group, classes in groups.items():
        if not isinstance(classes, (list, tuple)) or not classes:
            raise ValueError(f"the group {group!r} is {classes!r}, expected a list of classes: name some.")
        found[group] = [_id(name, group, id2label) for name in classes]
        for number in found[group]:
            if number in taken:
                raise ValueError(
                    f"the class {id2label[number]!r} is in the groups {taken[number]!r} and {group!r}, expected it in "
                    "one: take it out of the other."
                )
            taken[number] = group
    return found


def _id(name: str | int, group: str, id2label: Mapping[int, str]) -> int:
    found = id_of(name, id2label)
    if found is None:
        raise ValueError(
            f"the group {group!r} has the class {name!r}, expected classes of the model, "
            f"{', '.join(id2label.values())}: correct it."
        )
    return found


def group_matrix(matrix: np.ndarray, groups: Mapping[str, Sequence[int]]) -> np.ndarray:
    """(n, n) -> (g + 1, g + 1); the last row and column are the classes of no group."""
    of_class = np.full(len(matrix), len(groups))
    for number, ids in enumerate(groups.values()):
        of_class[list(ids)] = number
    member = np.eye(len(groups) + 1, dtype=np.int64)[of_class]  # (n, g + 1)
    return member.T @ matrix @ member


def group_scores(matrix: np.ndarray, groups: Mapping[str, Sequence[int]]) -> list[dict[str, Any]]:
    """[{"name", "IoU", "Acc", "Dice"}] of each group; a pixel is right if its group is. None where one never occurs.

    What belongs to no group has no score, but counts against a group that it is taken for.
    """
    found = scores(group_matrix(matrix, groups))
    keys = ("IoU", "Acc", "Dice")
    return [
        {"name": name, **{key: None if np.isnan(found[key][i]) else found[key][i] for key in keys}}
        for i, name in enumerate(groups)
    ]
