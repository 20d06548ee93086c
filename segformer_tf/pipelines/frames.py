"""Frames of a video file, a folder of pictures, a camera or a stream; and the files that a labelled video becomes.

PyAV decodes and encodes; its wheels bring FFmpeg's libraries. A camera is read by OpenCV, as PyAV's wheels have none.
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
from segformer_tf.pipelines.files import MAKER
from segformer_tf.pipelines.painting import FORM, Frame

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


class Writer:
    """One video file that grows frame by frame: `kind` "overlay" (H.264, with sound) or "labels" (FFV1, lossless).

    `path` is a draft (see `storage.whole`). `close` makes what has been written a whole file.
    """

    def __init__(self, path: Path, kind: str, rate: Fraction, sound: Path | None = None, wide: bool = False):
        av = load_av()
        self._frame, self._grey = av.VideoFrame, "gray16le" if wide else "gray"
        self._kind, self._rate = kind, rate
        self._file = av.open(str(path), "w", format="mp4" if kind == "overlay" else "matroska")
        self._file.metadata["comment"] = MAKER
        self._stream: Any = None
        self._last = -1
        self._sound = _Sound(av, sound, self._file) if sound is not None else None

    def add(self, picture: Any, seconds: float) -> None:
        """An overlay (see `painted`), or class ids (H, W)."""
        if self._stream is None:
            self._stream = self._made(picture)
            if self._sound is not None:
                self._sound.begin()
        frame = picture
        if self._kind == "labels":
            ids = picture.astype(np.uint16 if self._grey == "gray16le" else np.uint8)
            frame = self._frame.from_ndarray(ids, self._grey)
        frame.time_base = self._stream.codec_context.time_base
        self._last = frame.pts = max(round(seconds / frame.time_base), self._last + 1)
        self._file.mux(self._stream.encode(frame))
        if self._sound is not None:
            self._sound.until(seconds)

    def _made(self, picture: Any) -> Any:
        lossless = self._kind == "labels"
        # Motion is refined once, not twice: two thirds of "veryfast"'s time, for files 30 % larger. One thread
        # takes 6 ms of a core for a frame of 720p where two take 8.5, which the model then has not.
        settings = {"preset": "veryfast", "crf": "20", "x264-params": "subme=1", "threads": "1"}
        stream = self._file.add_stream(
            "ffv1" if lossless else "libx264", rate=self._rate, options={} if lossless else settings
        )
        if lossless:
            stream.height, stream.width = picture.shape
        else:
            stream.height, stream.width = picture.height, picture.width
            for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
                setattr(stream.codec_context, name, getattr(picture, name))
        stream.pix_fmt = self._grey if lossless else FORM
        stream.codec_context.time_base = Fraction(1, 1000) if lossless else Fraction(1, 90_000)
        return stream

    def close(self) -> None:
        if self._stream is not None:
            self._file.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.until(None)
        self._file.close()


class _Sound:
    """Copies a file's sound, packet by packet, as it is; none where the file has none or MP4 does not take its kind."""

    def __init__(self, av: Any, source: Path, target: Any):
        self._target, self._container = target, av.open(str(source))
        found = self._container.streams.audio
        self._from = found[0] if found and found[0].codec_context.name in target.supported_codecs else None
        self._to: Any = None

    def begin(self) -> None:
        if self._from is not None:
            self._to = self._target.add_stream_from_template(self._from)
            self._packets = (packet for packet in self._container.demux(self._from) if packet.dts is not None)
            self._next = next(self._packets, None)

    def until(self, seconds: float | None) -> None:
        """Writes what is heard up to a time; None: all."""
        while self._to is not None and self._next is not None:
            if seconds is not None and float(self._next.pts * self._next.time_base) > seconds:
                return
            self._next.stream = self._to
            self._target.mux(self._next)
            self._next = next(self._packets, None)
        if seconds is None:
            self._container.close()
