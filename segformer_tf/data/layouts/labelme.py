"""labelme's JSON, one file a picture: polygons, rectangles, circles and bitmaps with the names of their classes."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.data.classes import BACKGROUNDS, after_background, read_classes
from segformer_tf.data.files import (
    PICTURES,
    SPLIT_FOLDERS,
    Found,
    by_key,
    drawn_pairs,
    files_in,
    gathered,
    key_of,
    named,
    split_folder,
    splits_below,
    with_suffix,
)  # fmt: skip
from segformer_tf.data.naming import one_spelling
from segformer_tf.data.shapes import Shapes, bitmap, circle, flat, polygon, rectangle
from segformer_tf.data.splits import UNLABELLED, Layout, Split
from segformer_tf.storage.read import MAX_ANNOTATIONS, read_json, read_lines

TREE = """DIR/NAME.jpg    (or in DIR/train and DIR/val; without split folders a fifth validates)
DIR/NAME.json
DIR/labels.txt  (optional: the classes in their order, a line each)"""
EXPECTED = "annotations of labelme"
AREAS = {"polygon": polygon, "rectangle": rectangle, "circle": circle}
WITHOUT_AREA = ("point", "line", "linestrip", "points")
IGNORED = ("__ignore__", "_ignore_", "ignore")


def _folders(directory: Path) -> list[Path]:
    """Where annotations may lie: in the directory, its split folders, or `images/` and its."""
    images = directory / "images"
    below = [split_folder(parent, split) for parent in (directory, images) for split in SPLIT_FOLDERS]
    return [folder for folder in (directory, images, *below) if folder is not None and folder.is_dir()]


def found(directory: Path) -> bool:
    files = (file for folder in _folders(directory) for file in with_suffix(folder, ".json"))
    return any(file.name != "classes.json" and _is_labelme(file) for file in files)


def _is_labelme(file: Path) -> bool:
    """Whether it is, or is meant to be; `_target` says what is wrong with it. Other tools' JSON may lie there too."""
    if not file.is_file() or file.stat().st_size > MAX_ANNOTATIONS or b'"shapes"' not in file.read_bytes():
        return False
    try:
        content = read_json(file, EXPECTED, (dict, list), MAX_ANNOTATIONS)
    except ValueError:  # one that is cut off
        return True
    return "shapes" in content


def _root(directory: Path) -> Path:
    """The folder that holds the splits, or the files where there are none."""
    images = directory / "images"
    return images if images.is_dir() and not splits_below(directory) else directory


def splits(directory: Path) -> list[str]:
    return splits_below(_root(directory)) or ["train", "val"]


def read(directory: Path, split: str, seed: int) -> Split:
    listed = Found()
    root = _root(directory)
    place = split_folder(root, split)
    if place is None and splits_below(root):
        raise FileNotFoundError(
            f"{root / split} is not a directory, expected files of the split {split!r}; {root} has the splits "
            f"{', '.join(splits_below(root))}: add it."
        )
    folder = place or root
    files = files_in(folder, (*PICTURES, ".json"), listed)
    texts = {key_of(f, folder): f for f in files if f.suffix.lower() == ".json" and f.name != "classes.json"}
    pictures = by_key([file for file in files if file.suffix.lower() in PICTURES], folder, "picture", listed)
    if bare := sorted(pictures.keys() - texts.keys()):
        listed.problems.append(
            f"{named([pictures[key] for key in bare])}: no annotation NAME.json: annotate it, or take it away."
        )
    alone = {texts[key]: _is_labelme(texts[key]) for key in sorted(texts.keys() - pictures.keys())}
    if bare := [file for file, is_one in alone.items() if is_one]:
        listed.problems.append(f"{named(bare)}: no picture of that name: add it.")
    if others := [file for file, is_one in alone.items() if not is_one]:
        listed.notes.append(f"{named(others)}: no annotation of labelme, and no picture of that name: left out.")
    classes = _classes(directory, root, listed)
    background = next((int(row["id"]) for row in classes if str(row["name"]).lower() in BACKGROUNDS), 0)
    ids = dict.fromkeys(BACKGROUNDS, background) | {str(row["name"]): int(row["id"]) for row in classes}
    ids |= dict.fromkeys(IGNORED, UNLABELLED)
    keys = sorted(pictures.keys() & texts.keys())
    images = [pictures[key] for key in keys]
    problems: list[tuple[Path, str]] = []
    notes: list[tuple[Path, str]] = []
    targets = [_target(texts[key], ids, problems, notes) for key in keys]
    listed.problems += gathered(problems)
    listed.notes += gathered(notes)
    chosen = None
    if place is None:
        chosen, images, targets = drawn_pairs(images, targets, folder, split, seed, listed)
    return listed.split(split, images, targets, classes, layout=LAYOUT.name, chosen=chosen)


def _classes(directory: Path, root: Path, listed: Found) -> list[dict[str, Any]]:
    """Of `classes.json` or `labels.txt`; else background and the names that occur in any split, sorted."""
    classes, _ = read_classes(directory, listed)
    if classes:
        return classes
    file = directory / "labels.txt"
    if file.is_file():
        lines = [line.strip() for line in read_lines(file, "names of classes")]
        names = [line for line in lines if line and line not in IGNORED]
    else:
        files = [f for f in files_in(root, (".json",), Found()) if f.name != "classes.json"]
        used: set[str] = set()
        for json_file in files:
            with suppress(ValueError):  # `_target` says so
                used |= {_label(shape) for shape in _content(json_file)["shapes"]}
        names = [*dict.fromkeys(one_spelling(sorted(used - {*IGNORED, ""})).values())]
    return after_background(names, file)[0]


def _content(file: Path) -> dict[str, Any]:
    """Raises ValueError for what is no annotation of labelme."""
    content = read_json(file, EXPECTED, most=MAX_ANNOTATIONS)
    shapes = content.get("shapes")
    if not isinstance(shapes, list) or not all(isinstance(shape, dict) for shape in shapes):
        raise ValueError(f'{file} has no list "shapes", expected {EXPECTED}: write it again, or take it away.')
    return content


def _target(file: Path, ids: dict[str, int], problems: list, notes: list) -> Shapes:
    try:
        content = _content(file)
    except ValueError as error:
        problems.append((file, str(error)))
        content = {}
    shapes = [*enumerate(content.get("shapes", []))]
    if lines := [shape for _, shape in shapes if shape.get("shape_type", "polygon") in WITHOUT_AREA]:
        notes.append((file, f"{file}: {len(lines)} points or lines have no area and are left out."))
    if empty := [shape for _, shape in shapes if _kind(shape) == "polygon" and flat(shape.get("points"))]:
        notes.append((file, f"{file}: {len(empty)} polygons of fewer than 3 points have no area and are left out."))
    if bare := [number for number, shape in shapes if not _label(shape)]:
        problems.append((file, f"{file}: shape {bare[0]} has no label, expected the name of a class: give it one."))
    labels = {_label(shape) for _, shape in shapes} - {""}
    first = one_spelling([*ids, *sorted(labels)])
    if alike := [
        label for label in sorted(labels - {*ids}) if first[label] in ids and label.lower() not in BACKGROUNDS
    ]:
        notes.append((file, f"{file}: {', '.join(alike)} and classes spelt alike ({first[alike[0]]}) are one."))
    ids = {label: ids[first[label]] for label in labels if first[label] in ids} | ids
    if unknown := sorted(labels - set(ids)):
        problems.append((file, f"{file} has the label {unknown[0]!r}, expected one of {', '.join(ids)}: correct it."))
    shapes = [(number, shape) for number, shape in shapes if _label(shape) in ids]
    height, width = size = [content.get(key) for key in ("imageHeight", "imageWidth")]
    if not all(size):
        return Shapes(file, partial(_draw, file, shapes, ids))
    with suppress(ValueError, TypeError, OverflowError):
        return Shapes(file, partial(_draw, file, shapes, ids), (int(height), int(width)))
    problems.append((file, f"{file} has imageHeight {height!r} and imageWidth {width!r}, expected pixels: correct it."))
    return Shapes(file, partial(_draw, file, shapes, ids))


def _kind(shape: dict[str, Any]) -> str:
    return shape.get("shape_type") or "polygon"


def _label(shape: dict[str, Any]) -> str:
    """Empty where it has none."""
    label = shape.get("label")
    return "" if label is None else str(label)


def _draw(file: Path, shapes, ids: dict[str, int], size: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    masks = []
    for number, shape in shapes:
        kind = _kind(shape)
        if kind in WITHOUT_AREA or (kind == "polygon" and flat(shape.get("points"))):
            continue
        try:
            if kind == "mask":
                mask = bitmap(shape["mask"], shape["points"][0], size)
            elif kind in AREAS:
                mask = AREAS[kind](shape["points"], size)
            else:
                raise ValueError(f"expected {', '.join(AREAS)} or mask")
        except Exception as error:
            reason = error if isinstance(error, ValueError) else repr(error)
            raise ValueError(f"{file}: shape {number} ({kind}) cannot be drawn ({reason}): correct it.") from None
        masks.append((ids[_label(shape)], mask))
    return masks


LAYOUT = Layout("labelme", TREE, found, splits, read)
