"""Mask files -> class ids: grey values, palettes and colours of any lossless format, upright, decoded by Pillow."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from segformer_tf.data.depths import as_held
from segformer_tf.data.splits import UNLABELLED, Coding
from segformer_tf.images.colours import (
    UNKNOWN,
    all_grey,
    channels_of,
    colour_table,
    colours_in,
    packed,
    palette_is_coloured,
    palette_of,
    told,
)
from segformer_tf.images.opening import GREY_16, is_lossy, open_image

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
TRANSPARENT = -2  # where alpha is 0, which is not labelled whatever the other channels hold
DEEP = ("I", *GREY_16, "F")
LOSSY = {"WEBP": "lossy WebP", "TIFF": "TIFF with lossy compression", "MPO": "JPEG", "AVIF": "picture in AVIF"}
MOST_COLOURS = 256  # of a mask that are kept
GREY = ("1", "L", "P", *DEEP, "LA", "PA")


class InColours(ValueError):
    """A mask in colours, of which nobody says which is which: colour -> pixels, the most frequent."""

    def __init__(self, colours: Sequence[tuple[int, int, int]], counts: Sequence[int], message: str):
        self.colours = Counter(dict(zip(colours, counts, strict=False)))
        super().__init__(message)


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
        return palette_is_coloured(image, coding.colours)
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
    return table[packed(channels_of(image))]


def _as_they_are(image: Image.Image, file: Path, coding: Coding) -> np.ndarray:
    if image.mode in GREY:
        if image.mode in ("LA", "PA"):
            _check_alpha(image, file)
            image = image.getchannel(0)
        if coding.bits and image.mode == "P" and (white := _is_white(image)) is not None:
            return white
        return _whole(np.asarray(image), file)
    channels = channels_of(image)
    red = channels[..., 0]
    if not all_grey(channels):
        colours, counts = colours_in(channels)
        raise InColours(
            colours[:MOST_COLOURS],
            counts,
            f"{file} is in colours ({told(colours, counts)}), expected class ids in grey or with a palette: say which "
            'colour is which class in classes.json ("color") or labelmap.txt.',
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


def _is_white(image: Image.Image) -> np.ndarray | None:
    """0 and 1 by black and white, where a palette begins with white and no other colour than these is in use."""
    table, values = palette_of(image), np.asarray(image)
    if table[0] != WHITE or {table[index] for index in np.unique(values)} - {BLACK, WHITE}:
        return None
    return np.array([colour == WHITE for colour in table], np.uint8)[values]


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


def unknown_colours(file: Path, values: np.ndarray) -> str:
    """The colours of a mask where its values are `UNKNOWN`, and their pixels."""
    image = open_image(file, channels=1)
    if isinstance(image, np.ndarray) or image.mode in DEEP:
        return told(*np.unique(np.squeeze(image)[values == UNKNOWN], return_counts=True))
    return told(*colours_in(channels_of(image)[values == UNKNOWN][None]), most=12)


def label_of(values: Mapping[int, int], value: int) -> int:
    """The id of one value; `UNKNOWN` where it has none."""
    if value == TRANSPARENT:
        return UNLABELLED
    return values.get(value, UNKNOWN) if values else value
