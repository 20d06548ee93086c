"""Frames of a video file, a folder of pictures, a camera or a stream.

PyAV decodes; its wheels bring FFmpeg's libraries. A camera is read by OpenCV, as PyAV's wheels have none.
"""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images import SegformerImageProcessor
from segformer_tf.pipelines.folders import pictures_in
from segformer_tf.pipelines.video.decoding import (
    DRAWN_TEXT,
    Clock,
    beginning,
    check_colours,
    decoded,
    picture_track,
    rate_of,
    upright,
)
from segformer_tf.pipelines.video.painting import Frame

RATE = 25  # frames a second of what does not say it
RATES = 0.01, 1000  # that may be given; labels have times in thousandths of a second
INSTALL = "pip install 'segformer-tf[video]'"
LATE = (
    " An MP4 whose index is at its end cannot come through a pipe: give the file, or write it with -movflags faststart."
)
ADDRESS = " An address is read by FFmpeg: `ffmpeg -i ADDRESS -f matroska - | segformer-tf video -`."


@dataclass
class Frames:
    """Frames in order, each an array (H, W, C) and its time in seconds; `iterate` may be called once.

    `rate` is frames a second, `count` how many there are (None: not known), `sound` the file whose sound belongs to it,
    `left_out` what a folder holds besides, in a sentence. `read` gives the pixels of a folder's pictures: what the
    model's processor makes of a file. Frames of videos and cameras are RGB, uint8. `ratio` is a pixel's width by its
    height as it is to be shown (None: 1), and known with the first frame. `jumps` are those of `decoding.Clock`.
    """

    name: str
    rate: Fraction
    count: int | None
    iterate: Any = field(repr=False)
    sound: Path | None = None
    left_out: str = ""
    ratio: Fraction | None = None
    jumps: list[float] = field(default_factory=list)
    read: Any = field(default=None, repr=False)

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        """Raises ValueError where a frame has another size than the first."""
        size, read = None, self.read or SegformerImageProcessor().pixels
        for number, (frame, seconds) in enumerate(self.iterate()):
            pixels = read(frame) if isinstance(frame, Path) else frame
            size = size or pixels.shape[:2]
            if pixels.shape[:2] != size:
                height, width = pixels.shape[:2]
                raise ValueError(
                    f"Frame {number} of {self.name} is {height} x {width}; expected {size[0]} x {size[1]}, as the "
                    "first: cut it there, or scale its frames to one size."
                )
            yield pixels, seconds
        if size is None:
            raise ValueError(f"{self.name} has no frames; expected at least one.")


def open_frames(source: str | os.PathLike | int, rate: float | None = None) -> Frames:
    """A video file, a folder of pictures (in the order of their names), a camera's number, or "-" for stdin.

    `rate` is frames a second, of folders and cameras (25 by default).
    Raises FileNotFoundError, ValueError or OSError, naming the source, for what is none of these.
    """
    text, path = str(source), Path(str(source))
    if takes_rate(text):
        checked = _checked(rate)
        return _folder(path, checked) if path.is_dir() else _camera(int(text), checked)
    if rate is not None:
        raise ValueError(f"rate is {rate:g}, and {source} has its own; leave it out: it is for folders and cameras.")
    if text == "-":
        return _piped()
    if not path.exists():
        hint = ADDRESS if "://" in text else ""
        raise FileNotFoundError(
            f"{text} does not exist; expected a video, a folder of pictures or a camera's number.{hint}"
        )
    return _animation(path) or _container(path, str(path))


def takes_rate(source: str) -> bool:
    """Whether a source is a folder or a camera, whose frames have no times of their own."""
    path = Path(source)
    return source != "-" and (path.is_dir() or (source.isascii() and source.isdigit() and not path.exists()))


def _checked(rate: float | None) -> Fraction:
    if rate is not None and not RATES[0] <= rate <= RATES[1]:
        raise ValueError(f"rate is {rate:g}; expected {RATES[0]:g} to {RATES[1]:g} frames a second.")
    return Fraction(RATE if rate is None else rate).limit_denominator(1001)


def _folder(path: Path, rate: Fraction) -> Frames:
    def by_number(file: Path) -> list[Any]:  # frame 10 after frame 9
        return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", file.name)]

    pictures, left_out = pictures_in(path, recursive=None)
    times = ((file, float(number / rate)) for number, file in enumerate(sorted(pictures, key=by_number)))
    return Frames(str(path), rate, len(pictures), lambda: times, left_out=left_out)


def _camera(number: int, rate: Fraction) -> Frames:
    try:
        import cv2  # type: ignore[import-not-found]
    except ImportError:
        raise ImportError(
            f"Camera {number} needs OpenCV, which is not installed: pip install opencv-python-headless."
        ) from None
    cv2.setLogLevel(0)
    camera = cv2.VideoCapture(number)
    if not camera.isOpened():
        raise OSError(f"There is no camera {number}, or another program has it; 0 is the first.")

    def iterate() -> Iterator[tuple[np.ndarray, float]]:
        try:
            count = 0
            while (read := camera.read())[0]:
                yield np.ascontiguousarray(read[1][..., ::-1]), float(count / rate)
                count += 1
        finally:
            camera.release()

    return Frames(f"camera {number}", rate, None, iterate)


def _piped() -> Frames:
    file: Any = sys.stdin.buffer if sys.stdin else None  # None: it was closed
    start = file.peek(8) if hasattr(file, "peek") else b"?"
    if not (file and start):
        raise ValueError("- is the video on stdin, which has no bytes: give one, as in `video - < street.mp4`.")
    late = start[4:8] == b"ftyp" and not file.seekable()
    return _container(file, "stdin", LATE if late else "")


def _container(source: Any, name: str, hint: str = "") -> Frames:
    av = load_av()
    try:
        # FFmpeg takes what stands before a colon for a protocol, as in "12:30.mp4", but not in a whole path.
        container = av.open(str(source.absolute()) if isinstance(source, Path) else source)
    except av.error.FFmpegError as error:
        raise OSError(f"{name} is no video that FFmpeg reads, or is cut off ({error.strerror}).{hint}") from error
    try:
        if container.format.name in DRAWN_TEXT:
            raise OSError(f"{name} is text, and no video that FFmpeg reads.")
        stream = picture_track(container, name)
    except (OSError, ValueError):
        container.close()
        raise
    check_colours(stream, name)
    stream.thread_type = "AUTO"
    rate = rate_of(stream) or Fraction(RATE)
    clock = Clock(rate, beginning(container))
    path = source if isinstance(source, Path) else None

    def iterate() -> Iterator[tuple[np.ndarray, float]]:
        number = -1
        with container:
            try:
                for number, frame in enumerate(decoded(container, stream, name, path)):
                    pixels, moved, swapped = upright(frame)
                    if number == 0 and swapped and frames.ratio:
                        frames.ratio = 1 / frames.ratio
                    yield Frame.of(pixels, None if moved else frame), clock.at(frame.time)
            except av.error.FFmpegError as error:
                told = f"{name} is damaged or cut off and cannot be decoded ({error.strerror})."
                raise OSError(told + hint * (number < 0)) from error

    ratio = stream.sample_aspect_ratio or None
    frames = Frames(name, rate, stream.frames or None, iterate, path, ratio=ratio, jumps=clock.jumps)
    return frames


def _animation(path: Path) -> Frames | None:
    """An animated WebP, which FFmpeg's libraries do not decode and Pillow does; None for any other file."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[:4] + start[8:] != b"RIFFWEBP":
        return None
    try:
        with Image.open(path) as picture:
            count = getattr(picture, "n_frames", 1)
            picture.load()
            first = picture.info.get("duration", 0)
    except Exception:  # FFmpeg's error tells what it is
        return None
    rate = Fraction(1000, first) if first else Fraction(RATE)

    def iterate() -> Iterator[tuple[np.ndarray, float]]:
        passed = 0
        with Image.open(path) as picture:
            for number in range(count):
                try:
                    picture.seek(number)
                    pixels = np.asarray(picture.convert("RGB"))
                except (OSError, EOFError, ValueError) as error:
                    raise OSError(f"{path} is damaged or cut off and cannot be decoded ({error}).") from error
                yield pixels, passed / 1000
                passed += picture.info.get("duration") or round(1000 / rate)

    return Frames(str(path), rate, count, iterate) if count > 1 else None


def load_av() -> Any:
    """PyAV; ImportError with the line to run where it is not installed."""
    try:
        import av
    except ImportError:
        raise ImportError(f"Videos need PyAV, which is not installed: {INSTALL}.") from None
    return av
