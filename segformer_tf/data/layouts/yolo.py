"""YOLO's polygons: `labels/**/NAME.txt`, a class and x, y pairs from 0 to 1 a line, and `data.yaml` with the names."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from segformer_tf.data.classes import after_background
from segformer_tf.data.files import (
    PICTURES,
    SPLIT_FOLDERS,
    Found,
    by_key,
    drawn_pairs,
    files_in,
    key_of,
    named,
    split_folder,
    splits_below,
)  # fmt: skip
from segformer_tf.data.shapes import Shapes, polygon
from segformer_tf.data.splits import Layout, Split
from segformer_tf.storage.read import read_lines, read_text, reason

TREE = """DIR/images/train/NAME.jpg   (or DIR/train/images/NAME.jpg)
DIR/images/val/NAME.jpg
DIR/labels/train/NAME.txt   (class x y x y ..., from 0 to 1; no file: nothing but background)
DIR/labels/val/NAME.txt
DIR/data.yaml               (names:)"""

CLASSES, LINES = "names of classes", "a class and pairs of x and y a line"
NAMES = r"(?m)^(['\"]?)names\1\s*:"
MOST = 65533  # the highest class; masks have 16 bits, and background is put before


def _yaml(directory: Path) -> Path | None:
    files = [*sorted(directory.glob("data.y*ml")), *sorted(directory.glob("*.y*ml"))]
    return next((file for file in files if re.search(NAMES, read_text(file, CLASSES))), None)


def found(directory: Path) -> bool:
    return any(_texts(directory))


def _texts(directory: Path) -> Iterator[Path]:
    """Text files in all places of labels: label files, and `classes.txt`."""
    labels = [directory / "labels", *(f / "labels" for s in SPLIT_FOLDERS if (f := split_folder(directory, s)))]
    return (file for folder in labels if folder.is_dir() for file in folder.rglob("*") if file.suffix.lower() == ".txt")


def splits(directory: Path) -> list[str]:
    return splits_below(directory / "images", directory / "labels") or splits_below(directory) or ["train", "val"]


def read(directory: Path, split: str, seed: int) -> Split:
    listed = Found()
    whole = False
    if folder := split_folder(directory / "images", split):
        images, labels = folder, split_folder(directory / "labels", split) or directory / "labels" / folder.name
    elif (folder := split_folder(directory, split)) and (folder / "images").is_dir():
        images, labels = folder / "images", folder / "labels"
    elif (directory / "images").is_dir() and not splits_below(directory / "images", directory / "labels"):
        images, labels = directory / "images", directory / "labels"
        whole = True
    else:
        raise FileNotFoundError(
            f"{directory / 'images' / split} is not a directory, expected pictures of the split {split!r}; there are "
            f"{', '.join(splits(directory))}: add it."
        )
    texts = by_key(files_in(labels, (".txt",), listed), labels, "label file", listed) if labels.is_dir() else {}
    if not _labelled(texts.values()) and _labelled(_texts(directory)):
        raise FileNotFoundError(
            f"{labels} has no label file, expected those of the split {split!r}, as other splits have theirs: add them "
            "(an empty file for a picture of nothing but background)."
        )
    pictures = by_key(files_in(images, PICTURES, listed), images, "picture", listed)
    if unused := [file for key, file in sorted(texts.items()) if key not in pictures and file.name != "classes.txt"]:
        listed.problems.append(f"{named(unused)}: no picture of that name in {images}: add it, or take the file away.")
    if bare := sorted(pictures.keys() - texts.keys()):
        listed.notes.append(f"{images}: {len(bare)} pictures have no label file, so they are all background.")
    classes, ids = after_background(*_names(directory))
    files = [pictures[key] for key in sorted(pictures)]
    targets = [_target(texts.get(key_of(file, images)), file, ids) for file in files]
    chosen = None
    if whole:
        chosen, files, targets = drawn_pairs(files, targets, images, split, seed, listed)
    return listed.split(split, files, targets, classes, layout=LAYOUT.name, chosen=chosen)


def _labelled(texts: Iterable[Path]) -> bool:
    return any(file.name != "classes.txt" for file in texts)


def _target(text: Path | None, picture: Path, ids: list[int]) -> Shapes:
    return Shapes(text or picture, partial(_draw, text, ids))


def _draw(text: Path | None, ids: list[int], size: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    masks = []
    lines = read_lines(text, LINES) if text else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.split()]
        except ValueError:
            raise ValueError(
                f"{text}, line {number} is {line[:60]!r}, expected a class and numbers: correct it."
            ) from None
        if len(values) == 5:
            raise ValueError(
                f"{text}, line {number} is a box (5 values), expected a polygon of at least 3 points: annotate "
                "outlines."
            )
        if len(values) < 7 or len(values) % 2 == 0:
            raise ValueError(
                f"{text}, line {number} has {len(values)} values, expected a class and at least 3 pairs of x and y: "
                "correct it."
            )
        if not values[0].is_integer() or not 0 <= values[0] < len(ids):
            raise ValueError(
                f"{text}, line {number} has the class {values[0]:g}, expected 0 to {len(ids) - 1}, the names of "
                "data.yaml: correct it."
            )
        points = np.array(values[1:]).reshape(-1, 2)
        if not (points.min() >= -0.01 and points.max() <= 1.01):  # NaN compares false
            raise ValueError(
                f"{text}, line {number} reaches from {points.min():g} to {points.max():g}, expected 0 to 1, shares of "
                "the picture's width and height: correct it."
            )
        masks.append((ids[int(values[0])], polygon(points * (size[1], size[0]), size)))
    return masks


def _names(directory: Path) -> tuple[list[str], Path]:
    """Of `data.yaml` (`names: [a, b]`, a list below it, or `0: a` lines), or of `classes.txt`, or made up; whose."""
    file = _yaml(directory)
    if file is not None:
        return _names_in(read_text(file, CLASSES), file), file
    texts = sorted(_texts(directory))
    for file in (directory / "classes.txt", *(text for text in texts if text.name == "classes.txt")):
        if file.is_file():
            return [line.strip() for line in read_lines(file, CLASSES) if line.strip()], file
    lines = (line for text in texts for line in read_lines(text, LINES))
    firsts = [int(match[1]) for line in lines if (match := re.match(r"\s*(\d{1,5})(?:\.0*)?\s", line))]
    return [f"class {i}" for i in range(1 + max((i for i in firsts if i <= MOST), default=0))], directory


def _names_in(text: str, file: Path) -> list[str]:
    """Names by their keys, as they are written: `no`, `1e3` and `007` are names too."""
    import yaml  # huggingface_hub, of the core packages, requires it

    text = text.expandtabs(2)  # YAML itself takes none before a value
    try:  # nodes, not values: these would be truths and numbers, and of two equal keys only the last
        root = yaml.compose(text, yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        told = f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else reason(error)
        raise ValueError(f"{file} is not YAML ({told}), expected a list of class names: correct it.") from None
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    lists = [(key.start_mark.index, node) for key, node in pairs if key.value == "names"]
    if len(lists) != 1:
        raise ValueError(f"{file} has {len(lists)} keys `names`, expected one: correct it.")
    ((start, node),) = lists
    rows = [(key.value, each) for key, each in node.value] if isinstance(node, yaml.MappingNode) else []
    if isinstance(node, yaml.SequenceNode):
        rows = [(str(number), each) for number, each in enumerate(node.value)]
    names = [
        (int(key), each.value.strip())
        for key, each in rows
        if isinstance(each, yaml.ScalarNode) and re.fullmatch("[0-9]{1,20}", str(key))
    ]
    if not names or len(names) < len(rows) or not all(name for _, name in names):
        raise ValueError(
            f"{file} has {text[start:][:60]!r}, expected a list of class names, in quotes where one has a colon, "
            "bracket or brace: correct it."
        )
    keys = [key for key, _ in names]
    if len(set(keys)) < len(keys) or max(keys) > MOST:
        wrong = next((key for key in keys if keys.count(key) > 1), max(keys))
        raise ValueError(f"{file} names the class {wrong}, expected each of 0 to {MOST} at most once: correct it.")
    by_key = dict(names)
    return [by_key.get(key, f"class {key}") for key in range(max(keys) + 1)]


LAYOUT = Layout("YOLO polygons", TREE, found, splits, read)
