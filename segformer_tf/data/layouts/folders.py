"""Pictures and masks of one name: in folders, below or above the split's, or side by side, as Roboflow has them."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from segformer_tf.data.classes import note_lists, read_classes
from segformer_tf.data.files import (
    MASKS,
    PICTURES,
    SPLIT_FOLDERS,
    Found,
    by_key,
    drawn_pairs,
    files_in,
    folders_called,
    hidden,
    is_mask,
    key_of,
    named,
    note_split_lists,
    pair,
    partners,
    split_folder,
    splits_below,
)
from segformer_tf.data.splits import Layout, Split

SCENES, LOOKED_AT = 20, 200  # folders, and files in each, that are looked at for masks; those of classes may be many
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("annotations", "masks", "labels", "mask", "label", "annotation", "gt", "groundtruth", "ground_truth")
TREE = """DIR/images/train/NAME.jpg        (or .jpeg .png .bmp .webp .tif .tiff; folders inside are fine)
DIR/images/val/NAME.jpg
DIR/annotations/train/NAME.png   (or masks/, labels/; or NAME_mask.png)
DIR/annotations/val/NAME.png
DIR/classes.json                 (optional: names, and colours of masks in colours)
Also DIR/train/images, DIR/train/masks ...; and DIR/images, DIR/masks without split folders."""
SIDE_TREE = """DIR/train/NAME.jpg   (or all in DIR, without split folders; a folder for each scene is fine)
DIR/train/NAME_mask.png   (or _label, _seg, _segmentation, _gt)
DIR/val/NAME.jpg
DIR/val/NAME_mask.png"""
ROBOFLOW_TREE = """DIR/train/NAME.jpg
DIR/train/NAME_mask.png
DIR/train/_classes.csv   (0, background; 1, name ...)
DIR/valid/ ... DIR/test/ ..."""


def image_folder(parent: Path) -> Path | None:
    return next(iter(folders_called(parent, IMAGE_FOLDERS)), None)


def mask_folder(parent: Path) -> Path | None:
    """The folder of masks beside `images/`; not one of annotations in text, which other layouts have."""
    folders = folders_called(parent, MASK_FOLDERS)
    return next(_with_masks(parent), next((folder for folder in folders if not _has(folder, (".txt", ".json"))), None))


def _with_masks(parent: Path) -> Iterator[Path]:
    return (folder for folder in folders_called(parent, MASK_FOLDERS) if _has(folder, MASKS))


def _has(folder: Path, suffixes) -> bool:
    return any(file.suffix.lower() in suffixes and file.name[0] != "." for file in folder.rglob("*"))


def _below(directory: Path) -> bool:
    """DIR/train/images and DIR/train/masks."""
    return any(both(split_folder(directory, split)) for split in SPLIT_FOLDERS)


def both(parent: Path | None) -> bool:
    """Whether it holds a folder of pictures and one of masks."""
    return parent is not None and image_folder(parent) is not None and mask_folder(parent) is not None


def found(directory: Path) -> bool:
    return both(directory) or _below(directory)


def splits(directory: Path) -> list[str]:
    """A split that has but one of its two folders is one too, so that whoever looks at all splits is told."""
    images, masks = image_folder(directory), mask_folder(directory)
    if images is None or masks is None:
        return [split for split in SPLIT_FOLDERS if _begun(split_folder(directory, split), split)]
    return splits_below(images, masks) or ["train", "val"]


def _begun(parent: Path | None, split: str) -> bool:
    """Whether a split is meant to be there; pictures for tests may have no masks."""
    halves = parent is not None and (image_folder(parent), mask_folder(parent))
    return bool(halves) and (all(halves) if split == "test" else any(halves))


def read(directory: Path, split: str, seed: int) -> Split:
    listed = Found()
    classes, coding = read_classes(directory, listed)
    if not classes:
        note_lists(directory, listed)
    place = split_folder(directory, split)
    if not both(directory) and both(place):
        assert place is not None
        images, masks, whole = image_folder(place), mask_folder(place), True
    else:
        images, masks = image_folder(directory), mask_folder(directory)
        if images is None or masks is None:
            has = place is not None and image_folder(place) is not None
            raise FileNotFoundError(
                f"{place or directory / split} has no folder {'masks' if has else 'images'}, expected pictures and "
                f"masks of the split {split!r} below {directory}, which has the splits "
                f"{', '.join(splits(directory))}: add it."
            )
        whole = not splits_below(images, masks) and not (images / split).is_dir()
        if not whole:
            names = split_folder(images, split), split_folder(masks, split)
            wanted = images if names[0] is None else masks
            if None in names:
                raise FileNotFoundError(
                    f"{wanted / split} is not a directory, expected files of the split {split!r}; {images} has the "
                    f"splits {', '.join(splits_below(images)) or 'none'}: add it, or move all pictures up into "
                    f"{images} and all masks into {masks}, and a fifth of them validates."
                )
            images, masks = names
    assert images is not None and masks is not None
    taken, *others = [*_with_masks(directory if both(directory) else place or directory)] or [masks]
    if others:
        listed.notes.append(f"the masks are those of {taken}; {named(others)} is left out.")
    pictures = by_key(files_in(images, PICTURES, listed), images, "picture", listed)
    targets = by_key(files_in(masks, MASKS, listed), masks, "mask", listed)
    chosen = None
    files, partners = pair(pictures, targets, masks, listed)
    if whole and both(directory):
        note_split_lists(directory, listed)
        chosen, files, partners = drawn_pairs(files, partners, images, split, seed, listed)
    return listed.split(split, files, partners, classes, coding, layout=LAYOUT.name, chosen=chosen)


def side_found(directory: Path) -> bool:
    """Also where each scene has a folder; there a mask must have its picture, since classes' folders look alike."""
    folders = _side_folders(directory)
    below = (Path(folder, name) for folder in folders for name in next(os.walk(folder))[1] if not hidden(name))
    return any(any(map(is_mask, folder.iterdir())) for folder in folders) or any(map(_has_pair, islice(below, SCENES)))


def _side_folders(directory: Path) -> list[Path]:
    folders = [split_folder(directory, split) for split in SPLIT_FOLDERS]
    return [directory, *(folder for folder in folders if folder)]


def _has_pair(folder: Path) -> bool:
    """Whether there is a mask with its picture, among the first files."""
    some = sorted(islice(folder.iterdir(), LOOKED_AT))
    keys = {key_of(file, folder): file for file in some if file.suffix.lower() in MASKS and not is_mask(file)}
    masks = {key_of(file, folder): file for file in some if is_mask(file)}
    return any(partners(keys, masks).values())


def side_splits(directory: Path) -> list[str]:
    return splits_below(directory) or ["train", "val"]


def side_read(directory: Path, split: str, seed: int, name: str = "pictures and masks side by side") -> Split:
    listed = Found()
    folder = split_folder(directory, split)
    if folder is None and splits_below(directory):
        raise FileNotFoundError(
            f"{directory / split} is not a directory, expected files of the split {split!r}; {directory} has the "
            f"splits {', '.join(splits_below(directory))}: add it."
        )
    place = folder or directory
    classes, coding = read_classes(place, listed)
    if not classes:
        classes, coding = read_classes(directory, listed)
    if not classes:
        note_lists(directory, listed)
    files = files_in(place, MASKS, listed)
    masks = [file for file in files if is_mask(file)]
    pictures = by_key([file for file in files if not is_mask(file)], place, "picture", listed)
    images, targets = pair(pictures, by_key(masks, place, "mask", listed), place, listed)
    chosen = None
    if folder is None:
        note_split_lists(directory, listed)
        chosen, images, targets = drawn_pairs(images, targets, place, split, seed, listed)
    return listed.split(split, images, targets, classes, coding, layout=name, chosen=chosen)


def has_classes_csv(directory: Path) -> bool:
    folders = [directory, *(split_folder(directory, split) for split in SPLIT_FOLDERS)]
    return any(folder is not None and (folder / "_classes.csv").is_file() for folder in folders)


def roboflow_read(directory: Path, split: str, seed: int) -> Split:
    return side_read(directory, split, seed, ROBOFLOW.name)


LAYOUT = Layout("folders of pictures and masks", TREE, found, splits, read)
SIDE_BY_SIDE = Layout("pictures and masks side by side", SIDE_TREE, side_found, side_splits, side_read)
ROBOFLOW = Layout(
    "Roboflow's semantic segmentation", ROBOFLOW_TREE, has_classes_csv, SIDE_BY_SIDE.splits, roboflow_read
)
