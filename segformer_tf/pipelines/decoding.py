"""What a video's file says of its pictures: which track is meant, how they lie, and when each is shown."""

import struct
import warnings
from fractions import Fraction
from typing import Any

import numpy as np

BACK = 0.1  # seconds by which times jump back where another recording begins; FFmpeg's program takes less for disorder
STILL = 0x400 | 0x800 | 0x100000  # of a track's disposition: attached picture, thumbnails, still picture
# Of PyAV's rotation, in quarters of a turn: the corner of a display matrix.
TURNED = {0: (1, 0, 0, 1), 1: (0, -1, 1, 0), 2: (-1, 0, 0, -1), 3: (0, 1, -1, 0)}


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
