"""Masks in the colours of classes -> ids, and colours as a message names them."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images.depths import RAW
from segformer_tf.images.opening import LOSSY_FORMATS, is_lossy, name_of, open_image, to_class_ids

Colours = Mapping[tuple[int, int, int], int]
UNKNOWN = -1  # where a colour has no meaning
UNLABELLED = 255  # in a mask on disk


@functools.lru_cache(maxsize=2)
def colour_table(items: tuple) -> np.ndarray:
    """Packed colour -> id, for all 2**24 colours, in the smallest integers that hold the ids."""
    highest = max((number for _, number in items), default=0)
    table = np.full(1 << 24, UNKNOWN, np.int16 if highest <= np.iinfo(np.int16).max else np.int32)
    for (red, green, blue), number in items:
        table[red << 16 | green << 8 | blue] = number
    return table


def packed(channels: np.ndarray) -> np.ndarray:
    """(H, W, 3 or 4) uint8 -> (H, W) red << 16 | green << 8 | blue."""
    red, green, blue = (channels[..., i].astype(np.uint32) for i in range(3))
    return red << 16 | green << 8 | blue


def channels_of(image: Image.Image) -> np.ndarray:
    """(H, W, 3 or 4) uint8; palettes by RGBA, as Pillow warns where one with transparency goes to RGB directly."""
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if image.mode in ("P", "PA") else "RGB"))


def all_grey(channels: np.ndarray) -> bool:
    """Whether red, green and blue are alike everywhere."""
    red = channels[..., 0]
    return np.array_equal(red, channels[..., 1]) and np.array_equal(red, channels[..., 2])


def palette_of(image: Image.Image) -> list[tuple[int, ...]]:
    """256 colours; those after its end are black."""
    table = [tuple(colour) for colour in np.reshape(image.getpalette("RGB") or [], (-1, 3)).tolist()]
    return table + [(0, 0, 0)] * (256 - len(table))


def palette_is_coloured(image: Image.Image, colours: Mapping[Any, int]) -> bool:
    """Whether a palette's colours say the classes, and not its indices: some tools order palettes by chance.

    They do where all colours in use are classes', or most are and lie at other indices than the classes' ids; then one
    that no class has is an error. A palette of other colours is decoration.
    """
    table = palette_of(image)
    used = np.unique(np.asarray(image.getchannel(0) if image.mode == "PA" else image)).tolist()
    known = {index: colours[table[index]] for index in used if table[index] in colours}
    moved = {index for index, number in known.items() if index != number}
    if moved == {UNLABELLED} and table[known[UNLABELLED]] == table[UNLABELLED]:
        return False  # a palette in the order of ids; the colour after its end is by chance a class's
    return len(known) == len(used) or bool(moved and 2 * len(known) > len(used))


def colours_in(channels: np.ndarray) -> tuple[list[tuple[int, int, int]], list[int]]:
    """The colours of a picture and their pixels, most frequent first."""
    codes, counts = np.unique(packed(channels), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    colours = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in codes[order]]
    return colours, counts[order].tolist()


def told(keys, counts, most: int = 6) -> str:
    """`0 (1,234 pixels), 255 (56 pixels) and 7 others`."""
    text = ", ".join(
        f"{key} ({count:,} pixel{'s' * (count != 1)})" for key, count in list(zip(keys, counts, strict=True))[:most]
    )
    more = len(keys) - most
    return text + (f" and {more:,} others" if more > 0 else "")


def to_ids(source: Any, colours: Colours, ignore_index: int = UNLABELLED) -> np.ndarray:
    """As `to_class_ids`, (H, W), also of masks in the colours of classes: RGB, RGBA, and palettes in another order.

    Greys in three channels, of which one is no class's colour, are ids. Where alpha is 0 there is `ignore_index`.

    Raises ValueError for a colour that no class has, with what to do, and as `to_class_ids`.
    """
    source = source.read() if hasattr(source, "read") else source
    image = open_image(source)
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[-1] in (3, 4) and image.dtype == np.uint8:
        image = Image.fromarray(image)
    if not isinstance(image, Image.Image) or not _in_colours(image, colours):
        return to_class_ids(source)
    if image.format in LOSSY_FORMATS or (not isinstance(source, np.ndarray | Image.Image) and is_lossy(source)):
        return to_class_ids(source)  # says so
    pixels = channels_of(image)
    ids = colour_table(tuple(colours.items()))[packed(pixels)].astype(np.int64)
    clear = pixels[..., 3] == 0 if image.mode == "RGBA" else np.zeros(ids.shape, bool)
    unknown = (ids == UNKNOWN) & ~clear
    if unknown.any() and all_grey(pixels):
        ids = pixels[..., 0].astype(np.int64)
    elif unknown.any():
        raise ValueError(
            f"{name_of(source)} has {unknown.sum():,} pixels in colours that no class of the model has, "
            f"{told(*colours_in(pixels[unknown][None]))}; expected class ids or the model's own colours: name the "
            "colours in classes.json beside the masks (id 255 for what is not labelled), and take the masks that "
            "`segformer-tf convert-masks` writes."
        )
    ids[clear] = ignore_index
    return ids


def _in_colours(image: Image.Image, colours: Colours) -> bool:
    if image.mode in ("P", "PA"):
        return palette_is_coloured(image, colours)
    return image.mode in ("RGB", "RGBA") and ";16" not in image.info.get(RAW, "")
