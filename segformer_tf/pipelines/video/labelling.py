"""A video in; its overlay, its label frames and what is in each frame out."""

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.images.classes import BACKGROUND, skipped
from segformer_tf.images.drawing import check_alpha
from segformer_tf.images.probabilities import softmax
from segformer_tf.pipelines import files
from segformer_tf.pipelines.marks import mark
from segformer_tf.pipelines.overlap import Failed
from segformer_tf.pipelines.runtimes.runtime import Runtime
from segformer_tf.pipelines.video.frames import Frames, open_frames
from segformer_tf.pipelines.video.painting import Frame, painted
from segformer_tf.pipelines.video.recording import Writer
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.switch import refused, way_out
from segformer_tf.storage.whole import staged


class Smoothed(Runtime):
    """A runtime whose class probabilities are averaged over time, at the size of its logits.

    Of each frame `1 - keep` counts, and `keep` of what stood before. Frames of another size begin anew.
    """

    def __init__(self, runtime: Runtime, keep: float):
        if not 0 <= keep < 1:
            raise ValueError(f"smoothing is {keep}; expected 0 (off) to less than 1.")
        super().__init__(runtime.source, runtime.description)
        self.backend, self.size, self._runtime, self._keep = runtime.backend, runtime.size, runtime, keep
        self._rates: Any = None

    def __call__(self, pixel_values: np.ndarray) -> np.ndarray:
        return np.stack([self._next(logits) for logits in self._runtime(pixel_values)])

    def _next(self, logits: np.ndarray) -> np.ndarray:
        single = logits.shape[-1] == 1  # a second class, the rest, has the logit 0
        rates = softmax(np.concatenate([np.zeros_like(logits), logits], -1) if single else logits)
        if self._rates is not None and self._rates.shape == rates.shape:
            rates = self._keep * self._rates + (1 - self._keep) * rates
        self._rates = rates
        logs = np.log(np.maximum(rates, 1e-30))
        return logs[..., 1:] - logs[..., :1] if single else logs


class _Pictures:
    """The pixels of frames; their times wait in `times`, and what ended them early in `error`."""

    def __init__(self, frames: Frames):
        self.frames, self.times, self.error = frames, deque[float](), None

    def __iter__(self) -> Iterator[np.ndarray]:
        try:
            for pixels, seconds in self.frames:
                self.times.append(seconds)
                yield pixels
        except (OSError, ValueError) as error:  # told when the frames before it are written
            self.error = error


class _Counted(_Pictures):
    """Those whose number is known: a pipeline chooses its runtime by it."""

    def __len__(self) -> int:
        return self.frames.count or 0


@spell_checked
def label_video(
    pipeline: Any,
    source: str | os.PathLike | int,
    output: str | os.PathLike,
    kinds: Sequence[str] = files.DEFAULT,
    *,
    rate: float | None = None,
    smoothing: float = 0.0,
    alpha: float = 0.5,
    skip: str | Sequence[str] | None = BACKGROUND,
    outline: bool = False,
    batch_size: int = 8,
    overwrite: bool = False,
    frames: Frames | None = None,
    name: str | None = None,
    each: Callable[[], None] = lambda: None,
    ended: Callable[[int, list[Path]], None] = lambda number, kept: None,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes NAME_overlay.mp4 (H.264, with the sound), NAME_labels.mkv (FFV1: grey values are class ids, lossless) and
    NAME_frames.jsonl (a line for each frame), those of `kinds`.

    The first sound track that MP4 takes is copied; a UserWarning tells what is left out, before the first frame.

    Args:
        pipeline: A `SegmentationPipeline`; `options` are its own, such as `mode`.
        source: What `open_frames` takes; `rate` is for it, or `frames` are opened already.
        skip: Classes that are not painted in the overlay, as in `SegmentationResult.overlay`.
        smoothing: How much of the probabilities stays from frame to frame, 0 (off) to less than 1; for whole frames.
        overwrite: Whether files may be replaced that others wrote, or that are of another video.
        name: What the files are called after; None: `files.video_name` of the source.
        each: Called after each frame.
        ended: Called where the video ends early, with how many frames were labelled and the files that hold them.

    Returns:
        {"frames", "seconds", "files", "classes"}: `classes` as in a result, over all frames.

    Raises:
        Exception: Whatever ends the video early: a frame of another size, a file that is cut off, a full disk, Ctrl-C.
            The frames before it are written, and the files whole, unless there is no frame or no room.
    """
    options, skip = dict(options or {}), skipped(skip, pipeline.id2label)
    check_alpha(alpha)
    if smoothing:
        pipeline = _smoothed(pipeline, smoothing, options)
    frames = frames or open_frames(source, rate)
    frames.read = partial(pipeline.processor.pixels, strict=True)
    name = files.video_name(frames.name) if name is None else name
    where = Path(str(source)) if Path(str(source)).exists() else None
    targets = files.check(output, name, kinds, where, overwrite, files.VIDEO_ENDINGS)

    def finish(frame: Any, result: Any) -> tuple[Any, Any, Any]:
        drawn = None
        if "overlay" in kinds:
            shown = frame if isinstance(frame, Frame) else result.pixels  # of 16 bits in a folder, say
            drawn = painted(shown, result.labels, result.palette, result.id2label, alpha, skip, outline)
        return drawn, result.labels, result.classes

    pictures, stopped = _Counted(frames) if frames.count else _Pictures(frames), None
    with staged(output) as stage:
        record = _Record({kind: stage / target.name for kind, target in targets.items()}, frames, pipeline, where)
        try:
            record.begin()
            for answer in pipeline.stream(pictures, finish, batch_size, **options):
                if isinstance(answer, Failed):
                    raise answer.error
                drawn, labels, classes = answer
                record.add(drawn, labels, classes, pictures.times.popleft())
                each()
            stopped = pictures.error
        except (Exception, KeyboardInterrupt) as error:
            stopped = error
        stopped = record.close(stopped)
        if stopped is not None and not record.number:
            raise stopped  # nothing moves out of the stage
        kept = [target for kind, target in targets.items() if record.drafts[kind].exists()]
    if stopped is not None:
        ended(record.number, kept)
        raise stopped if stopped is pictures.error else _in_a_sentence(stopped, output)
    written = [str(path) for path in targets.values()]
    return {"frames": record.number, "seconds": record.end, "files": written, "classes": record.classes()}


def _smoothed(pipeline: Any, smoothing: float, options: dict[str, Any]) -> Any:
    """The pipeline with a `Smoothed` runtime; ValueError where its `options` cut or change the frames."""
    if options.get("mode", "whole") != "whole" or options.get("flip") or tuple(options.get("scales", (1,))) != (1,):
        raise ValueError("smoothing is for whole frames at one scale; leave out slide, scales and flip, or smoothing.")
    return pipeline.with_runtime(Smoothed(pipeline.runtime, smoothing))


class _Record:
    """The files of a labelled video while they are drafts (of each kind), and what is counted over its frames."""

    def __init__(self, drafts: dict[str, Path], frames: Frames, pipeline: Any, source: Path | None):
        self.drafts, self.number = drafts, 0
        self._frames, self._pipeline, self._source = frames, pipeline, source
        self._counts, self._pixels, self.end = Counter(), 0, 0.0  # seconds, at which the last frame ends
        wide, sounds = len(pipeline.palette) > 256, {"overlay": frames.sound}
        self._writers = {
            kind: Writer(drafts[kind], kind, frames.rate, sounds.get(kind), wide, mark(source), frames.jumps)
            for kind in ("overlay", "labels")
            if kind in drafts
        }
        self._lines = open(drafts.get("json", os.devnull), "w", encoding="utf-8")  # noqa: SIM115 (`_close`)

    def begin(self) -> None:
        self._lines.write(_head(self._frames, self._pipeline, self._source))

    def add(self, drawn: Any, labels: np.ndarray, classes: list[dict[str, Any]], seconds: float) -> None:
        """The next frame: its overlay (None where none is written), labels (H, W), class table, and time."""
        for kind, writer in self._writers.items():
            writer.add(drawn if kind == "overlay" else labels, seconds, self._frames.ratio)
        line = {"frame": self.number, "time": round(seconds, 6), "classes": classes}
        self._lines.write(json.dumps(line) + "\n")
        self._counts.update({row["id"]: row["pixels"] for row in classes})
        self._pixels, self.number = self._pixels + labels.size, self.number + 1
        self.end = seconds + float(1 / self._frames.rate)

    def close(self, stopped: Any) -> Any:
        """Ends the files. `stopped` is what ended the video early, or None; returned is it, or an error of this."""
        for writer in self._writers.values():
            writer.cut = stopped is not None
        stopped = _close({"json": self._lines, **self._writers}, self.drafts, stopped)
        if stopped is None and "json" in self.drafts:
            _complete(self.drafts["json"])
        return stopped

    def classes(self) -> list[dict[str, Any]]:
        """The classes over all frames, as in a result."""
        return [
            {"id": i, "name": self._pipeline.id2label[i], "pixels": n, "share": n / self._pixels, "score": None}
            for i, n in self._counts.most_common()
        ]


def _head(frames: Frames, pipeline: Any, source: Path | None) -> str:
    """The first line of the frames' file."""
    classes = [{"id": key, "name": name} for key, name in pipeline.id2label.items()]
    path = None if source is None else str(source.absolute())
    said = {"made_by": mark(source), "video": frames.name, "path": path, "rate": float(frames.rate)}
    return json.dumps({**said, "model": pipeline.name, "complete": False, "classes": classes}) + "\n"


def _complete(draft: Path) -> None:
    """Says in the first line that all frames are there, in its place: a full disk has no room for more."""
    before, after = b'"complete": false', b'"complete": true '
    with draft.open("r+b") as file:
        place = file.readline().index(before)
        file.seek(place)
        file.write(after)


def _in_a_sentence(error: Any, output: str | os.PathLike) -> Any:
    """The error; of a full disk and its like one that names the directory, not a draft in it."""
    hint = way_out(error)
    if hint is None or getattr(error, "errno", None) is None:
        return error
    told = refused(error.errno, f"Cannot write to {output} ({os.strerror(error.errno)}); {hint}.")
    told.__cause__ = error
    return told


def _close(writers: dict[str, Any], drafts: dict[str, Path], stopped: Any) -> Any:
    """Ends every file; one that cannot be ended is given up. What stopped the work, or this did."""
    for kind, writer in writers.items():
        try:
            writer.close()
        except Exception as error:
            stopped = stopped or error
            if kind in drafts:
                drafts[kind].unlink(missing_ok=True)
    return stopped
