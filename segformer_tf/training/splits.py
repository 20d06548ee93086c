"""Where data sets keep pictures and masks: the folder layout, ADE20K, Cityscapes, class folders, shards."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segformer_tf.images.palettes import DATASETS
from segformer_tf.storage.keywords import spell_checked

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")
ADE20K_SPLITS = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class Split:
    """The pictures of one split, what is known of each, and what the classes are called.

    Args:
        targets: The masks' files; for classification the class ids.
        classes: [{"id", "name", "color"}], or empty where the data set does not say.
        reduce_labels: Whether 0 in the masks means unlabelled and the classes begin at 1, as in ADE20K.
        shards: TFRecord files that hold the pictures and masks, instead of `images` and `targets`.
    """

    name: str
    images: Sequence[Path]
    targets: Sequence[Any]
    classes: Sequence[dict[str, Any]] = ()
    reduce_labels: bool = False
    shards: Sequence[Path] = ()
    shard_count: int = 0

    def __len__(self) -> int:
        return self.shard_count or len(self.images)

    @property
    def has_masks(self) -> bool:
        """True for segmentation, False for classification."""
        return bool(self.shards) or not isinstance(self.targets[0], int)

    @property
    def id2label(self) -> dict[int, str]:
        return {int(row["id"]): str(row["name"]) for row in self.classes}


@spell_checked
def read_split(directory: str | Path, split: str = "train") -> Split:
    """The split of a data set in one of the layouts of `docs/training.md`, which is told by its folders.

    Raises:
        FileNotFoundError: No such split, or a picture without its mask, or a mask without its picture.
        ValueError: The split is empty, or a mask is an RGB picture.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory} is not a directory, expected a data set: correct the path.")
    if (directory / f"{split}.json").is_file():
        return _shards(directory, split)
    if (directory / "leftImg8bit").is_dir():
        return _cityscapes(directory, split)
    if (directory / "images").is_dir():
        return _folders(directory, split)
    return _class_folders(directory, split)


def _folders(directory: Path, split: str) -> Split:
    """`images/<split>/NAME.jpg` and `annotations/<split>/NAME.png`; ADE20K's splits are called otherwise."""
    is_ade20k = (directory / "images" / "training").is_dir()
    folder = ADE20K_SPLITS.get(split, split) if is_ade20k else split
    images = _files(directory / "images" / folder, PICTURE_SUFFIXES, split)
    masks = _files(directory / "annotations" / folder, (".png",), split)
    classes: list[dict[str, Any]] = []
    if (directory / "classes.json").is_file():
        classes = read_classes(directory / "classes.json")
    elif is_ade20k:
        classes = _named(DATASETS["ade20k"][0])
    return _paired(split, {f.stem: f for f in images}, {f.stem: f for f in masks}, classes, is_ade20k)


def _cityscapes(directory: Path, split: str) -> Split:
    """`leftImg8bit/<split>/<city>/NAME_leftImg8bit.png` and `gtFine/<split>/<city>/NAME_gtFine_labelTrainIds.png`."""
    ends = "_leftImg8bit.png", "_gtFine_labelTrainIds.png"
    pairs = []
    for folder, end in zip((directory / "leftImg8bit" / split, directory / "gtFine" / split), ends, strict=True):
        files = [file for file in _files(folder, (".png",), split, "*/*") if file.name.endswith(end)]
        pairs.append({file.name.removesuffix(end): file for file in files})
    if pairs[0] and not pairs[1]:
        raise FileNotFoundError(
            f"{directory / 'gtFine' / split} has no *{ends[1]}, expected one a picture: run cityscapesScripts."
        )
    return _paired(split, *pairs, _named(DATASETS["cityscapes"][0]), False)


def _shards(directory: Path, split: str) -> Split:
    """`<split>-00000-of-00004.tfrecord` ... and `<split>.json`, as `shards.write_shards` leaves them."""
    about = json.loads((directory / f"{split}.json").read_text("utf-8"))
    files = [directory / name for name in about["shards"]]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist, but {split}.json lists it: write the shards again.")
    return Split(split, (), (), about["classes"], shards=files, shard_count=about["pictures"])


def _class_folders(directory: Path, split: str) -> Split:
    """`<split>/<class>/NAME.jpg`, as ImageNet; ids follow the sorted names of the folders."""
    root = directory / split
    folders = sorted(folder for folder in root.iterdir() if folder.is_dir()) if root.is_dir() else []
    if not folders:
        raise FileNotFoundError(
            f"{directory} has neither images/{split} nor leftImg8bit/{split} nor folders of classes in {split}: "
            "arrange it as one of the layouts in docs/training.md."
        )
    images, ids = [], []
    for number, folder in enumerate(folders):
        files = _files(folder, PICTURE_SUFFIXES, split)
        images += files
        ids += [number] * len(files)
    if not images:
        raise ValueError(f"{root} has no pictures, expected .jpg or .png files: the split {split!r} is empty.")
    return Split(split, images, ids, [{"id": i, "name": folder.name} for i, folder in enumerate(folders)])


def _files(folder: Path, suffixes: tuple[str, ...], split: str, pattern: str = "*") -> list[Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is not a directory, expected files of the split {split!r}: correct the path."
        )
    return sorted(file for file in folder.glob(pattern) if file.suffix.lower() in suffixes)


def _paired(name: str, images: dict[str, Path], masks: dict[str, Path], classes, reduce_labels: bool) -> Split:
    for stem in sorted(images.keys() ^ masks.keys()):
        lonely, missing = (images[stem], "mask") if stem in images else (masks[stem], "picture")
        raise FileNotFoundError(f"{lonely} has no {missing} of that name: add it, or take the file away.")
    if not images:
        raise ValueError(f"the split {name!r} is empty, expected at least one picture with its mask: add some.")
    stems = sorted(images)
    return Split(name, [images[s] for s in stems], [masks[s] for s in stems], classes, reduce_labels)


def read_classes(file: Path) -> list[dict[str, Any]]:
    """`classes.json`, checked: ids from 0 on without a gap, each with its name."""
    try:
        rows = sorted(json.loads(file.read_text("utf-8")), key=lambda row: row["id"])
        complete = [row["id"] for row in rows] == list(range(len(rows))) and all(row["name"] for row in rows)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'{file} cannot be read ({error}), expected [{{"id": 0, "name": ...}}, ...]: correct it.'
        ) from None
    if not complete:
        raise ValueError(
            f"{file} has ids {[row['id'] for row in rows]}, expected 0 to {len(rows) - 1}, each with a name."
        )
    return rows


def _named(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"id": number, "name": name} for number, name in enumerate(names)]
