"""What a video's file says of its pictures: which track is meant, how they lie, when each is shown, when they end."""

import os
import struct
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

BACK = 0.1  # seconds by which times jump back where another recording begins; FFmpeg's program takes less for disorder
STILL = 0x400 | 0x800 | 0x100000  # of a track's disposition: attached picture, thumbnails, still picture
# Of PyAV's rotation, in quarters of a turn: the corner of a display matrix.
TURNED = {0: (1, 0, 0, 1), 1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}


MISSING = 0.5  # seconds, or three frames, by which an AVI may end before its end
AGAIN = "it is cut off, copy it anew"
SEGMENT = b"\x18\x53\x80\x67"  # of Matroska, which holds all but a short header
ASF_FILE = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")  # the object of its header that says what the file is
ASF_DATA = bytes.fromhex("3626B2758E66CF11A6D900AA0062CE6C")
MOST = 2**26  # bytes of a header
TAIL = 2048  # bytes of MPEG-TS that hold ten packets, or cannot be known


def packets(container: Any, track: Any, name: str, path: Path | None) -> Iterator[Any]:
    """The track's packets; OSError at their end where the file says that there would be more.

    MP4 and MOV list all packets, whatever a decoder or an edit list leaves out of them; AVI says how long it is, and
    Matroska, WMV and FLV (at `path`; None: a stream) how many bytes they have. MPEG-TS, and FLV that was written as a
    stream, say nothing, but may end in the middle of a packet.
    """
    kind = container.format.name
    entries = getattr(track, "index_entries", ()) if "mp4" in kind else ()  # of PyAV before 14 there are none
    listed, read, end, ends_short = sum(entry.size > 0 for entry in entries), 0, 0.0, False
    for packet in container.demux(track):
        if listed and packet.is_corrupt:  # its end is missing
            continue
        if packet.size:
            ends_short = packet.is_corrupt and kind == "flv"  # in others that may mean something else
            read += 1
            end = max(end, float((packet.pts or packet.dts or 0) * packet.time_base))
        yield packet
    if read < listed:
        raise OSError(f"{name} ends after {read} of {listed} frames: {AGAIN}.")
    told = float(track.frames * track.time_base) if kind == "avi" else 0
    if end < told - max(MISSING, 3 * end / max(read - 1, 1)):  # frames that repeat the one before have no packets
        raise OSError(f"{name} ends after {end:.1f} of {told:.1f} seconds: {AGAIN}.")
    if path and (size := path.stat().st_size) < (told := _bytes(path, kind)):
        raise OSError(f"{name} has {size:,} of {told:,} bytes: {AGAIN}.")
    if ends_short or (path and kind == "mpegts" and _ends_in_a_packet(path)):
        raise OSError(f"{name} ends in the middle of a packet: {AGAIN}.")


def _bytes(path: Path, kind: str) -> int:
    """The bytes that a file says it has, in WMV up to its index; 0 where it does not, as it was written as a stream."""
    with path.open("rb") as file:
        if "matroska" in kind:
            return _of_matroska(file)
        if kind == "asf":
            return _of_asf(file)
        return _of_flv(file) if kind == "flv" else 0


def _of_matroska(file: BinaryIO) -> int:
    def number() -> int:  # its length is the first byte's, up to the highest bit that is set; all others: not known
        first = file.read(1)
        more = 8 - int.from_bytes(first, "big").bit_length()
        bits = 7 * (more + 1)
        value = int.from_bytes(first + file.read(more), "big") & (1 << bits) - 1
        return -1 if value == (1 << bits) - 1 else value

    file.read(4)
    file.seek(number(), os.SEEK_CUR)
    segment = file.read(4)
    size = number()
    return file.tell() + size if segment == SEGMENT and size >= 0 else 0


def _of_asf(file: BinaryIO) -> int:
    (length,) = struct.unpack("<16xQ", file.read(24).ljust(24, b"\0"))
    header = file.read(min(length, MOST) - 24 if length > 24 else 0)
    place = header.find(ASF_FILE)
    flags = header[place + 88 : place + 89]
    if place < 0 or not flags or flags[0] & 1:  # a broadcast, whose lengths mean nothing
        return 0
    file.seek(length)
    kind, data = struct.unpack("<16sQ", file.read(24).ljust(24, b"\0"))
    return length + data if kind == ASF_DATA else 0


def _of_flv(file: BinaryIO) -> int:
    """As the first tag, `onMetaData`, says it."""
    head = file.read(24)
    said = file.read(int.from_bytes(head[14:17], "big")) if head[13:14] == b"\x12" else b""
    _, found, number = said.partition(b"\0\x08filesize\0")
    size = struct.unpack(">d", number[:8])[0] if found and len(number) >= 8 else 0.0
    return int(size) if 0 < size < 2**63 else 0


def _ends_in_a_packet(path: Path) -> bool:
    """Whether the last packet of MPEG-TS is not whole; False where none is found, as something else follows them."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        tail = file.read()
    for step, length in ((188, 188), (192, 188), (204, 204)):  # m2ts has four bytes before each, 204 a checksum after
        for begin in range(step):
            if len(tail) >= 3 * step and not tail[begin::step].strip(b"\x47"):
                return (len(tail) - begin - length) % step != 0
    return False


class Clock:
    """The times of frames, which go on where those of the file jump back, as in recordings joined byte by byte.

    `jumps` are the seconds that the file's times are late by after each jump.
    """

    def __init__(self, rate: Fraction):
        self.jumps: list[float] = []
        self._step, self._last = float(1 / rate), None

    def at(self, seconds: float | None) -> float:
        """When a frame is shown; `seconds` as the file has it, None where it does not say."""
        if self._last is None:
            now = seconds or 0.0
        else:
            behind = self.jumps[-1] if self.jumps else 0.0
            now = self._last + self._step if seconds is None else seconds + behind
            if seconds is not None and now < self._last - BACK:
                now = self._last + self._step
                self.jumps.append(now - seconds)
        self._last = now
        return now


def upright(frame: Any) -> tuple[np.ndarray, bool, bool]:
    """RGB (H, W, 3) uint8 as FFmpeg shows it, turned and mirrored; whether it was either; whether sides were swapped.

    Telephones write upright videos lying, and say so; cameras that look at their user may be mirrored.
    """
    a, b, c, d = _matrix(frame)
    pixels, swapped = frame.to_ndarray(format="rgb24"), abs(b) + abs(c) > abs(a) + abs(d)
    if swapped:
        pixels = pixels.swapaxes(0, 1)
    across, down = (c, b) if swapped else (a, d)
    pixels = pixels[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
    return np.ascontiguousarray(pixels), swapped or across < 0 or down < 0, swapped


def _matrix(frame: Any) -> tuple[int, int, int, int]:
    """(a, b, c, d): a pixel at (x, y) is shown at (a x + c y, b x + d y), from where all of them are 0 or more."""
    try:
        said = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # of a newer FFmpeg's kind that PyAV has no name for, beside it
        said = None
    if said is None:
        return TURNED[round(getattr(frame, "rotation", 0) / 90) % 4]
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(said))
    return a, b, c, d


def picture_track(container: Any, name: str) -> Any:
    """The first track of moving pictures, not a cover; a UserWarning where there are several."""
    tracks = container.streams.video
    moving = [track for track in tracks if not int(getattr(track, "disposition", 0)) & STILL]
    if len(moving) > 1:
        warnings.warn(f"{name} has {len(moving)} picture tracks; the first is labelled, and no other.", stacklevel=4)
    return (moving or tracks)[0]
