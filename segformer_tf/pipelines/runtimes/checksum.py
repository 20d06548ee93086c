"""A checksum that stands inside the file that it is of, so that damage on a disk or on the way is told."""

import mmap
import os
import zlib
from pathlib import Path
from typing import Any

MARK = b"segformer-tf-crc32="  # eight digits follow, which count as zeros
DIGITS = b"0" * 8
PLACEHOLDER = (MARK + DIGITS).decode()  # what a file says before `stamp`, wherever its format has a place for it
TAIL = 2**26  # bytes at a file's end in which it stands


def stamp(path: str | os.PathLike) -> None:
    """Writes the checksum over the placeholder in a file."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        place = _place(data)
        data[place : place + len(DIGITS)] = _digits(data, place)


def check(path: str | os.PathLike) -> None:
    """ValueError where a file is not what was stamped; older files and other programs' have no checksum.

    A gigabyte takes about a second, and 14 MB, b0 in float32, some milliseconds.
    """
    if not Path(path).is_file() or not os.path.getsize(path):
        return  # whoever reads it says so
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        place = _place(data)
        if place < len(MARK):
            return
        said, found = data[place : place + len(DIGITS)], _digits(data, place)
    if said != found:
        raise ValueError(
            f"{path} is not what was written: its checksum is {found.decode()}, and it says "
            f"{said.decode('ascii', 'replace')}; it is damaged, or another program changed it: copy it again, or "
            "write it again with segformer-tf export."
        )


def _place(data: Any) -> int:
    """Where the digits stand; below the mark's length where there are none."""
    return data.rfind(MARK, max(len(data) - TAIL, 0)) + len(MARK)


def _digits(data: Any, place: int) -> bytes:
    with memoryview(data) as view, view[:place] as before, view[place + len(DIGITS) :] as after:
        return b"%08x" % zlib.crc32(after, zlib.crc32(DIGITS, zlib.crc32(before)))
