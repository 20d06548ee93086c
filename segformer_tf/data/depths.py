"""Masks of 2, 4 and of 16 bits a channel, of which Pillow gives other numbers than the file holds."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images import depths
from segformer_tf.images.orientation import upright
from segformer_tf.images.tiff import by_pillow

ENDS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # of bytes; N: as the machine has them


def as_held(image: Image.Image, file: Path, greys: bool) -> Image.Image:
    """A mask with the numbers of its file: greys by `images.depths`, low bytes of 16-bit colours.

    With `greys` they stay colours from 0, black, to 255.

    Raises ValueError for colours of 16 bits that eight do not tell.
    """
    raw = image.info.get(depths.RAW, "")
    if ";16" not in raw or image.mode.startswith("I"):
        return image if greys else depths.as_held(image)
    high, low = np.asarray(image), _low_bytes(raw, file)
    if low is not None and np.array_equal(high[..., :3], low):
        return image  # 257 times an 8-bit value
    if low is None or high[..., :3].any():
        raise ValueError(
            f"{file} has 16 bits in each of several channels, expected 8, or one channel of 16: save class ids as a "
            "grey PNG, or colours as an 8-bit one."
        )
    return Image.fromarray(np.concatenate([low, high[..., 3:]], -1))


def _low_bytes(raw: str, file: Path) -> np.ndarray | None:
    """(H, W, 3) uint8, upright, by telling Pillow that bytes lie the other way round; None for odd kinds."""
    kind, _, end = raw.partition(";16")
    if kind not in ("RGB", "RGBA", "LA") or end not in ENDS:
        return None
    turned = "RGBA" if kind == "LA" else f"{kind};16{ENDS[end]}"  # of LA, both bytes of both as four channels
    image: Any = by_pillow(file.read_bytes())
    image.tile = [_told(tile, turned) for tile in image.tile]
    image.load()
    pixels = np.asarray(upright(image))
    return pixels[..., [1, 1, 1]] if kind == "LA" else pixels[..., :3]


def _told(tile: Any, raw: str) -> Any:
    """Part of a picture as Pillow lists it, a tuple or (since Pillow 11) a named one, with another raw mode."""
    how = (raw, *tile[3][1:]) if isinstance(tile[3], tuple) else raw
    return tile._replace(args=how) if hasattr(tile, "_replace") else (*tile[:3], how)
