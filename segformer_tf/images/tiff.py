"""TIFF files that are more than one picture of one or three 8-bit bands: pages, bands, and data of over 8 bits."""

from __future__ import annotations

import itertools
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags: what a page is for, its bands' bits, compression, what its values mean, number of bands, those beyond the
# colours.
SUBFILE, BITS, COMPRESSION, PHOTOMETRIC, BANDS, EXTRA = 254, 258, 259, 262, 277, 338
BESIDE = 1 | 4  # of what a page is for: a smaller copy of another, or its mask
CMYK, LOSSY = 5, (6, 7, 34892, 34934, 50001, 50002)  # JPEG, JPEG in DNG, WebP, JPEG XL
ALPHA = (1, 2)
HIGHER = "make it smaller, or set PIL.Image.MAX_IMAGE_PIXELS higher where you trust it"


def check_pixels(height: int, width: int, name: str) -> None:
    """OSError for a picture of more pixels than Pillow's own limit, which warns only, up to twice that."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > limit:
        raise OSError(f"{name} has {height * width:,} pixels, expected at most {limit:,}; {HIGHER}.")


def open_tiff(data: bytes, name: str, page: int | None, channels: int, deep: bool) -> Image.Image | np.ndarray:
    """The picture on a page (from 1; None: the only one) -> an unloaded PIL image, or (H, W, bands) by `tifffile`.

    Grey, RGB, CMYK and what has an alpha band beside its colours are Pillow's for a model of 1 or 3 channels, and four
    8-bit bands for one of 4; `tifffile` reads the rest, and with `deep` colours of over 8 bits, which Pillow cuts.
    Raises ValueError where the file has several pages and none is chosen, or bands that the model has no channels for.
    """
    try:
        image: Any = Image.open(BytesIO(data))
    except UnidentifiedImageError:
        return _bands(data, name, page, channels)
    pages = _pages(image)
    try:
        image.seek(pages[_index(name, page, len(pages))])
    except SyntaxError:  # Pillow's, for pixels that it has no mode for
        return _bands(data, name, page, channels)
    tags = image.tag_v2
    bands, extra = tags.get(BANDS, 1), tags.get(EXTRA, ())
    alpha = bands in (2, 4) and bool(extra) and extra[-1] in ALPHA
    bits = max(tags.get(BITS, (8,)))
    if channels in (1, 3):
        if not (bands in (1, 3) or alpha or tags.get(PHOTOMETRIC) == CMYK):
            raise _other_bands(name, bands, channels)
        return _bands(data, name, page, bands)[..., :3] if deep and bits > 8 and bands > 2 else image
    whole = bands == channels == 4 and bits == 8 and ALPHA[0] not in extra and len(image.getbands()) == 4
    return image if whole else _bands(data, name, page, channels)


def _pages(image: Any) -> list[int]:
    """The pages that are pictures of their own: no smaller copies, as thumbnails and pyramids are, and no masks."""
    pages: list[int] = []
    for number in itertools.count():
        try:
            image.seek(number)
        except EOFError:
            return pages or [0]
        except SyntaxError:  # Pillow has no mode for its pixels; the tags are read by then
            pass
        if not image.tag_v2.get(SUBFILE, 0) & BESIDE:
            pages.append(number)
    return pages


def is_beside(page: Any) -> bool:
    """Whether a page of `tifffile` is a smaller copy of another, or its mask."""
    return page.is_reduced or page.is_mask


def _index(name: str, page: int | None, count: int) -> int:
    if page is None and count > 1:
        raise ValueError(
            f"{name} has {count} pages, expected one picture: give page=1 for the first (in the shell --page 1), "
            "or save the page that you mean."
        )
    if page is not None and not 1 <= page <= count:
        raise ValueError(f"page is {page}, expected a number from 1 to {count}, the pages of {name}.")
    return (page or 1) - 1


def _other_bands(name: str, bands: int, channels: int) -> ValueError:
    return ValueError(
        f"{name} has {bands} bands, expected {channels}: choose the bands that the model was trained on and save them "
        f"alone, or use a model with num_channels={bands}."
    )


def _bands(data: bytes, name: str, page: int | None, channels: int) -> np.ndarray:
    """(H, W, channels) in the file's own type."""
    try:
        import tifffile
    except ImportError:
        raise ImportError(
            f"{name} is a TIFF whose bands Pillow does not read: pip install 'segformer-tf[tiff]'."
        ) from None
    try:
        with tifffile.TiffFile(BytesIO(data)) as file:
            pages = [each for each in file.pages if not is_beside(each)]
            chosen: Any = pages[_index(name, page, len(pages))]
            check_pixels(int(chosen.imagelength), int(chosen.imagewidth), name)
            values, axes = chosen.asarray(), chosen.axes
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        raise ImportError(
            f"{name} is packed by {chosen.compression.name}, which needs imagecodecs: pip install imagecodecs."
        ) from None
    except (tifffile.TiffFileError, TypeError, KeyError, IndexError, ArithmeticError, MemoryError) as error:
        raise OSError(f"{name} is damaged or cut off and cannot be decoded ({error}).") from error
    values = np.moveaxis(values, axes.index("S"), -1) if "S" in axes else values[..., np.newaxis]
    if values.shape[-1] != channels:
        raise _other_bands(name, values.shape[-1], channels)
    return values
