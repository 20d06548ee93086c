"""TIFF files too large to be decoded whole, read window by window, and label maps written tile by tile, by rasterio.

Orthophotos are the commonest: what their pixels lie on (reference system and transform) goes on to the label file.
"""

from __future__ import annotations

import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.images.tiff import ORIENTATION, STARTS, STRAIGHT, SUBFILE, directories, own_pages, pages_of

LARGE = 2**24  # pixels from which on a file is read window by window: decoded whole it would take 50 MB and more
LARGEST = 2**31  # pixels, whose label map takes 8 GB
CACHE = 64  # MB of decoded tiles; GDAL would take a twentieth of the machine's memory
TILE = 512
KINDS = ("MINISBLACK", "RGB", "YCBCR")  # of what values mean, by their names in `tifffile`
INSTALL = "pip install 'segformer-tf[geo]'"


class Regions:
    """A picture on disk that stands for its array (H, W, C) uint8: `regions[rows, columns]` reads that part."""

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __init__(self, dataset: Any, channels: int):
        self._dataset, self._channels = dataset, channels
        self._path = os.path.abspath(dataset.name)
        self._lock = threading.Lock()  # GDAL's datasets are for one thread at a time
        self.shape = (dataset.height, dataset.width, channels)

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self._path, self._channels)  # what is open cannot be copied

    def __getitem__(self, place: tuple[slice, slice]) -> np.ndarray:
        import rasterio
        from rasterio.errors import RasterioIOError
        from rasterio.windows import Window

        (top, bottom, _), (left, right, _) = (s.indices(n) for s, n in zip(place, self.shape, strict=False))
        bands = [1] * self._channels if self._dataset.count == 1 else list(range(1, self._channels + 1))
        try:
            with self._lock, rasterio.Env(GDAL_CACHEMAX=CACHE):
                values = self._dataset.read(bands, window=Window(left, top, right - left, bottom - top))  # type: ignore
        except RasterioIOError as error:
            raise OSError(
                f"{self._dataset.name} is damaged or cut off: rows {top} to {bottom} cannot be decoded ({error})."
            ) from error
        return np.moveaxis(values, 0, -1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:, :].astype(dtype or self.dtype, copy=False)


def open_regions(source: Any, channels: int) -> Regions | None:
    """A large TIFF on disk of plain 8-bit grey or colours; None for all else, which is decoded whole.

    Whole are also decoded: files of several pages, turned ones, palettes, 1 to 4 bits, other bands than the model's,
    colours multiplied by their alpha, names that GDAL does not take, and all where rasterio is not installed. Raises
    ValueError for a file over `LARGEST`.
    """
    if not isinstance(source, str | os.PathLike) or not _is_tiff(Path(source)):
        return None
    try:
        import tifffile
        from rasterio.errors import RasterioIOError
    except ImportError:
        return None
    try:
        with tifffile.TiffFile(source) as file:
            pages = pages_of(file)
            turned = pages[0].tags.get(ORIENTATION)
            first = len(pages) == 1 and pages[0].index == 0  # which is what GDAL opens, be it a smaller copy
            upright = turned is None or turned.value == 1
            plain = first and upright and pages[0].photometric.name in KINDS and pages[0].bitspersample == 8
            straight = pages[0].extrasamples[-1:] == (STRAIGHT,)
        if not plain:
            return None
        dataset = _opened(source)
    except (tifffile.TiffFileError, RasterioIOError, UnicodeEncodeError):
        return None
    with_alpha = channels == 3 and dataset.count == 4 and straight  # a fourth band may be infrared as well
    known = dataset.count in (1, channels) or with_alpha
    pixels = dataset.height * dataset.width
    if not known or channels not in (1, 3) or set(dataset.dtypes) != {"uint8"} or pixels < LARGE:
        return None
    if pixels > LARGEST:
        raise ValueError(
            f"{source} has {dataset.height} x {dataset.width} pixels; expected at most {LARGEST:,} in all: cut it."
        )
    return Regions(dataset, channels)


def _reopened(source: str, channels: int) -> Regions:
    """The same file opened again, for a copy. Raises FileNotFoundError where it is gone."""
    if not os.path.exists(source):
        raise FileNotFoundError(f"{source} does not exist any more; a result of it reads its pixels from there.")
    return Regions(_opened(source), channels)


def _is_tiff(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in STARTS


@contextmanager
def _spelt(path: Path) -> Iterator[str]:
    """A name of a file for GDAL, which takes UTF-8 only: its own, or that of a link to it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as directory:
            link = Path(directory, "link.tif")
            link.symlink_to(path.absolute())
            yield str(link)
    else:
        yield str(path)


def _opened(source: Any) -> Any:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(source, driver="GTiff")


def write_labels(
    path: Path, labels: np.ndarray, palette: np.ndarray, made_by: str, source: Any = None, page: int | None = None
) -> None:
    """Class ids (H, W) -> a tiled, losslessly packed TIFF, with the georeference of the TIFF that they are of.

    8 bits with the classes' colours, 16 bits over 256 classes. `path` is a draft (see `storage.whole`), `page` of
    `source` the one that was labelled, from 1 (None: it has one). A page that its Orientation tag turns lies elsewhere
    than its labels: they get no georeference, with a warning. Raises ImportError where rasterio is not installed.
    """
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning
        from rasterio.windows import Window
    except ImportError:
        raise ImportError(f"A label map as TIFF needs rasterio, which is not installed: {INSTALL}.") from None
    many = len(palette) > 256
    path.touch()  # a link to it may be what is written to
    profile = {
        "driver": "GTiff", "height": labels.shape[0], "width": labels.shape[1], "count": 1,
        "dtype": "uint16" if many else "uint8", "tiled": True, "blockxsize": TILE, "blockysize": TILE,
        "compress": "deflate", "BIGTIFF": "IF_SAFER", **_georeference(source, page),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with _spelt(path) as name, rasterio.open(name, "w", **profile) as file:
            file.update_tags(TIFFTAG_SOFTWARE=made_by)
            if not many:
                file.write_colormap(1, {index: (*map(int, color), 255) for index, color in enumerate(palette)})
            for top in range(0, labels.shape[0], TILE):
                rows = labels[top : top + TILE].astype(profile["dtype"])
                file.write(rows, 1, window=Window(0, top, labels.shape[1], len(rows)))  # type: ignore[call-arg]


def _georeference(source: Any, page: int | None) -> dict[str, Any]:
    """Reference system with transform, control points or coefficients (RPC), of the page of a TIFF that has them."""
    if source is None or not _is_tiff(Path(source)):
        return {}
    with Path(source).open("rb") as file:
        tags = [(each.get(SUBFILE, 0), each.get(ORIENTATION, 1)) for each in directories(file)]
    number = own_pages([kind for kind, _ in tags])[(page or 1) - 1]
    with _spelt(Path(source)) as name, _opened(f"GTIFF_DIR:{number + 1}:{name}" if number else name) as file:
        points, system = file.gcps
        found = {"gcps": points, "crs": system} if points else {"crs": file.crs}
        if not points and not file.transform.is_identity:
            found["transform"] = file.transform
        if file.rpcs:
            found["rpcs"] = file.rpcs
    if tags[number][1] != 1 and len(found) > 1:
        warnings.warn(
            f"{source} is turned by its Orientation tag, so its labels get no georeference: turn its pixels and save "
            "it without the tag.",
            UserWarning,
            stacklevel=2,
        )
        return {}
    return found
