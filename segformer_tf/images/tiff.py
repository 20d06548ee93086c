"""TIFF files that are more than one picture of one or three 8-bit bands: pages, bands, and data of over 8 bits."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from segformer_tf.images.orientation import turned

STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Tags: what a page is for, its bands' bits, compression, what its values mean, how it lies, number of bands, whether
# they lie plane by plane, those beyond the colours.
SUBFILE, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, BANDS, PLANAR, EXTRA = 254, 258, 259, 262, 274, 277, 284, 338
BESIDE = 1 | 4  # of what a page is for: a smaller copy of another, or its mask
UNPACKED, LOSSY = 1, (6, 7, 34892, 34934, 50001, 50002)  # JPEG, JPEG in DNG, WebP, JPEG XL
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, CMYK = 0, 1, 2, 5
PREMULTIPLIED, STRAIGHT = ALPHA = (1, 2)
SEPARATE = 2
WHITE = "white is zero"  # in Pillow's `info`: the stored value of black, where Pillow leaves a grey the negative it is
BIG, MOST = 43, 2**12  # the version of a BigTIFF; letters of a text that is read
HIGHER = "make it smaller, or set PIL.Image.MAX_IMAGE_PIXELS higher where you trust it"


def check_pixels(height: int, width: int, name: str) -> None:
    """OSError for a picture of more pixels than Pillow's own limit, which warns only, up to twice that."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > limit:
        raise OSError(f"{name} has {height * width:,} pixels, expected at most {limit:,}; {HIGHER}.")


def by_pillow(data: bytes) -> Image.Image:
    """`Image.open`; UnidentifiedImageError for a BigTIFF of big-endian order, whose tags Pillow warns of one by one."""
    if data.startswith(STARTS[-1]):
        raise UnidentifiedImageError
    return Image.open(BytesIO(data))


def open_tiff(
    data: bytes, name: str, page: int | None, channels: int, deep: bool, turn: bool
) -> Image.Image | np.ndarray:
    """The picture on a page (from 1; None: the only one) -> an unloaded PIL image, or (H, W, bands) by `tifffile`.

    Grey, RGB, CMYK and what has an alpha band beside its colours are Pillow's for a model of 1 or 3 channels, and four
    8-bit bands for one of 4; `tifffile` reads the rest, and with `deep` colours of over 8 bits, which Pillow cuts. What
    it reads is turned as the page's tag says where `turn` is true. A grey that has `WHITE` in its `info` is a negative.
    Raises ValueError where the file has several pages and none is chosen, bands that the model has no channels for, or
    with `deep` inks.
    """
    picture = channels in (1, 3)

    def by_tifffile() -> Image.Image | np.ndarray:
        values, tags = _bands(data, name, page, turn)
        if picture:
            return _drawn(values, tags, name, channels, deep)
        if values.shape[-1] != channels:
            raise _other_bands(name, values.shape[-1], channels)
        return values

    try:
        image: Any = by_pillow(data)
    except UnidentifiedImageError:
        return by_tifffile()
    pages = _pages(image)
    try:
        image.seek(pages[_index(name, page, len(pages))])
    except SyntaxError:  # Pillow's, for pixels that it has no mode for
        return by_tifffile()
    tags = image.tag_v2
    bands, extra, kind = tags.get(BANDS, 1), tags.get(EXTRA, ()), tags.get(PHOTOMETRIC)
    bits = max(tags.get(BITS, (8,)))
    if not picture:
        whole = bands == channels == 4 and bits == 8 and PREMULTIPLIED not in extra and len(image.getbands()) == 4
        return image if whole else by_tifffile()
    if not (bands in (1, 3) or _with_alpha(bands, extra) or kind == CMYK):
        raise _other_bands(name, bands, channels)
    # Of unpacked planes Pillow reads 8 bits each, straight and with black at 0.
    torn = tags.get(PLANAR) == SEPARATE and tags.get(COMPRESSION, UNPACKED) == UNPACKED
    if torn and (bits not in (1, 8) or bands == 2 or kind == WHITE_IS_ZERO or PREMULTIPLIED in extra):
        return by_tifffile()
    if deep and bits > 8 and bands > 2:
        return by_tifffile()
    if bits > 8 and kind == WHITE_IS_ZERO:
        image.info[WHITE] = 2**bits - 1
    return image


def _with_alpha(bands: int, extra: tuple[int, ...]) -> bool:
    return bands in (2, 4) and bool(extra) and extra[-1] in ALPHA


def _drawn(values: np.ndarray, tags: dict[int, Any], name: str, channels: int, deep: bool) -> Image.Image | np.ndarray:
    """(H, W, bands) of grey, RGB or CMYK -> the PIL image that it would be if Pillow read it.

    An array (H, W, bands) without alpha where Pillow has no mode for it: colours of over 8 bits.
    """
    bands, extra, kind, bits = values.shape[-1], tags[EXTRA], tags[PHOTOMETRIC], tags[BITS]
    if kind == CMYK and bands == 4 and bits in (8, 16):
        if deep and bits > 8:
            raise ValueError(
                f"{name} holds inks (CMYK) of {bits} bits, which have no black and white; expected grey or RGB with a "
                "value_range: convert it, or leave value_range out."
            )
        return Image.merge("CMYK", [Image.fromarray((band >> (bits - 8)).astype(np.uint8)) for band in _each(values)])
    alpha = _with_alpha(bands, extra)
    if not (bands in (1, 3) or alpha):
        raise _other_bands(name, bands, channels)
    if not (kind in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) or channels == bands == 1):
        raise ValueError(
            f"{name} holds {getattr(kind, 'name', kind)} of {bits} bits, expected grey or RGB: convert it."
        )
    if alpha and extra[-1] == PREMULTIPLIED and bits in (8, 16):
        values = _straight(values)
    if values.dtype == np.uint8 and bits == 8:
        if kind == WHITE_IS_ZERO:
            values = np.concatenate([255 - values[..., :1], values[..., 1:]], -1)
        return Image.merge(("L", "LA", "RGB", "RGBA")[bands - 1], [Image.fromarray(band) for band in _each(values)])
    values = values[..., :-1] if alpha else values
    if values.shape[-1] != 1:
        return values
    grey = np.ascontiguousarray(values[..., 0])
    if grey.dtype == bool:
        return Image.fromarray(~grey if kind == WHITE_IS_ZERO else grey)
    if bits < 8:
        grey = (grey.astype(np.uint16) * 255 // (2**bits - 1)).astype(np.uint8)
        return Image.fromarray(255 - grey if kind == WHITE_IS_ZERO else grey)
    if grey.dtype.kind == "f":
        return Image.fromarray(grey.astype(np.float32))
    if grey.dtype.kind == "u" and grey.dtype.itemsize == 2:
        image = Image.fromarray(grey.astype(np.uint16))
        if kind == WHITE_IS_ZERO:
            image.info[WHITE] = 2**bits - 1
        return image
    whole = np.iinfo(np.int32)
    fits = grey.dtype.kind in "iu" and whole.min <= grey.min() and grey.max() <= whole.max
    return Image.fromarray(grey.astype(np.int32)) if fits else values


def _each(values: np.ndarray) -> list[np.ndarray]:
    return [np.ascontiguousarray(values[..., band]) for band in range(values.shape[-1])]


def _straight(values: np.ndarray) -> np.ndarray:
    """Colours of 8 or 16 bits that were multiplied by the alpha of the last band -> as they were before."""
    top, alpha = np.iinfo(values.dtype).max, values[..., -1:].astype(np.uint32)
    colours = np.minimum(values[..., :-1].astype(np.uint32) * top // np.maximum(alpha, 1), top)
    return np.concatenate([colours.astype(values.dtype), values[..., -1:]], -1)


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


def _bands(data: bytes, name: str, page: int | None, turn: bool) -> tuple[np.ndarray, dict[int, Any]]:
    """(H, W, bands) in the file's own type, and of its tags those that say what the values mean."""
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
            tags = {EXTRA: chosen.extrasamples, PHOTOMETRIC: chosen.photometric, BITS: chosen.bitspersample}
            lies = chosen.tags.valueof(ORIENTATION, 1)
    except (ValueError, NotImplementedError) as error:
        if "imagecodecs" not in str(error):
            raise
        raise ImportError(
            f"{name} has values of {chosen.bitspersample} bits, packed by {chosen.compression.name}, which needs "
            "imagecodecs: pip install imagecodecs."
        ) from None
    except (tifffile.TiffFileError, TypeError, KeyError, IndexError, ArithmeticError, MemoryError) as error:
        raise OSError(f"{name} is damaged or cut off and cannot be decoded ({error}).") from error
    values = np.moveaxis(values, axes.index("S"), -1) if "S" in axes else values[..., np.newaxis]
    return turned(values, lies) if turn else values, tags
