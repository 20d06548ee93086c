"""A folder a class, as ImageNet: pictures without masks, for classifiers."""

import unicodedata
from pathlib import Path

from segformer_tf.data.classes import numbered
from segformer_tf.data.files import (
    PICTURES,
    Found,
    drawn_pairs,
    files_in,
    hidden,
    named,
    split_folder,
    split_names,
    splits_below,
    walk,
)
from segformer_tf.data.layouts.folders import IMAGE_FOLDERS, both
from segformer_tf.data.naming import plain
from segformer_tf.data.splits import Layout, Split

TREE = """DIR/train/CLASS/NAME.jpg   (no masks: for classification)
DIR/val/CLASS/NAME.jpg
Also DIR/CLASS/NAME.jpg without split folders."""
# Of data sets for segmentation. "mask" is none of them: it is a class where faces wear one.
OTHERS = (*IMAGE_FOLDERS, "jpegimages", "leftimg8bit", "annotation", "annotations", "labels", "gt", "groundtruth")


def _classes_below(folder: Path | None) -> list[Path]:
    below = [] if folder is None else sorted(folder.iterdir())
    return [entry for entry in below if entry.is_dir() and not hidden(entry.name) and not entry.name.startswith("__")]


def _name(folder: Path) -> str:
    return unicodedata.normalize("NFC", folder.name)


def _is_picture(name: str) -> bool:
    return Path(name).suffix.lower() in PICTURES and not hidden(name)


def _has_pictures(folder: Path) -> bool:
    return any(_is_picture(name) for _, names in walk(folder, Found()) for name in names)


def _has_splits(directory: Path) -> bool:
    below = [entry for split in splits_below(directory) for entry in _classes_below(split_folder(directory, split))]
    return bool(below) and not any(map(both, below))


def _is_split(folder: Path) -> bool:
    """Whether it is called as a split is; one such folder among classes is a class: a train, a test."""
    return any(folder.name in split_names(split) for split in ("train", "val", "test"))


def found(directory: Path) -> bool:
    if _has_splits(directory):
        return True
    below = [entry for entry in _classes_below(directory) if _has_pictures(entry)]
    if any(plain(entry.name) in OTHERS or both(entry) for entry in below):
        return False
    return len(below) > 1 and sum(map(_is_split, below)) <= 1


def splits(directory: Path) -> list[str]:
    return splits_below(directory) if _has_splits(directory) else ["train", "val"]


def read(directory: Path, split: str, seed: int) -> Split:
    """Ids follow the sorted names of the training split's folders, so that every split has the same.

    Names that differ in capitals, or in space, `_` and `-`, are one class. Without split folders a fifth of each class
    validates.
    """
    listed = Found()
    whole = not _has_splits(directory)
    folder = directory if whole else split_folder(directory, split)
    below = _drawn_from(directory, listed) if whole else _classes_below(folder)
    if folder is None or not below:
        trained = split_folder(directory, "train")
        hint = f", or give {trained} itself, of which a fifth then validates" if trained and split == "val" else ""
        raise FileNotFoundError(
            f"{directory / split} has no folders of classes, expected them for the split {split!r}; {directory} has "
            f"the splits {', '.join(splits_below(directory))}: add it{hint}."
        )
    trained = below if whole else _classes_below(split_folder(directory, "train")) or below
    spelt: dict[str, str] = {}
    for entry in trained:
        spelt.setdefault(plain(_name(entry)), _name(entry))
    names, places = list(spelt.values()), {name: number for number, name in enumerate(spelt)}
    if beside := sorted(entry for entry in folder.iterdir() if entry.is_file() and _is_picture(entry.name)):
        listed.notes.append(f"{named(beside)}: in no folder of a class, left out.")
    images, ids = [], []
    for entry in below:
        number = places.get(plain(_name(entry)))
        if number is None:
            listed.problems.append(
                f"{entry} is a class that the training split has not, expected one of {', '.join(names)}: rename it."
            )
            continue
        if _name(entry) != names[number]:
            listed.notes.append(f"{entry} is taken for the class {names[number]!r}.")
        files = files_in(entry, PICTURES, listed)
        images += files
        ids += [number] * len(files)
    chosen = None
    if whole:
        chosen, images, ids = drawn_pairs(images, ids, directory, split, seed, listed, by_class=True)
    return listed.split(split, images, ids, numbered(names), layout=LAYOUT.name, chosen=chosen)


def _drawn_from(directory: Path, listed: Found) -> list[Path]:
    """The folders of classes where there are no splits."""
    below = _classes_below(directory)
    having = [entry for entry in below if _has_pictures(entry)]
    if empty := [entry for entry in below if entry not in having]:
        listed.notes.append(f"{named(empty)}: no pictures, taken for no class.")
    for entry in having:
        if _is_split(entry):
            listed.notes.append(f"{entry} is taken for a class, as the folders beside it are.")
        if len(inside := splits_below(entry)) > 1:
            listed.problems.append(
                f"{entry} has the splits {', '.join(inside)} inside a class, expected the classes inside the splits, "
                f"{directory / 'train' / entry.name} and so on: move the folders."
            )
    return having


LAYOUT = Layout("folders of classes", TREE, found, splits, read)
