"""The one meaning of "logits of a picture", for all who ask: pipelines, `evaluate`, reports, checks of exports.

A picture is resized, or left as it is; taken whole, or in windows; at one scale or several, mirrored or not. The logits
of every window are resized to the pixels that it covers, overlapping windows are averaged there (as MMSegmentation
does), and of several scales and mirror images the class probabilities are. `images.merging` does that without full-size
logits.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.images.merging import BLENDS, Box, Merger
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.images.resize import pillow_resize, target_size
from segformer_tf.pipelines.runtimes.runtime import BATCH_PIXELS, Runtime
from segformer_tf.pipelines.windows import (
    WINDOW,
    ade20k_size,
    check_scales,
    check_slides,
    check_windows,
    sides_of,
    spans,
    steps_of,
)

RESIZES = ("processor", "none", "ade20k", "ade20k-aligned")


@dataclass(frozen=True)
class How:
    """How a picture comes to the model, and what is made of its answers.

    Args:
        mode: "whole", or "slide" in overlapping windows.
        resize: "processor": as the model's processor does; "none"; "ade20k": fitted into 2048 x 512 as MMSegmentation
            does; "ade20k-aligned": the same, sides rounded up to 32; or (height, width), whatever the picture's ratio.
            By default "processor" for the whole picture, and "none" for windows.
        window, stride: (height, width) of windows and of the steps between them. By default windows of the one size
            that the runtime takes, or 1024 x 1024, and three quarters of a window.
        scales: Factors of the size that the picture has then; `flip` adds the mirror image of each.
        scores: Also the probability of every pixel's label.
        maps, blend: See `Merger`.
    """

    mode: str = "whole"
    resize: str | tuple[int, int] | None = None
    window: tuple[int, int] | None = None
    stride: tuple[int, int] | None = None
    scales: Sequence[float] = (1.0,)
    flip: bool = False
    scores: bool = False
    maps: Sequence[Any] = ()
    blend: str = "mean"

    def __post_init__(self) -> None:
        if self.mode not in ("whole", "slide"):
            raise ValueError(f'mode is {self.mode!r}; expected "whole" or "slide".')
        if self.resize is not None and not isinstance(self.resize, tuple) and self.resize not in RESIZES:
            raise ValueError(f"resize is {self.resize!r}; expected {', '.join(RESIZES)} or (height, width).")
        for name in ("window", "stride"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, sides_of(name, given))  # as whole numbers, which slices take
        if self.window:
            self.windows()
        check_scales(self.scales)
        if self.blend not in BLENDS:
            raise ValueError(f'blend is {self.blend!r}; expected "mean" or "gaussian".')
        blend = None if self.blend == "mean" else self.blend
        check_slides(self.mode, window=self.window, stride=self.stride, blend=blend)

    def windows(
        self, only: tuple[int, int] | None = None, smallest: int = SMALLEST_SIDE
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Window and stride as (height, width), where a runtime takes pictures of the size `only`, None: of any.

        ValueError where the stride is larger than the window, or this under `smallest`.
        """
        window = self.window or only or WINDOW
        return check_windows(window, self.stride or steps_of(window), smallest)

    def size(
        self, picture: tuple[int, int], processor: SegformerImageProcessor, scale: float = 1.0
    ) -> tuple[int, int] | None:
        """(height, width) that a picture of (height, width) is resized to at a scale; None: it is left as it is."""
        rule = self.resize or ("processor" if self.mode == "whole" else "none")
        if rule in ("ade20k", "ade20k-aligned"):
            return ade20k_size(*picture, scale, 32 if rule == "ade20k-aligned" else 1)
        base = rule if isinstance(rule, tuple) else None
        if rule == "processor" and processor.do_resize:
            base = target_size(processor.size, *picture)
        if base is None and scale == 1.0:
            return None
        height, width = base or picture
        return max(round(height * scale), 1), max(round(width * scale), 1)


class Window(NamedTuple):
    """A part of a picture that the model answers for.

    `pixel_values()` makes its (h, w, C) float32 of `shape`; `box` is where its answer belongs in the result; `mirrored`
    says that the answer must be mirrored back.
    """

    shape: tuple[int, int]
    pixel_values: Callable[[], np.ndarray]
    box: Box
    variant: int
    mirrored: bool


@dataclass
class Job:
    """One picture on its way: pixels (H, W, C), the windows that are still to be answered, what came of the others."""

    pixels: np.ndarray
    windows: list[Window]
    merger: Any
    answered: set[int] = field(default_factory=set)

    def add(self, answers: list[tuple[int, np.ndarray]]) -> None:
        """Takes the answers of windows, by their number, and finishes what they complete."""
        for number, logits in answers:
            window = self.windows[number]
            logits = logits[:, ::-1] if window.mirrored and logits.ndim == 3 else logits
            self.merger.add(logits, window.box, window.variant)
            self.answered.add(number)
        self.merger.finish(next((w.box.top for n, w in enumerate(self.windows) if n not in self.answered), math.inf))


class Vector:
    """In a `Merger`'s place for a classifier: keeps the logits (num_labels,) of the one window, the whole picture."""

    logits: np.ndarray

    def add(self, logits: np.ndarray, box: Box, variant: int) -> None:
        self.logits = logits

    def finish(self, until: float) -> None:
        pass


def check_batch_size(batch_size: Any) -> None:
    """Raises ValueError unless it is a whole number from 1."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; expected a whole number of at least 1.")


class Predictor:
    """A runtime with the processor that makes its pixels; `batch_size` windows at most are run together."""

    def __init__(self, runtime: Runtime, processor: SegformerImageProcessor, batch_size: int = 8):
        check_batch_size(batch_size)
        self.runtime, self.processor, self.batch_size = runtime, processor, batch_size

    def job(self, pixels: np.ndarray, how: How, size: tuple[int, int] | None = None) -> Job:
        """The work on one picture (H, W, C), whose result is of `size` (by default the picture's)."""
        size = size or pixels.shape[:2]
        windows = sorted(self._windows(pixels, how, size), key=lambda window: window.box.top)
        if self.runtime.classifies:
            return Job(pixels, windows, Vector())
        temperature = self.runtime.description.temperature
        return Job(pixels, windows, Merger(size, how.scores, how.maps, how.blend, temperature))

    def run(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, list[tuple[int, np.ndarray]]]]:
        """Runs all windows of the jobs, those of equal shape together; each time what a job got, for its `add`."""
        for batch in self._batches(jobs):
            values = np.stack([job.windows[number].pixel_values() for job, number in batch])
            logits = self.runtime(values)
            answers: dict[int, tuple[Job, list]] = {}
            for (job, number), answer in zip(batch, logits, strict=True):
                answers.setdefault(id(job), (job, []))[1].append((number, answer))
            yield from answers.values()

    def answer(self, job: Job) -> Any:
        """The job's merger when all its windows are answered, in this thread."""
        for _, answers in self.run([job]):
            job.add(answers)
        return job.merger

    def _windows(self, pixels: np.ndarray, how: How, size: tuple[int, int]) -> Iterator[Window]:
        variant = 0
        for scale in how.scales:
            wanted = how.size(pixels.shape[:2], self.processor, scale)
            sides, resized = wanted or pixels.shape[:2], wanted is not None
            # The picture is normalised (`values`), or each window is: as floats a picture takes four times the memory.
            picture, values = pixels, None
            if how.mode == "slide" and resized and pixels.dtype == np.uint8:
                picture = pillow_resize(np.asarray(pixels), sides, self.processor.resample)
            elif how.mode == "whole" or resized:
                values = self._values(pixels, sides if resized else None)
            # A picture taken whole is a window of its own size.
            window, stride = (
                how.windows(self.runtime.size, self.runtime.smallest_side) if how.mode == "slide" else (sides, sides)
            )
            for mirrored in (False, True) if how.flip else (False,):
                for top, bottom in spans(sides[0], window[0], stride[0]):
                    for left, right in spans(sides[1], window[1], stride[1]):
                        yield self._window(picture, values, (top, bottom, left, right), sides, size, variant, mirrored)
                variant += 1

    def _window(self, picture, values, edges, sides, size, variant: int, mirrored: bool) -> Window:
        """A window of a picture of (height, width) `sides`: of its `values`, or if these are None of `picture`."""
        top, bottom, left, right = edges
        shape = self._fitted(tuple(max(side, self.runtime.smallest_side) for side in (bottom - top, right - left)))
        # A mirrored picture's windows are counted from its left; here they are where they lie in the upright one.
        place = slice(top, bottom), slice(sides[1] - right, sides[1] - left) if mirrored else slice(left, right)

        def pixel_values() -> np.ndarray:
            part = self._values(picture[place], None) if values is None else values[place]
            part = part[:, ::-1] if mirrored else part
            missing = shape[0] - part.shape[0], shape[1] - part.shape[1]
            return np.pad(part, [(0, missing[0]), (0, missing[1]), (0, 0)]) if any(missing) else part

        start = sides[1] - left - shape[1] if mirrored else left  # what fills a mirrored window up is left of it
        ends = (top, start, top + shape[0], start + shape[1])
        # Each end by one division of whole numbers: the end of a window is the start of the next to the last bit.
        box = Box(*(end * size[axis % 2] / sides[axis % 2] for axis, end in enumerate(ends)))
        return Window(shape, pixel_values, box, variant, mirrored)

    def _fitted(self, shape: tuple[int, int]) -> tuple[int, int]:
        """The shape that a window is filled up to; an error where a file of one size does not take it."""
        bound = self.runtime.size
        if bound is None or shape == bound:
            return shape
        other = "for that size" if self.runtime.backend == "litert" else "without a size"
        raise ValueError(
            f"{self.runtime.source} takes {bound[0]} x {bound[1]} pixels only, and would be given {shape[0]} x "
            f"{shape[1]}: export it {other}, or have pictures resized, or cut into windows, of {bound[0]} x "
            f"{bound[1]}."
        )

    def _values(self, pixels: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
        """(H, W, C) -> (h, w, C) float32; `size` None: as it is."""
        settings: dict[str, Any] = {"do_resize": size is not None}
        if size is not None:
            settings["size"] = {"height": size[0], "width": size[1]}
        made = self.processor(
            pixels, return_tensors="np", input_data_format="channels_last", data_format="channels_last", **settings
        )
        return made.pixel_values[0]

    def _batches(self, jobs: Iterable[Job]) -> Iterator[list[tuple[Job, int]]]:
        """(job, number of its window), in order, in lists of equal shapes."""
        waiting: dict[tuple[int, int], list[tuple[Job, int]]] = {}
        for job in jobs:
            for number, window in enumerate(job.windows):
                batch = waiting.setdefault(window.shape, [])
                batch.append((job, number))
                if len(batch) >= min(self.batch_size, max(BATCH_PIXELS // math.prod(window.shape), 1)):
                    yield waiting.pop(window.shape)
        yield from waiting.values()
