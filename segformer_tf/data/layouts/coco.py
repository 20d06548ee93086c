"""COCO's JSON: polygons and run lengths (RLE), as COCO, CVAT, Label Studio and Roboflow write them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from segformer_tf.data.classes import after_background
from segformer_tf.data.files import (
    PICTURES,
    SPLIT_FOLDERS,
    Found,
    drawn_pairs,
    named,
    split_folder,
    split_names,
    with_suffix,
)  # fmt: skip
from segformer_tf.data.naming import one_spelling
from segformer_tf.data.shapes import Shapes, flat, polygon, run_lengths
from segformer_tf.data.splits import Layout, Split
from segformer_tf.storage.read import MAX_ANNOTATIONS, read_json, understanding

TREE = """DIR/annotations/instances_train.json   (or train.json, instances_train2017.json, train/_annotations.coco.json)
DIR/annotations/instances_val.json     (with one file for all, such as instances_default.json, a fifth validates)
DIR/images/train/NAME.jpg              (or DIR/train/, DIR/train2017/, DIR/images/, as "file_name" says)"""

KEYS = {"images", "annotations", "categories"}


def _files(directory: Path) -> list[Path]:
    """JSON files that are COCO's, or are meant to be, in the places where tools put them; `read` says what is wrong."""
    folders = [directory, directory / "annotations", *(split_folder(directory, split) for split in SPLIT_FOLDERS)]
    names = (file for folder in folders if folder and folder.is_dir() for file in with_suffix(folder, ".json"))
    files = [file for file in names if file.name != "classes.json"]
    return [file for file in files if _is_coco(file)] or [file for file in files if _is_called_so(file)]


def _is_called_so(file: Path) -> bool:
    return file.stem.lower().startswith("instances") or "coco" in file.stem.lower()


def _is_coco(file: Path) -> bool:
    """By its keys; the whole of a large file is not read for that where its beginning and end tell."""
    with open(file, "rb") as stream:
        head = stream.read(1 << 16)
        stream.seek(0, 2)
        stream.seek(max(stream.tell() - (1 << 16), 0))
        ends = head + stream.read()
    seen = sum(f'"{key}"'.encode() in ends for key in KEYS)
    if not seen and not _is_called_so(file):
        return False
    try:
        content = _content(file)
    except ValueError:  # one that is cut off
        return seen > 1 or _is_called_so(file)
    return isinstance(content, dict) and set(content) >= KEYS


def _content(file: Path) -> Any:
    found = file.stat()
    return _parsed(file, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _parsed(file: Path, *state: int) -> Any:
    """Read again once `state` is another: a file that was corrected in between."""
    del state
    return read_json(file, "COCO's annotations", (dict, list), MAX_ANNOTATIONS)


def _of_split(directory: Path, files: list[Path], split: str) -> Path | None:
    """The file whose name says the split, or one whose name says none in the split's folder below the directory."""
    return next(iter(_all_of_split(directory, files, split)), None)


def _all_of_split(directory: Path, files: list[Path], split: str) -> list[Path]:
    """All such files, COCO's own instances before keypoints, panoptic segments and the like."""
    names = SPLIT_FOLDERS.get(split, (split,))
    by_name = (file for name in names for file in files if name in _words(file))
    silent = (file for file in files if not any(_words(file) & set(said) for said in SPLIT_FOLDERS.values()))
    by_folder = (f for f in silent if f.parent.parent == directory and f.parent.name.lower() in names)
    return sorted(dict.fromkeys(by_name) or by_folder, key=_is_other)


def _is_other(file: Path) -> bool:
    return not file.stem.lower().startswith("instances")


def _words(file: Path) -> set[str]:
    return set(file.stem.lower().replace("-", "_").rstrip("0123456789").split("_"))


def splits(directory: Path) -> list[str]:
    files = _files(directory)
    return [split for split in SPLIT_FOLDERS if _of_split(directory, files, split)] or ["train", "val"]


def read(directory: Path, split: str, seed: int) -> Split:
    listed = Found()
    files = _files(directory)
    file = _of_split(directory, files, split)
    if file is None and (len(files) != 1 or any(_of_split(directory, files, name) for name in ("train", "val"))):
        raise FileNotFoundError(
            f"{directory} has {named(files)}, expected one whose name says {split!r}, such as instances_{split}.json: "
            "rename one, or add it."
        )
    with understanding(file or files[0], "COCO's annotations"):
        return _read(directory, split, seed, file, files, listed)


def _read(directory: Path, split: str, seed: int, file: Path | None, files: list[Path], listed: Found) -> Split:
    source = file or files[0]
    content = _content(source)
    _tell_others(_all_of_split(directory, files, split), listed)
    alike = one_spelling(_names(directory, files, source))
    listed.notes += [
        f"{name!r} and {first!r} are one class, {first!r}." for name, first in alike.items() if name != first
    ]
    names = [*dict.fromkeys(alike.values())]
    classes, numbers = after_background(names, source)
    number_of = dict(zip(names, numbers, strict=True))
    own = [str(row["name"]) for row in _categories(content)]
    ids = {_key(row["id"]): number_of[alike[str(row["name"])]] for row in _categories(content)}
    if twice := next((name for name in own if own.count(name) > 1), ""):
        listed.problems.append(
            f"{source} has two categories {twice!r}, expected a name of its own for each: rename one."
        )
    listed.problems += _astray(content, source)
    shapes = defaultdict(list)
    for annotation in content["annotations"]:
        shapes[_key(annotation["image_id"])].append(annotation)
    images, targets, gone = [], [], []
    for row in sorted(content["images"], key=lambda row: row["file_name"]):
        picture = _picture(directory, source, row["file_name"], split)
        if picture is None:
            gone.append(row["file_name"])
            continue
        size = (int(row["height"]), int(row["width"])) if "height" in row and "width" in row else None
        images.append(picture)
        targets.append(Shapes(source, partial(_draw, source, shapes[_key(row["id"])], ids), size))
    if twice := [file for file, count in Counter(images).items() if count > 1]:
        listed.problems.append(f"{source} lists {named(twice)} more than once, expected each once: put them together.")
    if gone:
        listed.problems.append(
            f"{source} lists {named(gone)}, which is in none of {named(_places(directory, source, split))}: add it."
        )
    if boxes := sum(not annotation.get("segmentation") for annotation in content["annotations"]):
        listed.problems.append(
            f"{source} has {boxes:,} annotations without a segmentation (boxes alone), expected polygons or run "
            "lengths: annotate outlines."
        )
    outlines = (row["segmentation"] for row in content["annotations"] if isinstance(row.get("segmentation"), list))
    if empty := sum(flat(points) for outline in outlines if outline for points in _polygons(outline)):
        listed.notes.append(f"{source}: {empty:,} polygons of fewer than 3 points have no area and are left out.")
    chosen = None
    if file is None:
        chosen, images, targets = drawn_pairs(images, targets, directory, split, seed, listed)
    return listed.split(split, images, targets, classes, layout=LAYOUT.name, chosen=chosen)


def _key(number: Any) -> str:
    """An id, which some tools write as text in one list and as a number in the other."""
    return str(int(number) if isinstance(number, float) and number.is_integer() else number)


def _tell_others(files: list[Path], listed: Found) -> None:
    """A split has one file; other tools' or kinds of annotations beside COCO's instances are left out."""
    rest = [file for file in files[1:] if _is_other(file) == _is_other(files[0])]
    if rest:
        listed.problems.append(
            f"{named([files[0], *rest])} are of one split, expected one file: put them together, or take others away."
        )
    elif files[1:]:
        listed.notes.append(f"the annotations are those of {files[0]}; {named(files[1:])} is left out.")


def _astray(content: Any, source: Path) -> Iterator[str]:
    """A sentence about annotations of pictures that are not listed, and about ids that several of a kind have."""
    ids = Counter(_key(row["id"]) for row in content["images"])
    if lost := [row for row in content["annotations"] if _key(row["image_id"]) not in ids]:
        listed = named([f"annotation {row.get('id')} of the image_id {row['image_id']!r}" for row in lost])
        yield f"{source} has {listed}, expected the id of one of its images: correct it, or add the image."
    if several := [number for number, count in ids.items() if count > 1]:
        yield f"{source} has {ids[several[0]]} images of the id {several[0]}, expected an id for each: correct it."
    of_id = defaultdict(list)
    for row in content["categories"]:
        of_id[row["id"]].append(row["name"])
    if several := [(number, own) for number, own in of_id.items() if len(own) > 1]:
        number, own = several[0]
        yield f"{source} has the categories {named(own)} of one id {number!r}, expected an id for each: correct it."


def _categories(content: Any) -> list[dict[str, Any]]:
    """By id; Roboflow's first, a super-category that no annotation has, is left out."""
    used = {_key(annotation["category_id"]) for annotation in content["annotations"]}
    rows = sorted(content["categories"], key=lambda row: row["id"])
    parents = {row.get("supercategory") for row in rows}
    return [row for row in rows if _key(row["id"]) in used or row["name"] not in parents or row["id"] != 0]


def _names(directory: Path, files: list[Path], source: Path) -> list[str]:
    """Of all files, so that classes are the same in all splits: each file has ids of its own, and may lack some."""
    names: list[str] = []
    for file in dict.fromkeys([*(_of_split(directory, files, split) for split in SPLIT_FOLDERS), source]):
        if file is not None:
            with understanding(file, "COCO's annotations"):
                names += [str(row["name"]) for row in _categories(_content(file))]
    return [*dict.fromkeys(names)]


def _places(directory: Path, source: Path, split: str) -> list[Path]:
    names = split_names(split)
    below = [
        folder for name in names for folder in (directory / name, directory / f"{name}2017", directory / f"{name}2014")
    ]
    images = directory / "images"
    subset = images / source.stem.removeprefix("instances_")  # CVAT's, such as "default"
    return [source.parent, directory, images, subset, *(images / name for name in names), *below]


def _picture(directory: Path, source: Path, name: str, split: str) -> Path | None:
    path = PureWindowsPath(name).as_posix()  # either kind of slashes
    places = (folder / part for part in (name, path, Path(path).name) for folder in _places(directory, source, split))
    return next((file for file in places if file.suffix.lower() in PICTURES and file.is_file()), None)


def _draw(source: Path, annotations, ids, size: tuple[int, int]) -> list[tuple[int, np.ndarray]]:
    """Crowds first, so that what stands out of them lies over them. Of those without an outline `_read` tells."""
    masks = []
    outlined = (row for row in annotations if row.get("segmentation"))
    for annotation in sorted(outlined, key=lambda row: -int(row.get("iscrowd") or 0)):
        try:
            if (number := _key(annotation["category_id"])) not in ids:
                raise ValueError(f"it has the category_id {annotation['category_id']!r}, expected {named([*ids])}")
            masks.append((ids[number], _mask(annotation["segmentation"], size)))
        except Exception as error:
            reason = error if isinstance(error, ValueError) else repr(error)
            raise ValueError(
                f"{source}: annotation {annotation.get('id')} cannot be read ({reason}): correct it."
            ) from None
    return masks


def _mask(segmentation: Any, size: tuple[int, int]) -> np.ndarray:
    if isinstance(segmentation, dict):
        if tuple(segmentation["size"]) != tuple(size):
            raise ValueError(f"its run lengths are of {segmentation['size']}, its picture of {list(size)} pixels")
        return run_lengths(segmentation["counts"], size)
    return np.any([np.zeros(size, bool), *(polygon(p, size) for p in _polygons(segmentation) if not flat(p))], axis=0)


def _polygons(segmentation: Any) -> list:
    return segmentation if isinstance(segmentation[0], (list, tuple)) else [segmentation]  # without the list around it


LAYOUT = Layout("COCO", TREE, lambda directory: bool(_files(directory)), splits, read)
