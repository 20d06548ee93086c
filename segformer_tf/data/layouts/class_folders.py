"""A folder a class, as ImageNet: pictures without masks, for classifiers."""

import unicodedata
from pathlib import Path

from segformer_tf.data.classes import numbered
from segformer_tf.data.files import PICTURES, Found, files_in, split_folder, splits_below
from segformer_tf.data.naming import plain
from segformer_tf.data.splits import Layout, Split

TREE = """DIR/train/CLASS/NAME.jpg   (no masks: for classification)
DIR/val/CLASS/NAME.jpg"""


def _classes_below(folder: Path | None) -> list[Path]:
    below = [] if folder is None else sorted(folder.iterdir())
    return [entry for entry in below if entry.is_dir() and not entry.name.startswith((".", "__"))]


def _name(folder: Path) -> str:
    return unicodedata.normalize("NFC", folder.name)


def found(directory: Path) -> bool:
    return any(_classes_below(split_folder(directory, split)) for split in splits_below(directory))


def read(directory: Path, split: str, seed: int) -> Split:
    """Ids follow the sorted names of the training split's folders, so that every split has the same.

    Names that differ in capitals, or in space, `_` and `-`, are one class.
    """
    del seed
    folder = split_folder(directory, split)
    below = _classes_below(folder)
    if not below:
        raise FileNotFoundError(
            f"{directory / split} has no folders of classes, expected them for the split {split!r}; {directory} has "
            f"the splits {', '.join(splits_below(directory))}: add it."
        )
    trained = _classes_below(split_folder(directory, "train")) or below
    spelt: dict[str, str] = {}
    for entry in trained:
        spelt.setdefault(plain(_name(entry)), _name(entry))
    names, places = list(spelt.values()), {name: number for number, name in enumerate(spelt)}
    listed = Found()
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
    return listed.split(split, images, ids, numbered(names), layout=LAYOUT.name)


LAYOUT = Layout("folders of classes", TREE, found, splits_below, read)
