"""Roboflow's semantic export: pictures and `_mask.png` side by side in train, valid, test, with `_classes.csv`."""

from pathlib import Path

from segformer_tf.data.files import SPLIT_FOLDERS, split_folder
from segformer_tf.data.layouts.folders import SIDE_BY_SIDE, side_read
from segformer_tf.data.layouts.layout import Layout
from segformer_tf.data.splits import Split

TREE = """DIR/train/NAME.jpg
DIR/train/NAME_mask.png
DIR/train/_classes.csv   (0, background; 1, name ...)
DIR/valid/ ... DIR/test/ ..."""


def found(directory: Path) -> bool:
    folders = [directory, *(split_folder(directory, split) for split in SPLIT_FOLDERS)]
    return any(folder is not None and (folder / "_classes.csv").is_file() for folder in folders)


def read(directory: Path, split: str, seed: int) -> Split:
    return side_read(directory, split, seed, LAYOUT.name)


LAYOUT = Layout("Roboflow's semantic segmentation", TREE, found, SIDE_BY_SIDE.splits, read)
