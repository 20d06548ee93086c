"""ADE20K and Cityscapes as they are published."""

from pathlib import Path

from segformer_tf.data.classes import numbered, read_classes
from segformer_tf.data.files import MASKS, PICTURES, Found, by_key, files_in, pair, split_folder, splits_below
from segformer_tf.data.splits import UNLABELLED, Coding, Layout, Split
from segformer_tf.images.palettes import DATASETS

ADE20K_CODING = Coding(values={0: UNLABELLED, **{value: value - 1 for value in range(1, 151)}})
ENDINGS = "_leftImg8bit", "_gtFine_labelTrainIds"
ADE20K_TREE = """DIR/images/training/ADE_train_00000001.jpg
DIR/images/validation/ADE_val_00000001.jpg
DIR/annotations/training/ADE_train_00000001.png   (0 is unlabelled, the classes are 1 to 150)
DIR/annotations/validation/ADE_val_00000001.png"""
CITYSCAPES_TREE = """DIR/leftImg8bit/train/CITY/NAME_leftImg8bit.png
DIR/leftImg8bit/val/CITY/NAME_leftImg8bit.png
DIR/gtFine/train/CITY/NAME_gtFine_labelTrainIds.png   (made by cityscapesScripts)
DIR/gtFine/val/CITY/NAME_gtFine_labelTrainIds.png"""


def rows_of(dataset: str) -> list[dict]:
    """A published data set's names and colours."""
    names, colours = DATASETS[dataset]
    return [{**row, "color": colour.tolist()} for row, colour in zip(numbered(names), colours, strict=True)]


def is_ade20k(directory: Path) -> bool:
    """Told by its files' names: other people's data has folders called `training` too."""
    training = directory / "images" / "training"
    return training.is_dir() and any(file.name.startswith("ADE_") for file in training.iterdir())


def ade20k(directory: Path, split: str, seed: int) -> Split:
    del seed
    listed = Found()
    images, masks = (
        split_folder(directory / kind, split) or directory / kind / split for kind in ("images", "annotations")
    )
    _check_folders(split, images, masks)
    classes, _ = read_classes(directory, listed)
    pictures = by_key(files_in(images, PICTURES, listed), images, "picture", listed)
    files, targets = pair(pictures, by_key(files_in(masks, MASKS, listed), masks, "mask", listed), masks, listed)
    return listed.split(split, files, targets, classes or rows_of("ade20k"), ADE20K_CODING, layout=ADE20K.name)


def cityscapes(directory: Path, split: str, seed: int) -> Split:
    del seed
    listed = Found()
    parents = directory / "leftImg8bit", directory / "gtFine"
    folders = [split_folder(parent, split) or parent / split for parent in parents]
    _check_folders(split, *folders)
    pairs = []
    for folder, ending in zip(folders, ENDINGS, strict=True):
        files = [file for file in files_in(folder, (".png",), listed) if file.stem.endswith(ending)]
        pairs.append({file.relative_to(folder).as_posix().removesuffix(ending + ".png"): file for file in files})
    if pairs[0] and not pairs[1]:
        raise FileNotFoundError(
            f"{folders[1]} has no *{ENDINGS[1]}.png, expected one a picture: run cityscapesScripts."
        )
    files, targets = pair(*pairs, folders[1], listed, (f"{{}}{ENDINGS[1]}.png",))
    return listed.split(split, files, targets, rows_of("cityscapes"), layout=CITYSCAPES.name)


def _check_folders(split: str, *folders: Path) -> None:
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder} is not a directory, expected files of the split {split!r}: correct the path."
            )


def _ade20k_splits(directory: Path) -> list[str]:
    return splits_below(directory / "images", directory / "annotations")


def _cityscapes_splits(directory: Path) -> list[str]:
    return splits_below(directory / "leftImg8bit")


ADE20K = Layout("ADE20K", ADE20K_TREE, is_ade20k, _ade20k_splits, ade20k)
CITYSCAPES = Layout(
    "Cityscapes",
    CITYSCAPES_TREE,
    lambda directory: (directory / "leftImg8bit").is_dir(),
    _cityscapes_splits,
    cityscapes,
)
