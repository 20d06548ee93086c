"""Pascal VOC, and what CVAT writes as "Segmentation mask 1.1": `JPEGImages/`, `SegmentationClass/`, `ImageSets/`."""

import unicodedata
from collections.abc import Container
from pathlib import Path

from segformer_tf.data.classes import checked, coloured, numbered, read_classes
from segformer_tf.data.files import (
    MASKS,
    PICTURES,
    SPLIT_FOLDERS,
    Found,
    by_key,
    drawn_pairs,
    files_in,
    named,
    pair,
    partners,
    split_names,
    with_suffix,
)  # fmt: skip
from segformer_tf.data.layouts.published import rows_of
from segformer_tf.data.splits import UNLABELLED, Coding, Layout, Split
from segformer_tf.storage.read import read_lines

VOID = (224, 224, 192)  # the colour of VOC's borders, which are not labelled
TREE = """DIR/JPEGImages/NAME.jpg
DIR/SegmentationClass/NAME.png          (a palette of class ids, or colours)
DIR/ImageSets/Segmentation/train.txt    (names, a line each; without these lists a fifth validates)
DIR/ImageSets/Segmentation/val.txt
DIR/labelmap.txt                        (CVAT: name:red,green,blue:: a line, by which colours become classes)"""


def found(directory: Path) -> bool:
    return (directory / "SegmentationClass").is_dir() and (directory / "JPEGImages").is_dir()


def splits(directory: Path) -> list[str]:
    return [split for split in SPLIT_FOLDERS if _list(directory, split)] or ["train", "val"]


def _list(directory: Path, split: str) -> Path | None:
    """The names of a split's pictures, in a file that is called as a split's folder may be."""
    lists = directory / "ImageSets" / "Segmentation"
    return next((lists / f"{name}.txt" for name in split_names(split) if (lists / f"{name}.txt").is_file()), None)


def read(directory: Path, split: str, seed: int) -> Split:
    listed = Found()
    masks = directory / "SegmentationClass"
    images = directory / "JPEGImages"
    targets = by_key(files_in(masks, MASKS, listed), masks, "mask", listed)
    pictures = by_key(files_in(images, PICTURES, listed), images, "picture", listed)
    lists = directory / "ImageSets" / "Segmentation"
    whole = False
    if own := _list(directory, split):
        lines = read_lines(own, "names of pictures")
        keys = list(dict.fromkeys(_key(line.strip(), pictures) for line in lines if line.strip()))
        if gone := [key for key in keys if key not in pictures]:
            listed.problems.append(f"{own} lists {named(gone)}, of which {images} has no picture: add it.")
        pictures = {key: pictures[key] for key in keys if key in pictures}
        targets = {key: targets[key] for key in partners(pictures, targets).values() if key is not None}
    elif _list(directory, "train") or _list(directory, "val"):
        raise FileNotFoundError(
            f"{lists / f'{split}.txt'} does not exist, expected the names of the split {split!r}: add it, or take the "
            "other lists away, and a fifth of the pictures validates."
        )
    else:  # as CVAT exports a task; pictures without a mask are those that nobody annotated
        if bare := {key for key, partner in partners(pictures, targets).items() if partner is None}:
            listed.notes.append(f"{images}: {len(bare)} pictures have no mask and are left out.")
        pictures = {key: file for key, file in pictures.items() if key not in bare}
        others = with_suffix(lists, ".txt") if lists.is_dir() else []
        if others := [file for file in others if file.stem.lower() != "default" and not _is_split(file)]:
            listed.notes.append(f"{named(others)}: no list of a split (such as train.txt and val.txt), not taken.")
        whole = True
    files, found_masks = pair(pictures, targets, masks, listed)
    chosen = None
    if whole:
        chosen, files, found_masks = drawn_pairs(files, found_masks, images, split, seed, listed)
    classes, coding = _classes(directory, listed)
    return listed.split(split, files, found_masks, classes, coding, layout=LAYOUT.name, chosen=chosen)


def _key(line: str, pictures: Container[str]) -> str:
    """A picture's name in a line of a list, which may have a suffix, and behind it a flag as VOC's lists of classes."""
    line = unicodedata.normalize("NFC", line)
    bare, *flag = line.rsplit(maxsplit=1)
    bare = bare if flag and flag[0] in ("-1", "0", "1") else line
    stem = bare[: bare.rfind(".")] if bare.lower().endswith(PICTURES) else bare
    return next((name for name in (line, bare, stem) if name in pictures), line)


def _is_split(file: Path) -> bool:
    return any(file.stem in split_names(split) for split in SPLIT_FOLDERS)


def _classes(directory: Path, listed: Found) -> tuple[list[dict], Coding]:
    """By `labelmap.txt` or `classes.json`; labelme's `class_names.txt`; else VOC's own 21 classes."""
    classes, coding = read_classes(directory, listed)
    if classes:
        return classes, coding
    if (directory / "class_names.txt").is_file():
        names = [name.strip() for name in read_lines(directory / "class_names.txt", "names of classes")]
        rows = numbered([name.strip("_") for name in names if name and name != "__ignore__"])
        return checked(rows, directory / "class_names.txt"), Coding()
    rows = rows_of("voc")
    listed.notes.append(f"{directory} has no labelmap.txt or classes.json, so VOC's own 21 classes are assumed.")
    return rows, Coding(colours={**coloured(rows).colours, VOID: UNLABELLED})


LAYOUT = Layout("Pascal VOC or CVAT's Segmentation mask 1.1", TREE, found, splits, read)
