"""Who wrote a file and of which picture, as it says itself; read from its head, so that no file is too large for it.

A file that cannot be read is nobody's: nothing here raises. NumPy, Pillow and PyAV are loaded by who needs them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segformer_tf import __version__
from segformer_tf.storage.read import read_json

NAME = "segformer-tf "
MAKER = f"{NAME}{__version__}"
OF = ", of "  # between the maker and what a file is of
DIGITS = 16  # of the SHA-256 of a path, which itself is nobody's business who gets the file
SOFTWARE = 305  # the tag of a TIFF
FIRST_LINE = 2**24  # characters that are read of a line
HEAD = 2**12  # bytes, where JSON and SVG of ours say it
PNG = b"\x89PNG\r\n\x1a\n"


def mark(source: str | os.PathLike | None) -> str:
    """What a file says of itself: who wrote it and, by digits of its absolute path, of which picture or video."""
    return MAKER if source is None else f"{MAKER}{OF}{_digits(source)}"


def ours(path: Path) -> bool:
    """Whether this program wrote a file, as the file says itself."""
    return made_by(path).startswith(NAME)


def done(path: Path) -> bool:
    """Whether this program wrote a file, and not of a video that was ended early."""
    return ours(path) and (path.suffix != ".jsonl" or _contents(path).get("complete") is not False)


def is_of_another(path: Path, source: str | os.PathLike) -> bool:
    """Whether a file of ours says that it is of another picture or video; those of earlier versions may not say it."""
    _, known, digits = made_by(path).partition(OF)
    return bool(known) and digits != _digits(source)


def source_of(path: Path) -> str | None:
    """What a `NAME.json` or `NAME_frames.jsonl` of ours is of; None where it does not say, or is not ours."""
    values = _contents(path)
    return values.get("path") if str(values.get("made_by")).startswith(NAME) else None


def model_of(path: Path) -> str | None:
    """The model that a record, as of `source_of`, names; None where it does not say, or is not ours."""
    values = _contents(path)
    return values.get("model") if str(values.get("made_by")).startswith(NAME) else None


def made_by(path: Path) -> str:
    """The mark of a file; "" where it has none, or is none."""
    try:
        found = READERS.get(path.suffix, _of_json)(path) if path.is_file() else None
    except Exception:  # every reader has its own errors for what is damaged or another program's
        return ""
    return str(found or "")


def _digits(source: str | os.PathLike) -> str:
    return hashlib.sha256(os.fsencode(Path(source).absolute())).hexdigest()[:DIGITS]


def _of_png(path: Path) -> str | None:
    """The text `Software` before the pixels."""
    with path.open("rb") as file:
        if file.read(len(PNG)) != PNG:
            return None
        while len(start := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", start)
            if kind == b"IDAT":
                return None
            if kind == b"tEXt" and length <= HEAD:
                key, _, text = file.read(length).partition(b"\0")
                if key == b"Software":
                    return text.decode("latin-1")
                length = 0
            file.seek(length + 4, os.SEEK_CUR)
    return None


def _of_tiff(path: Path) -> Any:
    from segformer_tf.images.tiff import directories

    with path.open("rb") as file:
        return next(directories(file)).get(SOFTWARE)


def _of_video(path: Path) -> str | None:
    import av

    with av.open(str(path)) as video:
        return {key.lower(): text for key, text in video.metadata.items()}.get("comment")


def _of_svg(path: Path) -> str:
    return _head(path).partition("<!-- ")[2].partition(" -->")[0]


def _of_arrays(path: Path) -> Any:
    import numpy as np

    with path.open("rb") as file, np.load(file) as arrays:  # NumPy leaves open what it opens and cannot read
        return arrays["made_by"]


def _of_json(path: Path) -> Any:
    """`made_by`, which stands first in files of ours; whoever put it elsewhere has a small file."""
    found = re.match(r'\s*\{\s*"made_by":\s*("[^"\\]*")', _head(path))
    return json.loads(found[1]) if found else _contents(path).get("made_by")


READERS: dict[str, Callable[[Path], Any]] = {
    ".png": _of_png, ".tif": _of_tiff, ".mp4": _of_video, ".mkv": _of_video, ".svg": _of_svg, ".npz": _of_arrays
}  # fmt: skip


def _head(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(HEAD).decode("utf-8", "replace")


def _contents(path: Path) -> dict[str, Any]:
    """What a file of JSON holds, or the first line of one of lines; nothing where it is none."""
    try:
        if path.suffix == ".jsonl":
            with path.open(encoding="utf-8") as file:
                values = json.loads(file.readline(FIRST_LINE))
                return values if isinstance(values, dict) else {}
        return read_json(path, "a result")
    except Exception:
        return {}
