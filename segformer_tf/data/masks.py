"""Mask files -> class ids: grey values, palettes and colours of any lossless format, upright, decoded by Pillow."""

import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from segformer_tf.data.depths import as_held
from segformer_tf.data.splits import UNLABELLED, Coding
from segformer_tf.images.opening import GREY_16, is_lossy, open_image

UNKNOWN = -1  # where a colour or value has no meaning
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
TRANSPARENT = -2  # where alpha is 0, which is not labelled whatever the other channels hold
DEEP = ("I", *GREY_16, "F")
LOSSY = {"WEBP": "lossy WebP", "TIFF": "TIFF with lossy compression", "MPO": "JPEG", "AVIF": "picture in AVIF"}
GREY = ("1", "L", "P", *DEEP, "LA", "PA")


def read_mask(file: Path, coding: Coding) -> np.ndarray:
    """(H, W) int32 ids, `UNLABELLED` where a pixel is not labelled.

    Raises:
        OSError: The file cannot be decoded.
        ValueError: A lossy file, or a value or colour without a meaning.
    """
    ids = coded(mask_values(file, coding), coding)
    if (ids == UNKNOWN).any():
        raise ValueError(f"{file} has a value or colour that no class has: `segformer-tf inspect` names them.")
    return ids


def mask_values(file: Path, coding: Coding) -> np.ndarray:
    """(H, W) integers as the file has them: grey values, palette indices, or ids by colours (`UNKNOWN` for others).

    Pixels with alpha 0 are `TRANSPARENT`. The mask lies as viewers show it, by its own EXIF tag. Raises ValueError for
    a lossy file: what it is shows in its content, whatever its name says.
    """
    if is_lossy(file):
        with Image.open(file) as image:
            kind = LOSSY.get(str(image.format), image.format)
        raise ValueError(
            f"{file} is a {kind}, whose compression changes class ids at every edge; expected a lossless mask: export "
            "the masks again as PNG (a JPEG saved as PNG keeps the damage)."
        )
    opened = open_image(file, channels=1)
    if isinstance(opened, np.ndarray):  # (H, W, 1), of a TIFF whose numbers Pillow does not read
        return _whole(opened[..., 0], file)
    image = as_held(opened, file, coding.greys)
    values = _by_colours(image, coding) if _in_colours(image, coding) else _as_they_are(image, file, coding)
    if image.mode not in ("RGBA", "LA", "PA"):
        return values
    clear = np.asarray(image.getchannel("A")) == 0
    return np.where(clear, TRANSPARENT, values.astype(np.int32)) if clear.any() else values


def _in_colours(image: Image.Image, coding: Coding) -> bool:
    """Whether the mask shows its classes by colours; of 8- and 16-bit grey ones `greys.settled` has found out."""
    if not coding.colours:
        return False
    if image.mode in ("P", "PA"):
        return _palette_is_coloured(image, coding)
    if image.mode == "1":
        return bits_are_colours(coding)
    return image.mode not in GREY or coding.greys


def bits_are_colours(coding: Coding) -> bool:
    """A 1-bit mask is black and white where classes have both colours, else 0 and 1."""
    return {(0, 0, 0), (255, 255, 255)} <= set(coding.colours)


def _by_colours(image: Image.Image, coding: Coding) -> np.ndarray:
    table = colour_table(tuple(coding.colours.items()))
    if image.mode in DEEP:
        values = np.asarray(image).astype(np.int64)
        return np.where((values >= 0) & (values < 256), table[np.clip(values, 0, 255) * 0x10101], UNKNOWN)
    return table[packed(_channels(image))]


def _channels(image: Image.Image) -> np.ndarray:
    """(H, W, 3 or 4) uint8; palettes by RGBA, as Pillow warns where one with transparency goes to RGB directly."""
    if image.mode in ("RGB", "RGBA"):
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if image.mode in ("P", "PA") else "RGB"))


def _as_they_are(image: Image.Image, file: Path, coding: Coding) -> np.ndarray:
    if image.mode in GREY:
        if image.mode in ("LA", "PA"):
            _check_alpha(image, file)
            image = image.getchannel(0)
        if coding.bits and image.mode == "P" and (white := _is_white(image)) is not None:
            return white
        return _whole(np.asarray(image), file)
    channels = _channels(image)
    red = channels[..., 0]
    if not (np.array_equal(red, channels[..., 1]) and np.array_equal(red, channels[..., 2])):
        colours, counts = colours_in(channels)
        raise ValueError(
            f"{file} is in colours ({told(colours, counts)}), expected class ids in grey or with a palette: say which "
            'colour is which class in classes.json ("color") or labelmap.txt.'
        )
    if image.mode == "RGBA":
        _check_alpha(image, file)
    return red


def _whole(values: np.ndarray, file: Path) -> np.ndarray:
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and (values == np.trunc(values)).all()):
        raise ValueError(f"{file} has values that are not whole numbers, expected class ids: save it as 8-bit PNG.")
    if values.dtype.itemsize > 1:
        low, high = int(values.min(initial=0)), int(values.max(initial=0))
        if low < 0 or high > 65535:
            raise ValueError(f"{file} has values from {low} to {high}, expected class ids 0 to 65535: correct it.")
        return values.astype(np.uint16)
    return values


def _check_alpha(image: Image.Image, file: Path) -> None:
    """A mask that lies in the alpha channel is no grey mask."""
    grey, alpha = image.getchannel(0).getextrema(), image.getchannel("A").getextrema()
    if grey[0] == grey[1] and alpha[0] != alpha[1]:
        raise ValueError(
            f"{file} has one grey value and several of alpha, expected class ids in the grey channel: save the alpha "
            "channel as a grey PNG."
        )


def _palette(image: Image.Image) -> list[tuple[int, ...]]:
    """256 colours; those after its end are black."""
    table = [tuple(colour) for colour in np.reshape(image.getpalette("RGB") or [], (-1, 3)).tolist()]
    return table + [(0, 0, 0)] * (256 - len(table))


def _is_white(image: Image.Image) -> np.ndarray | None:
    """0 and 1 by black and white, where a palette begins with white and no other colour than these is in use."""
    table, values = _palette(image), np.asarray(image)
    if table[0] != WHITE or {table[index] for index in np.unique(values)} - {BLACK, WHITE}:
        return None
    return np.array([colour == WHITE for colour in table], np.uint8)[values]


def _palette_is_coloured(image: Image.Image, coding: Coding) -> bool:
    """Whether a palette's colours say the classes, and not its indices: some tools order palettes by chance.

    They do where all colours in use are classes', or most are and lie at other indices than the classes' ids; then one
    that no class has is an error. A palette of other colours is decoration.
    """
    table = _palette(image)
    used = np.unique(np.asarray(image.getchannel(0) if image.mode == "PA" else image)).tolist()
    known = {index: coding.colours[table[index]] for index in used if table[index] in coding.colours}
    moved = {index for index, number in known.items() if index != number}
    if moved == {UNLABELLED} and table[known[UNLABELLED]] == table[UNLABELLED]:
        return False  # a palette in the order of ids; the colour after its end is by chance a class's
    return len(known) == len(used) or bool(moved and 2 * len(known) > len(used))


def coded(values: np.ndarray, coding: Coding) -> np.ndarray:
    """Values as the file has them -> int32 ids; `UNKNOWN` where a value has no meaning."""
    ids = values.astype(np.int32)
    if coding.values:
        table = value_table(tuple(coding.values.items()))
        ids = table[np.minimum(ids, len(table) - 1)]
    if values.dtype.kind == "i":
        ids[values == TRANSPARENT] = UNLABELLED
    return ids


@functools.lru_cache(maxsize=8)
def value_table(items: tuple) -> np.ndarray:
    """Value -> id, (N,) int32, the last for all values beyond."""
    values = dict(items)
    table = np.full(max(values) + 2, UNKNOWN, np.int32)
    table[list(values)] = list(values.values())
    return table


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


def colours_in(channels: np.ndarray) -> tuple[list[tuple[int, int, int]], list[int]]:
    """The colours of a picture and their pixels, most frequent first."""
    codes, counts = np.unique(packed(channels), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    colours = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in codes[order]]
    return colours, counts[order].tolist()


def unknown_colours(file: Path, values: np.ndarray) -> str:
    """The colours of a mask where its values are `UNKNOWN`, and their pixels."""
    image = open_image(file, channels=1)
    if isinstance(image, np.ndarray) or image.mode in DEEP:
        return told(*np.unique(np.squeeze(image)[values == UNKNOWN], return_counts=True))
    return told(*colours_in(_channels(image)[values == UNKNOWN][None]), most=12)


def told(keys, counts, most: int = 6) -> str:
    """`0 (1,234 pixels), 255 (56 pixels) and 7 others`."""
    text = ", ".join(
        f"{key} ({count:,} pixel{'s' * (count != 1)})" for key, count in list(zip(keys, counts, strict=True))[:most]
    )
    more = len(keys) - most
    return text + (f" and {more:,} others" if more > 0 else "")


def label_of(values: Mapping[int, int], value: int) -> int:
    """The id of one value; `UNKNOWN` where it has none."""
    if value == TRANSPARENT:
        return UNLABELLED
    return values.get(value, UNKNOWN) if values else value
