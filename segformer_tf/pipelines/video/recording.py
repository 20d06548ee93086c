"""The video files that a labelled video becomes. PyAV encodes, frame by frame."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.pipelines.marks import MAKER
from segformer_tf.pipelines.video.frames import load_av
from segformer_tf.pipelines.video.painting import FORM
from segformer_tf.pipelines.video.sound import Sound


class Writer:
    """One video file that grows frame by frame: `kind` "overlay" (H.264) or "labels" (FFV1, lossless).

    `path` is a draft (see `storage.whole`); `sound` a file whose sound the video gets, moved by `jumps` (see `Sound`).
    `close` makes what has been written a whole file; where `cut` is set before, its sound ends with the last frame.
    `made_by`: see `marks.mark`.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        rate: Fraction,
        sound: Path | None = None,
        wide: bool = False,
        made_by: str = MAKER,
        jumps: Sequence[float] = (),
    ):
        av = load_av()
        self._frame, self._grey = av.VideoFrame, "gray16le" if wide else "gray"
        self._kind, self._rate = kind, rate
        self._sound = Sound(av, sound, jumps) if sound is not None else None
        self._file = av.open(str(path.absolute()), "w", format="mp4" if kind == "overlay" else "matroska")
        self._file.metadata["comment"] = made_by
        self._stream: Any = None
        self._last, self._end = -1, 0.0
        self.cut = False

    def add(self, picture: Any, seconds: float, ratio: Fraction | None = None) -> None:
        """An overlay (see `painted`), or class ids (H, W). `ratio`: an overlay's pixel's width by its height."""
        if self._stream is None:
            self._stream = self._made(picture)
            if ratio:  # Matroska keeps it with the stream, where PyAV cannot set it: labels go without
                self._stream.codec_context.sample_aspect_ratio = ratio
            if self._sound is not None:
                self._sound.begin(self._file)
        frame = picture
        if self._kind == "labels":
            ids = picture.astype(np.uint16 if self._grey == "gray16le" else np.uint8)
            frame = self._frame.from_ndarray(ids, self._grey)
        frame.time_base = self._stream.codec_context.time_base
        self._last = frame.pts = max(round(seconds / frame.time_base), self._last + 1)
        self._file.mux(self._stream.encode(frame))
        self._end = seconds + float(1 / self._rate)
        if self._sound is not None:
            self._sound.until(seconds)

    def _made(self, picture: Any) -> Any:
        lossless = self._kind == "labels"
        # A third of "veryfast"'s time, for files 1.9 times as large and as good: the model has the rest. One thread
        # takes less of both cores together than several do, of FFV1 too.
        settings = {} if lossless else {"preset": "ultrafast", "crf": "24"}
        stream = self._file.add_stream(
            "ffv1" if lossless else "libx264",
            rate=self._rate,
            options={"threads": "1", **settings},
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
        try:
            if self._stream is not None:
                self._file.mux(self._stream.encode(None))
                if self._sound is not None:
                    self._sound.until(self._end if self.cut else None)
        finally:
            if self._sound is not None:
                self._sound.close()
            self._file.close()
