"""Every file of a split read once, in threads: sizes, kinds, the values of the masks, and what cannot be read."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.data.masks import UNKNOWN, InColours, mask_values, unknown_colours
from segformer_tf.data.pictures import read_picture
from segformer_tf.data.shapes import Shapes
from segformer_tf.data.splits import Split
from segformer_tf.images.opening import GREY_16, open_image
from segformer_tf.images.orientation import orientation
from segformer_tf.images.tiff import by_pillow
from segformer_tf.storage.cores import cores

DEEP = (*GREY_16, "I")


@dataclass
class Look:
    """What one pair of picture and mask is like.

    Args:
        size: Height and width as the picture is read: as viewers show it, unless the split is not to be turned.
        values: Value in the mask -> pixels.
        colours: Colour -> pixels, of a mask in colours of which nobody says which is which.
        problem: Why the pair cannot be used, a sentence that names the file.
        broken: Whether that is because a file cannot be decoded.
    """

    size: tuple[int, int] = (0, 0)
    mode: str = ""
    turned: bool = False
    pages: int = 1
    highest: int | None = None
    digest: bytes = b""
    values: Counter = field(default_factory=Counter)
    colours: Counter = field(default_factory=Counter)
    problem: str = ""
    broken: bool = False


def look(split: Split) -> list[Look]:
    """One `Look` a pair, in their order; files are decoded in threads."""
    with ThreadPoolExecutor(cores()) as threads:
        return list(threads.map(lambda number: _look(split, number), range(len(split.images))))


def _look(split: Split, number: int) -> Look:
    found = Look()
    try:
        _look_at_picture(split.images[number], found, split.value_range, split.turn)
        if split.has_masks:
            _look_at_mask(split, number, found)
    except OSError as error:
        found.problem, found.broken = str(error), True
    except InColours as error:
        found.problem, found.colours = str(error), error.colours
    except ValueError as error:
        found.problem = str(error)
    return found


def _look_at_picture(file: Path, found: Look, value_range: tuple[float, float] | None, turn: bool) -> None:
    data = file.read_bytes()
    found.digest = hashlib.blake2b(data, digest_size=16).digest()
    try:
        image: Any = by_pillow(data)
        found.mode, found.pages = image.mode, getattr(image, "n_frames", 1)
        size = image.size
        turned = 1 if image.format == "PNG" else orientation(image)
        if image.format == "JPEG":
            image.draft("L", (size[0] // 8, size[1] // 8))  # every byte is decoded, but few pixels are made
        if image.format == "TIFF":
            image = open_image(file, exif=False)  # refuses pages and bands that training does not read
        else:
            image.load()
    except Exception:
        # Says what is wrong in a sentence, where it is no TIFF that Pillow alone does not open.
        found.size = read_picture(file, value_range, turn).shape[:2]
        return
    refused = found.mode == "F"  # perhaps
    if found.mode in DEEP:
        values = np.asarray(image)
        found.highest = int(values.max())
        refused = int(values.min()) < 0 or found.highest > 65535
    if refused:
        try:
            read_picture(file, value_range)
        except ValueError as error:
            raise OSError(str(error)) from None  # no picture for training: it may be left out as a damaged one
    if getattr(image, "format", None) == "PNG":
        turned = orientation(image)  # what says it may stand behind the pixels
    turned = turned if turn else 1
    found.turned = turned != 1
    found.size = (size[0], size[1]) if turned in (5, 6, 7, 8) else (size[1], size[0])


def _look_at_mask(split: Split, number: int, found: Look) -> None:
    target = split.targets[number]
    if isinstance(target, Shapes):
        values = target.ids(found.size)
    else:
        values = mask_values(target, split.coding)
        if values.shape != found.size:
            advice = "resize one of them"
            if found.turned and values.shape == found.size[::-1]:
                advice = (
                    "the mask lies as the pixels of the picture's file, which its EXIF tag turns; turn the masks in "
                    "the same way, or write the pictures anew without the tag"
                )
            raise ValueError(
                f"{target} is {values.shape[0]} x {values.shape[1]} pixels, expected {found.size[0]} x "
                f"{found.size[1]} as its picture {split.images[number].name}: {advice}."
            )
    found.values = count(values)
    if UNKNOWN in found.values:
        raise ValueError(
            f"{target} has {found.values[UNKNOWN]:,} pixels in colours that no class has, "
            f"{unknown_colours(target, values)}: correct the mask, or add the colours to the list of classes, with id "
            "255 for what is not labelled."
        )


def count(values: np.ndarray) -> Counter:
    """Value -> pixels of (H, W) integers."""
    if values.dtype == np.uint8:
        histogram: Any = Image.fromarray(values).histogram()
        return Counter({value: pixels for value, pixels in enumerate(histogram) if pixels})
    low = int(values.min(initial=0))
    counts = np.bincount((values.astype(np.int64) - low).ravel())
    return Counter({int(value) + low: int(counts[value]) for value in np.flatnonzero(counts)})
