"""TIFF files that are more than one picture of one or three 8-bit bands: pages, bands, and data of over 8 bits."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags: what a page is for, its bands' bits, compression, what its values mean, number of bands, those beyond the
# colours.
SUBFILE, BITS, COMPRESSION, PHOTOMETRIC, BANDS, EXTRA = 254, 258, 259, 262, 277, 338
BESIDE = 1 | 4  # of what a page is for: a smaller copy of another, or its mask
CMYK, LOSSY = 5, (6, 7, 34892, 34934, 50001, 50002)  # JPEG, JPEG in DNG, WebP, JPEG XL
ALPHA = (1, 2)
BIG, MOST = 43, 2**12  # the version of a BigTIFF; letters of a text that is read
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
    Raises ValueError where the file has several pages and none is chosen, bands that the model has no channels for, or
    with `deep` inks.
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
        if not (deep and bits > 8 and bands > 2):
            return image
        if tags.get(PHOTOMETRIC) == CMYK:
            raise ValueError(
                f"{name} holds inks (CMYK) of {bits} bits, which have no black and white; expected grey or RGB with a "
                "value_range: convert it, or leave value_range out."
            )
        return _bands(data, name, page, bands)[..., :3]
    whole = bands == channels == 4 and bits == 8 and ALPHA[0] not in extra and len(image.getbands()) == 4
    return image if whole else _bands(data, name, page, channels)


def _pages(image: Any) -> list[int]:
    """The numbers of `own_pages`, by Pillow."""
    kinds: list[int] = []
    for number in itertools.count():
        try:
            image.seek(number)
        except EOFError:
            break
        except SyntaxError:  # Pillow has no mode for its pixels; the tags are read by then
            pass
        kinds.append(image.tag_v2.get(SUBFILE, 0))
    return own_pages(kinds)


def own_pages(kinds: list[int]) -> list[int]:
    """The numbers (from 0) of pages that are pictures of their own, by their tags `SUBFILE`.

    No smaller copies, as thumbnails and pyramids are, and no masks; where there is nothing else, the first.
    """
    return [number for number, kind in enumerate(kinds) if not kind & BESIDE] or [0]


def pages_of(file: Any) -> list[Any]:
    """The `own_pages` of a `tifffile.TiffFile`."""
    pages = list(file.pages)
    return [pages[number] for number in own_pages([int(page.subfiletype) for page in pages])]


def directories(file: BinaryIO) -> Iterator[dict[int, Any]]:
    """The tags of each page of an open TIFF that are whole numbers or texts, read without its pixels: of any size.

    Pillow refuses huge pictures, and BigTIFF of the other order of bytes. A damaged file raises `struct.error`.
    """
    order = "<" if file.read(2) == b"II" else ">"

    def read(form: str) -> tuple[Any, ...]:
        return struct.unpack(order + form, file.read(struct.calcsize(order + form)))

    big = read("H") == (BIG,)
    count, entry, place = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    if big:
        read("HH")  # how many bytes a place has: 8
    (next_one,), seen = read(place), set()
    while next_one and next_one not in seen:
        seen.add(next_one)
        file.seek(next_one)
        entries = [read(entry) for _ in range(*read(count))]
        (next_one,) = read(place)
        tags = {}
        for tag, kind, length, value in entries:
            form = {2: f"{length}s", 3: "H", 4: "I"}.get(kind)
            if form is None or length > MOST or (kind != 2 and length != 1):
                continue
            if struct.calcsize(form) > len(value):
                file.seek(*struct.unpack(order + place, value))
                value = file.read(length)
            (found,) = struct.unpack_from(order + form, value)
            tags[tag] = found.partition(b"\0")[0].decode("latin-1") if kind == 2 else found
        yield tags


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
            pages = pages_of(file)
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
