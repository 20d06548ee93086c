"""What a video's file says of its pictures: which track is meant, how they lie, when each is shown, when they end."""

import os
import re
import struct
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

BARE = Fraction(1, 1_200_000)  # FFmpeg's unit of time for H.264 and others without a container
BACK = 0.1  # seconds by which times jump back where another recording begins; FFmpeg's program takes less for disorder
HDR = {16: "PQ", 18: "HLG"}  # FFmpeg's numbers of how values mean light
DRAWN_TEXT = "tty", "bin", "xbin", "adf", "idf"  # formats in which FFmpeg draws text as pictures
COVER, STILL = 0x400, 0x400 | 0x800 | 0x100000  # of a track's disposition: attached picture; and thumbnails, stills
ANYWHERE = "mpegts", "mpeg"  # formats whose times begin where the sender's clock was, as of a broadcast
ENDS_SHORT = "flv", "apng", "ivf"  # formats where a damaged last packet means that its end is missing
# Of PyAV's rotation, in quarters of a turn: the corner of a display matrix.
TURNED = {0: (1, 0, 0, 1), 1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}
MISSING = 0.5  # seconds, or three frames, by which a file may end before its end
AGAIN = "it is cut off, copy it anew"
SEGMENT = b"\x18\x53\x80\x67"  # of Matroska, which holds all but a short header
ASF_FILE = bytes.fromhex("A1DCAB8C47A9CF118EE400C00C205365")  # the object of its header that says what the file is
ASF_DATA = bytes.fromhex("3626B2758E66CF11A6D900AA0062CE6C")
MOST_RATE = 1000
MOST = 2**26  # bytes of a header
TAIL = 2048  # bytes of MPEG-TS that hold ten packets, or cannot be known


def decoded(container: Any, track: Any, name: str, path: Path | None) -> Iterator[Any]:
    """The track's frames; at their end what `packets` raises, or a UserWarning where the decoder mended some."""
    frames, broken = (frame for packet in packets(container, track, name, path) for frame in packet.decode()), []
    for number, frame in enumerate(frames):
        if frame.is_corrupt:
            broken.append(number)
        yield frame
    if broken:
        warnings.warn(
            f"{name} is damaged: the decoder mended {len(broken)} frames, from frame {broken[0]} on, and others may be "
            "missing; their labels may be wrong. Copy the file anew, if it is whole elsewhere.",
            stacklevel=2,
        )


def packets(container: Any, track: Any, name: str, path: Path | None) -> Iterator[Any]:
    """The track's packets; OSError at their end where the file says that there would be more.

    MP4 and MOV list all packets, whatever a decoder or an edit list leaves out of them; AVI and Matroska say how long
    the track is, and Matroska, WMV and FLV (at `path`; None: a stream) how many bytes they have. MPEG-TS, APNG, IVF,
    and FLV that was written as a stream, say nothing, but may end in the middle of a packet.
    """
    kind = container.format.name
    entries = getattr(track, "index_entries", ()) if "mp4" in kind else ()  # of PyAV before 14 there are none
    listed, read, end, ends_short = sum(entry.size > 0 for entry in entries), 0, 0.0, False
    for packet in container.demux(track):
        if listed and packet.is_corrupt:  # its end is missing
            continue
        if packet.size:
            ends_short = packet.is_corrupt and kind in ENDS_SHORT
            read += 1
            end = max(end, float(((packet.pts or packet.dts or 0) + (packet.duration or 0)) * packet.time_base))
        yield packet
    if read < listed:
        raise OSError(f"{name} ends after {read} of {listed} frames: {AGAIN}.")
    if path and (size := path.stat().st_size) < (whole := _bytes(path, kind)):
        raise OSError(f"{name} has {size:,} of {whole:,} bytes: {AGAIN}.")
    told = float(track.frames * track.time_base) if kind == "avi" else _length(track, kind)
    if end < told - max(MISSING, 3 * end / max(read - 1, 1)):  # frames that repeat the one before have no packets
        raise OSError(f"{name} ends after {end:.1f} of {told:.1f} seconds: {AGAIN}.")
    if ends_short or (path and kind == "mpegts" and _ends_in_a_packet(path)):
        raise OSError(f"{name} ends in the middle of a packet: {AGAIN}.")


def _length(track: Any, kind: str) -> float:
    """The seconds at which a track of Matroska says that it ends; 0 where it does not."""
    said = re.fullmatch(r"(\d+):(\d+):([\d.]+)", track.metadata.get("DURATION", "")) if "matroska" in kind else None
    return sum(float(part) * unit for part, unit in zip(said.groups(), (3600, 60, 1), strict=True)) if said else 0.0


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

    They count from `begin`, as the file has it (see `beginning`). `jumps` are the seconds that they are late by after
    each jump.
    """

    def __init__(self, rate: Fraction, begin: float = 0.0):
        self.jumps: list[float] = []
        self._step, self._begin, self._last = float(1 / rate), begin, None

    def at(self, seconds: float | None) -> float:
        """When a frame is shown; `seconds` as the file has it, None where it does not say."""
        seconds = None if seconds is None else seconds - self._begin
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


def beginning(container: Any) -> float:
    """The file's time, in seconds, that is 0 here: 0, but where its times begin anywhere or before 0."""
    start = (container.start_time or 0) / 1e6
    return start if start < 0 or container.format.name in ANYWHERE else 0.0


def rate_of(track: Any) -> Fraction | None:
    """Frames a second; None where nothing is known.

    FFmpeg makes up the mean of a bare stream, and one above the rate that fits all times, as of DV.
    """
    mean, fits = track.average_rate, track.guessed_rate
    if fits and fits > MOST_RATE:  # a unit of time
        fits = None
    return fits or mean if not mean or track.time_base == BARE else min(mean, fits or mean)


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
    """The first track of moving pictures; a UserWarning where there are several, ValueError where there is none.

    A cover is no video, nor the still that an animated AVIF has beside its frames.
    """
    tracks = container.streams.video
    if all(_disposition(track) & COVER for track in tracks):
        raise ValueError(f"{name} has no pictures{' but a cover' if tracks else ''}; expected a video.")
    moving = [t for t in tracks if not _disposition(t) & STILL and (t.frames != 1 or t.duration is not None)]
    if len(moving) > 1:
        warnings.warn(f"{name} has {len(moving)} picture tracks; the first is labelled, and no other.", stacklevel=4)
    return (moving or tracks)[0]


def check_colours(track: Any, name: str) -> None:
    """A UserWarning where values mean more light than a model's pictures have; they are taken as they are."""
    kind = HDR.get(getattr(track.codec_context, "color_trc", None))
    if kind:
        warnings.warn(
            f"{name} is HDR ({kind}): its colours are taken as they are, paler than they are shown, and labels may be "
            "worse. Convert it first, as with FFmpeg's filter tonemap.",
            stacklevel=4,
        )


def _disposition(track: Any) -> int:
    return int(getattr(track, "disposition", 0))
