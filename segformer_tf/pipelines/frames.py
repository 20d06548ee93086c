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

from segformer_tf.images import open_image
from segformer_tf.pipelines.painting import Frame

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
RATE = 25  # frames a second of what does not say it
INSTALL = "pip install 'segformer-tf[video]'"


@dataclass
class Frames:
    """Frames in order, each (H, W, 3) uint8 and its time in seconds; `iterate` may be called once.

    `rate` is frames a second, `count` how many there are (None: not known), `sound` the file whose sound belongs to it.
    """

    name: str
    rate: Fraction
    count: int | None
    iterate: Any = field(repr=False)
    sound: Path | None = None

    def __iter__(self) -> Iterator[tuple[np.ndarray, float]]:
        """Raises ValueError where a frame has another size than the first."""
        size = None
        for number, (pixels, seconds) in enumerate(self.iterate()):
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


def open_frames(source: str | os.PathLike, rate: float | None = None) -> Frames:
    """A video file, a folder of pictures (in the order of their names), a camera's number, or "-" for stdin.

    `rate` is frames a second, of folders and cameras (25 by default).
    Raises FileNotFoundError, ValueError or OSError, naming the source, for what is none of these.
    """
    text = str(source)
    wanted = Fraction(rate or RATE).limit_denominator(1001)
    if text == "-":
        return _container(sys.stdin.buffer, "stdin")
    path = Path(source)
    if path.is_dir():
        return _folder(path, wanted)
    if text.isdigit() and not path.exists():
        return _camera(int(text), wanted)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a video, a folder of pictures or a camera's number.")
    return _container(path, str(path))


def _folder(path: Path, rate: Fraction) -> Frames:
    def by_number(file: Path) -> list[Any]:  # frame 10 after frame 9
        return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", file.name)]

    files = sorted((file for file in path.iterdir() if file.suffix.lower() in PICTURES), key=by_number)
    if not files:
        raise FileNotFoundError(f"{path} holds no pictures; expected frames such as 0001.jpg.")

    def iterate() -> Iterator[tuple[np.ndarray, float]]:
        for number, file in enumerate(files):
            picture: Any = open_image(file)
            pixels = np.asarray(picture if isinstance(picture, np.ndarray) else picture.convert("RGB"))
            yield pixels, float(number / rate)

    return Frames(str(path), rate, len(files), iterate)


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


def _container(source: Any, name: str) -> Frames:
    av = load_av()
    try:
        container = av.open(source)
    except av.error.FFmpegError as error:
        raise OSError(f"{name} is no video that FFmpeg reads, or is cut off ({error.strerror}).") from error
    if not container.streams.video:
        container.close()
        raise ValueError(f"{name} has no pictures; expected a video.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate = stream.average_rate or Fraction(RATE)

    def iterate() -> Iterator[tuple[np.ndarray, float]]:
        with container:
            try:
                for number, frame in enumerate(container.decode(stream)):
                    pixels = frame.to_ndarray(format="rgb24")
                    turns = round(getattr(frame, "rotation", 0) / 90) % 4  # as telephones write upright videos
                    seconds = float(number / rate) if frame.time is None else frame.time
                    upright = np.ascontiguousarray(np.rot90(pixels, turns))
                    yield Frame.of(upright, None if turns else frame), seconds
            except av.error.FFmpegError as error:
                raise OSError(f"{name} is damaged or cut off and cannot be decoded ({error.strerror}).") from error

    return Frames(name, rate, stream.frames or None, iterate, source if isinstance(source, Path) else None)


def load_av() -> Any:
    """PyAV; ImportError with the line to run where it is not installed."""
    try:
        import av
    except ImportError:
        raise ImportError(f"Videos need PyAV, which is not installed: {INSTALL}.") from None
    return av
