"""Picture in, answer out: what all pipelines share, and the one for segmentation."""

import copy
import difflib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segformer_tf import images
from segformer_tf.checkpoints.layouts import SEGMENTATION
from segformer_tf.config import SegformerConfig
from segformer_tf.images.palettes import checked_palette
from segformer_tf.images.raster import open_regions
from segformer_tf.pipelines import overlap, sources
from segformer_tf.pipelines.loading import WrongTask, candidate, converted, fastest, in_numpy, whole_model
from segformer_tf.pipelines.predict import How, Predictor, check_batch_size
from segformer_tf.pipelines.progress import tracked
from segformer_tf.pipelines.result import SegmentationResult, map_kind
from segformer_tf.pipelines.runtimes.description import class_names, class_palette
from segformer_tf.pipelines.runtimes.exported import exported_file, open_exported
from segformer_tf.pipelines.runtimes.runtime import KerasModel, Runtime
from segformer_tf.pipelines.windows import check_scales
from segformer_tf.storage import find
from segformer_tf.storage.find import DEFAULT_MODEL
from segformer_tf.storage.keywords import check_keywords, keywords_of, spell_checked

if TYPE_CHECKING:
    from segformer_tf.models.base import SegformerBase

RUNTIMES = ("auto", "tensorflow", "openvino", "onnx", "litert", "numpy")


@spell_checked
class Pipeline:
    """A model with its image processor; calling it takes one picture or an iterable of them.

    `model` is a Keras model or a `Runtime`. `runtime`: "tensorflow", "openvino", "onnx", "litert" (which computes
    pictures of the processor's size only, TensorFlow the others), "numpy" (which loads neither Keras nor TensorFlow:
    soonest for a program of a few pictures), or "auto": TensorFlow, and from the first call with 100 pictures or more
    on OpenVINO, on processors without AVX-512 from 400 on LiteRT, if installed, faster here and of the same labels.
    """

    task = ""  # as descriptions call it
    class_name = ""  # of the Keras model

    def __init__(
        self,
        model: "SegformerBase | Runtime",
        processor: images.SegformerImageProcessor | None = None,
        name: str = "",
        runtime: str = "auto",
    ):
        if runtime not in RUNTIMES:
            raise ValueError(f"runtime is {runtime!r}; expected one of {', '.join(RUNTIMES)}.")
        own = model if isinstance(model, Runtime) else KerasModel(model)
        if own.description.task != self.task:
            raise WrongTask(
                f"{name or own.source} is a {own.description.model}; {type(self).__name__} needs a {self.class_name}."
            )
        self.model: Any = None if isinstance(model, Runtime) else model
        processor = processor or own.description.image_processor() or images.SegformerImageProcessor()
        self.name = name
        self.config = self.model.config if self.model is not None else SegformerConfig.from_dict(own.description.config)
        self.processor = processor.for_channels(self.config.num_channels)
        other = self.model is not None and runtime not in ("auto", "tensorflow")
        self.runtime = converted(model, runtime, self.processor.fixed_size) if other else own
        self._may_convert = runtime == "auto" and self.model is not None

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, *, runtime: str = "auto", **kwargs: Any):
        """Model and processor of a Hub id, a directory, a bundled model, or an exported file.

        Errors are the model's `from_pretrained`'s. Exported are `openvino_model.xml`, `model.onnx`, `model.tflite` and
        the version directory of a SavedModel, or their directory; they hold all that is needed, and take no other
        arguments but `runtime`.
        `revision`, `cache_dir`, `token`, `local_files_only` and `subfolder` say where on the Hub; other arguments go to
        the model. Without a `preprocessor_config.json` pictures are resized to 512 x 512, SegFormer's default.
        """
        meant = [each for each in kwargs if difflib.get_close_matches(each, ["runtime"], cutoff=0.75)]
        check_keywords("from_pretrained", meant, ["runtime"])  # the model checks the others, and knows no runtime
        if exported := exported_file(name_or_path):
            if kwargs:
                raise TypeError(f"{', '.join(kwargs)} cannot change the exported file {name_or_path}: `export` can.")
            return cls(open_exported(exported, runtime), name=str(name_or_path))
        where = find.pop_hub_arguments(kwargs)
        if runtime == "numpy" and not kwargs:
            model = in_numpy(cls.class_name, name_or_path, **where)
        else:
            kwargs.setdefault("data_format", "channels_last")
            model = whole_model(cls.class_name, name_or_path, **where, **kwargs)
        processor = images.SegformerImageProcessor.from_pretrained(name_or_path, or_default=True, **where)
        return cls(model, processor, name=str(name_or_path), runtime=runtime)

    @property
    def backend(self) -> str:
        """What computes: "tensorflow", "openvino", "onnx", "litert" or "numpy"."""
        return self.runtime.backend

    def with_runtime(self, runtime: Runtime):
        """A copy that computes with `runtime`, and with no other one later."""
        other = copy.copy(self)
        other.runtime, other._may_convert = runtime, False
        return other

    def __call__(self, pictures: Any, batch_size: int = 8, **options: Any) -> Any:
        """The answer for one picture (path, bytes, PIL image or array); a list for a list; otherwise an iterator.

        Other iterables are worked off as their answers are asked for, up to three batches ahead, with a progress bar on
        a terminal or a line in a notebook. A picture of many that cannot be done has a `Failed` in its place, and a
        line on stderr; one alone raises.
        """
        self._check(options, batch_size)
        if sources.is_one(pictures):
            return overlap.one(
                Predictor(self.runtime, self.processor, batch_size), self._work(None, **options), pictures
            )
        total = len(pictures) if hasattr(pictures, "__len__") else None
        answers = tracked(sources.told(self.stream(pictures, batch_size=batch_size, **options)), total)
        return list(answers) if isinstance(pictures, (list, tuple)) else answers

    def stream(
        self,
        pictures: Iterable[Any],
        finish: Callable[[Any, Any], Any] | None = None,
        batch_size: int = 8,
        **options: Any,
    ) -> Iterator[Any]:
        """The answers for many pictures in order, `Failed` for those that cannot be done, without a word.

        `finish(picture, answer)`, if given, says what is handed out instead, such as the files written; it runs beside
        the model, in threads. What it raises fails that picture.
        """
        self._check(options, batch_size)
        sources.is_one(pictures)  # a dictionary is neither
        work = self._work(finish, **options)  # options are checked before the first picture is touched
        total = len(pictures) if hasattr(pictures, "__len__") else 0  # type: ignore[arg-type]
        return self._stream(pictures, work, batch_size, total)

    def _stream(self, pictures, work: overlap.Task, batch_size: int, total: int) -> Iterator[Any]:
        if self._may_convert and (backend := candidate(self.processor, work.how, total)):
            self._may_convert, self.runtime = False, fastest(self.runtime, self.processor, backend)
        yield from overlap.many(Predictor(self.runtime, self.processor, batch_size), work, pictures)

    def _check(self, options: dict[str, Any], batch_size: int) -> None:
        known = {"batch_size", *keywords_of(self._work)} - {"finish"}
        check_keywords(type(self).__name__, options, known)
        check_batch_size(batch_size)

    def _work(self, finish: Callable[[Any, Any], Any] | None, **options: Any) -> overlap.Task:
        """Checks the options; what is done with each picture."""
        raise NotImplementedError

    def _read(self, picture: Any) -> tuple[np.ndarray, None]:
        """(H, W, C), as the processor takes it; the answer is of the picture's size."""
        return self.processor.pixels(picture, strict=True), None


@spell_checked
class SegmentationPipeline(Pipeline):
    """Pictures to label maps at their own size.

    `segment(picture)` resizes as the processor says ("whole"). `mode="slide"` leaves the size and averages the logits
    of overlapping windows. Several `scales`, or `flip=True`, average the class probabilities of the resized and
    mirrored pictures. `scores=True` adds the probability of each pixel's label, `maps` the probability of classes by
    their name, and "entropy" (0 sure, 1 all classes alike). `blend="gaussian"` weights windows by a bell.
    """

    task = SEGMENTATION.name
    class_name = SEGMENTATION.class_name

    def __init__(self, model, processor=None, name: str = "", runtime: str = "auto"):
        super().__init__(model, processor, name, runtime)
        self.id2label = class_names(self.config)
        self.palette = class_palette(self.config)

    @property
    def palette(self) -> np.ndarray:
        """Colours (C, 3) uint8 of the classes: those of the data set that was trained on, or others; may be set."""
        return self._palette

    @palette.setter
    def palette(self, colours: Any) -> None:
        self._palette = checked_palette(colours, len(self.id2label))

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike = DEFAULT_MODEL, **kwargs: Any):
        """As `Pipeline.from_pretrained`; without a name the bundled model."""
        return super().from_pretrained(name_or_path, **kwargs)

    def _work(
        self,
        finish: Callable[[Any, SegmentationResult], Any] | None,
        mode: str = "whole",
        window: tuple[int, int] | None = None,
        stride: tuple[int, int] | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        scores: bool = False,
        blend: str = "mean",
        maps: Sequence[str] = (),
    ) -> overlap.Task:
        if not isinstance(maps, Iterable):
            raise ValueError(f'maps is {maps!r}; expected names of classes, or "entropy", in a list.')
        kinds = {name: map_kind(name, self.id2label) for name in ([maps] if isinstance(maps, str) else maps)}
        check_scales(scales)  # before `tuple` takes one apart
        how = How(mode, None, window, stride, tuple(scales), flip, scores, tuple(kinds.values()), blend)
        if mode == "slide":
            # What cannot be is told before the first picture.
            how.windows(self.runtime.size, self.runtime.smallest_side)

        def result(picture: Any, pixels: np.ndarray, merged: Any) -> Any:
            made = SegmentationResult(
                sources.name_of(picture),
                merged.labels,
                sources.shown(pixels),
                self.id2label,
                self.palette,
                self.name,
                scores=merged.scores,
                path=Path(picture) if isinstance(picture, (str, os.PathLike)) else None,
                maps={name: merged.maps[kind] for name, kind in kinds.items()},
                runtime=self.backend,
                page=self.processor.page,
            )
            return made if finish is None else finish(picture, made)

        def read(picture: Any) -> tuple[Any, None]:
            plain = mode == "slide" and self.processor.page is None
            regions = open_regions(picture, self.processor.channels or 3) if plain else None
            return self._read(picture) if regions is None else (regions, None)

        return overlap.Task(read, result, how)
