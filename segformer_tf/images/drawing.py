"""Label maps as pictures: colours, an overlay with its legend, a palette PNG, and the table of classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images.classes import Names, as_ids, class_names, class_table, skipped
from segformer_tf.images.legend import PLACES, canvas, with_legend
from segformer_tf.images.opening import to_pixels
from segformer_tf.images.palettes import checked_palette
from segformer_tf.images.raster import Regions
from segformer_tf.storage.keywords import spell_checked

BAND_PIXELS = 2**15  # that are worked on together: what is made of them on the way stays in a core's cache
LEAST_ROWS = 64  # of a band: a TIFF's tiles are read anew for each


@spell_checked
def colorize(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Class ids (H, W) and colours (C, 3) -> RGB (H, W, 3) uint8. Ids without a colour, such as 255, are black."""
    palette = checked_palette(palette)
    return np.concatenate([palette, np.zeros((1, 3), np.uint8)])[_known(labels, len(palette))]


def _known(labels: np.ndarray, count: int) -> np.ndarray:
    """The ids, with `count` for every id outside [0, count)."""
    labels = as_ids(labels)
    if labels.dtype.kind == "i" and count > np.iinfo(labels.dtype).max:
        labels = labels.astype(np.int64)
    unsigned = labels.view(labels.dtype.str.replace("i", "u"))  # what is below 0 is then above every id
    return np.minimum(unsigned, min(count, np.iinfo(unsigned.dtype).max))


@spell_checked
def label_image(labels: np.ndarray, palette: np.ndarray) -> Image.Image:
    """Class ids (H, W) -> a palette picture whose indices are the ids; over 256 classes 16-bit grey values.

    Id 255 has no colour of its own (black) unless there are 256 classes. Raises ValueError for ids that do not fit.
    """
    labels, palette = as_ids(labels), checked_palette(palette)
    count = len(palette)
    limit = 255 if count <= 256 else 65535
    if labels.size and (labels.min() < 0 or labels.max() > limit):
        raise ValueError(f"labels reach from {labels.min()} to {labels.max()}; expected 0 to {limit}.")
    if count > 256:
        return Image.fromarray(labels.astype(np.uint16))
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(palette.tobytes().ljust(768, b"\0"))
    return image


@spell_checked
def overlay(
    image: Any,
    labels: np.ndarray,
    palette: np.ndarray,
    names: Names = None,
    alpha: float = 0.5,
    legend: bool | str = True,
    skip: Sequence[str] = (),
    outline: bool = False,
) -> Image.Image:
    """A picture with the classes (H, W) blended over it by `alpha` (0 to 1), and a legend.

    `image` is anything `open_image` takes, of the labels' size. Pixels without a class (255), and those of the classes
    named in `skip`, stay as they are (ValueError for a name that is no class). The legend lists the other classes
    found, largest first, with their share of the picture: True or "outside" beside or below it, "inside" where it hides
    least (outside if it would take over a quarter), False none. `outline` draws the rims of regions in their full
    colours.
    """
    names = _named(names, len(palette))
    skip = skipped(skip, names)
    return Image.fromarray(overlay_pixels(image, labels, palette, names, alpha, legend, skip, outline))


def overlay_pixels(
    image: Any,
    labels: np.ndarray,
    palette: np.ndarray,
    names: dict[int, str],
    alpha: float,
    legend: bool | str,
    skip: Sequence[str],
    outline: bool,
    found: list[dict[str, Any]] | None = None,
) -> np.ndarray:
    """`overlay` as RGB (H, W, 3) uint8. `skip` is spelt as `names`; `found`: the labels' `class_table`, if known."""
    if legend not in (True, False, *PLACES):
        raise ValueError(f'legend is {legend!r}; expected True, False, "outside" or "inside".')
    labels, palette = as_ids(labels), checked_palette(palette)
    bands = _bands(image, labels, palette, names, alpha, skip, outline)
    if not legend:
        found = []
    elif found is None:
        found = class_table(labels, names)
    rows = [row for row in found if row["id"] < len(palette) and row["name"] not in skip]
    height, width = labels.shape
    beside = bool(rows) and legend in (True, "outside")
    picture = canvas(width, height, rows, palette) if beside else np.empty((height, width, 3), np.uint8)
    for top, mixed in bands:
        picture[top : top + len(mixed), :width] = mixed
    return with_legend(picture, rows, palette) if rows and legend == "inside" else picture


def _named(names: Names, count: int) -> dict[int, str]:
    return class_names(names) or {index: f"class {index}" for index in range(count)}


def _bands(image, labels, palette, names, alpha, skip, outline) -> Iterator[tuple[int, np.ndarray]]:
    """The first row of each band of rows, and its pixels (h, W, 3) with the classes over them."""
    check_alpha(alpha)
    ready = isinstance(image, np.ndarray | Regions) and image.shape == (*labels.shape, 3) and image.dtype == np.uint8
    pixels = image if ready else to_pixels(image, 3, None, strict=True)
    if pixels.shape[:2] != labels.shape:
        raise ValueError(f"labels have size {labels.shape}; expected the image's, {pixels.shape[:2]}.")
    if pixels.dtype != np.uint8:
        raise ValueError(f"image has dtype {pixels.dtype}; expected 8-bit pixels.")
    clear = unpainted(palette, names, skip)
    colours = np.concatenate([palette, np.zeros((1, 3), np.uint8)])
    tables = blended(colours, float(alpha), clear)

    def made(top: int, ids: np.ndarray, rim: np.ndarray | None) -> np.ndarray:
        below = pixels[top : top + len(ids), :]
        mixed = np.empty(below.shape, np.uint8)
        places = table_rows(ids, len(clear))
        for channel, table in enumerate(tables):
            mixed[..., channel] = table.take(places | below[..., channel])
        if rim is not None:
            mixed[rim] = colours.take(ids[rim], axis=0)
        return mixed

    return ((top, made(top, ids, rim)) for top, ids, rim in bands_of_ids(labels, clear, outline))


def check_alpha(alpha: float) -> None:
    if not isinstance(alpha, Real) or not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha!r}; expected 0 to 1.")


def unpainted(palette: np.ndarray, names: Names, skip: Sequence[str]) -> np.ndarray:
    """(C + 1,) bool: the classes that stay as the picture is; the last stands for every id that is no class."""
    left = [index for index, name in _named(names, len(palette)).items() if name in skip]
    return np.isin(np.arange(len(palette) + 1), [*left, len(palette)])


def bands_of_ids(
    labels: np.ndarray, clear: np.ndarray, outline: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Of each band of rows: its first row; its ids (h, W), C for those that are no class; its rims (h, W) bool, None
    without `outline`. Classes that are `clear`, (C + 1,) bool as of `unpainted`, get no rims.
    """
    thickness = max(round((labels.size**0.5) / 400), 1)
    step = max(BAND_PIXELS // max(labels.shape[1], 1), LEAST_ROWS) // 2 * 2  # even: videos have half as many colours
    for top in range(0, labels.shape[0], step):
        ids, rim = _known(labels[top : top + step], len(clear) - 1), None
        if outline:
            above = min(thickness, top)
            rim = _rims(labels[top - above : top + step + thickness], thickness)[above:][: len(ids)]
            rim &= ~clear.take(ids)
        yield top, ids, rim


def table_rows(ids: np.ndarray, count: int) -> np.ndarray:
    """Where each id's values begin in a table that `blended` makes of `count` colours, unsigned."""
    return ids.astype(np.uint16 if count <= 256 else np.uint32) << 8


def blended(colours: np.ndarray, alpha: float, clear: np.ndarray) -> np.ndarray:
    """(3, C * 256) uint8: for each channel what a class makes of each value, at id * 256 + value.

    A lookup takes two thirds of the arithmetic's time. Classes that are `clear`, (C,) bool, leave the value as it is.
    """
    values = np.arange(256)
    shares = np.floor(values * (1 - alpha)).astype(np.uint8)  # rounded like this, the sum ends at most at 255
    tables = shares + np.rint(colours * alpha).astype(np.uint8).T[..., np.newaxis]
    tables[:, clear] = values
    return tables.reshape(3, -1)


def _rims(labels: np.ndarray, thickness: int) -> np.ndarray:
    """(H, W) bool: the pixels with another class at most `thickness` pixels away, down or across."""
    rims = np.zeros(labels.shape, bool)
    for step in range(1, thickness + 1):
        differs = labels[step:] != labels[:-step]
        rims[step:] |= differs
        rims[:-step] |= differs
        differs = labels[:, step:] != labels[:, :-step]
        rims[:, step:] |= differs
        rims[:, :-step] |= differs
    return rims
