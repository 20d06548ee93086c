"""Picture in, answer out: segmentation and classification pipelines."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf import images
from segformer_tf.images.opening import to_eight_bits, to_pixels
from segformer_tf.models.base import SegformerBase
from segformer_tf.models.elements import resize_bilinear
from segformer_tf.models.tasks import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation
from segformer_tf.pipelines.processors import load_processor
from segformer_tf.pipelines.result import SegmentationResult
from segformer_tf.pipelines.windows import check_windows, slide
from segformer_tf.storage import find
from segformer_tf.storage.keywords import check_keywords, keywords_of

DEFAULT_MODEL = "segformer-b0-camvid"


class Pipeline:
    """A model with its image processor; calling it takes one picture or an iterable of them."""

    model_class: type[SegformerBase]

    def __init__(self, model: SegformerBase, processor: images.SegformerImageProcessor | None = None, name: str = ""):
        self.model = model
        self.processor = processor or images.SegformerImageProcessor()
        self.name = name

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, **kwargs: Any):
        """Model and processor of a Hub id, a directory or a bundled model; errors as the model's `from_pretrained`.

        `revision`, `cache_dir`, `token`, `local_files_only` and `subfolder` say where on the Hub; other arguments go to
        the model. Without a `preprocessor_config.json` pictures are resized to 512 x 512, SegFormer's default.
        """
        where = find.pop_hub_arguments(kwargs)
        kwargs.setdefault("data_format", "channels_last")
        model = cls.model_class.from_pretrained(name_or_path, **where, **kwargs)
        return cls(model, load_processor(name_or_path, **where), name=str(name_or_path))

    def __call__(self, pictures: Any, **options: Any) -> Any:
        """The answer for one picture (path, bytes, PIL image or array); a list for a list; otherwise an iterator.

        Other iterables are worked off as their answers are asked for, with a progress bar on a terminal.
        """
        check_keywords(type(self).__name__, options, keywords_of(self._prepare))
        answer = self._prepare(**options)
        if isinstance(pictures, (list, tuple)):
            return list(_with_progress(map(answer, pictures), len(pictures)))
        if _is_one(pictures):
            return answer(pictures)
        total = len(pictures) if hasattr(pictures, "__len__") else None
        return iter(_with_progress(map(answer, pictures), total))

    def _prepare(self, **options: Any) -> Callable[[Any], Any]:
        """Checks the options before the first picture is touched; returns what answers one picture."""
        raise NotImplementedError

    def _pixels(self, picture: Any) -> np.ndarray:
        """(H, W, C), as the processor takes it."""
        return to_pixels(picture, self.processor.channels, None, strict=True, exif=self.processor.do_exif_transpose)

    def _pixel_values(self, pixels: np.ndarray, **overrides: Any) -> np.ndarray:
        """(H, W, C) -> (1, h, w, C) float32."""
        overrides |= {"input_data_format": "channels_last", "data_format": "channels_last"}
        return self.processor(pixels, return_tensors="np", **overrides).pixel_values

    def _logits(self, pixel_values: np.ndarray) -> np.ndarray:
        """(1, h, w, C) -> logits as float32, channels-last."""
        first = self.model.data_format == "channels_first"
        logits = self.model(np.moveaxis(pixel_values, -1, 1) if first else pixel_values, training=False).logits
        logits = np.asarray(logits)
        return np.moveaxis(logits, 1, -1) if first and logits.ndim == 4 else logits


class SegmentationPipeline(Pipeline):
    """Pictures to label maps at their own size.

    `segment(picture)` resizes as the processor says ("whole"). `mode="slide"` leaves the size and averages the logits of
    overlapping windows. Several `scales`, or `flip=True`, average the class probabilities of the resized and mirrored
    pictures.
    """

    model_class = TFSegformerForSemanticSegmentation

    def __init__(self, model, processor=None, name: str = ""):
        super().__init__(model, processor, name)
        self.id2label = dict(model.config.id2label) if model.config.num_labels > 1 else _binary(model.config.id2label)
        self.palette = images.palette_for(self.id2label)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike = DEFAULT_MODEL, **kwargs: Any):
        """As `Pipeline.from_pretrained`; without a name the bundled model."""
        return super().from_pretrained(name_or_path, **kwargs)

    def _prepare(
        self,
        mode: str = "whole",
        window: tuple[int, int] = (1024, 1024),
        stride: tuple[int, int] = (768, 768),
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> Callable[[Any], SegmentationResult]:
        if mode not in ("whole", "slide"):
            raise ValueError(f'mode is {mode!r}; expected "whole" or "slide".')
        check_windows(window, stride)
        if not scales or any(scale <= 0 for scale in scales):
            raise ValueError(f"scales are {tuple(scales)}; expected at least one, each above 0.")

        def run(pixel_values: np.ndarray) -> np.ndarray:
            if mode == "whole":
                return self._logits(pixel_values)
            return slide(self._logits, pixel_values[0], window, stride)[np.newaxis]

        def answer(picture: Any) -> SegmentationResult:
            pixels = self._pixels(picture)
            height, width = pixels.shape[:2]
            logits = self._averaged(pixels, run, mode == "whole", scales, flip)
            # Windows cover whole cells of 4 pixels; what lies beyond the picture is cut off.
            size = (height, width) if mode == "whole" else tuple(side * 4 for side in logits.shape[1:3])
            if len(scales) > 1 or scales[0] != 1.0:
                size = (height, width)
            labels = images.post_process_semantic_segmentation(logits, [size], data_format="channels_last")[0]
            return SegmentationResult(
                _name(picture),
                labels[:height, :width],
                self._shown(picture, pixels),
                self.id2label,
                self.palette,
                self.name,
                path=Path(picture) if isinstance(picture, (str, os.PathLike)) else None,
            )

        return answer

    def _averaged(self, pixels, run, resized: bool, scales: Sequence[float], flip: bool) -> np.ndarray:
        """Logits of one picture (1, h, w, classes), or the mean of probabilities over scales and mirror images."""
        base = self._pixel_values(pixels) if resized else self._pixel_values(pixels, do_resize=False)
        variants = [
            values[:, :, ::-1] if mirrored else values
            for values in (_scaled(base, scale) for scale in scales)
            for mirrored in ((False, True) if flip else (False,))
        ]
        if len(variants) == 1:
            return run(variants[0])
        total: Any = 0.0
        for index, values in enumerate(variants):
            logits = run(values)
            logits = logits[:, :, ::-1] if flip and index % 2 else logits
            grid = tuple(-(-side // 4) for side in base.shape[1:3])
            logits = np.asarray(resize_bilinear(np.ascontiguousarray(logits), grid))
            if logits.shape[-1] == 1:  # one class against the rest, whose logit is 0
                logits = np.concatenate([np.zeros_like(logits), logits], -1)
            total = total + _probabilities(logits)
        return total / len(variants)

    def _shown(self, picture: Any, pixels: np.ndarray) -> np.ndarray:
        if pixels.shape[-1] != 3:
            pixels = np.repeat(pixels[..., :1], 3, -1)
        return to_eight_bits(pixels, rounded=True)[0]


class ImageClassificationPipeline(Pipeline):
    """Pictures to their likeliest classes: `[{"id", "label", "score"}]`, the likeliest first; scores are probabilities."""

    model_class = TFSegformerForImageClassification

    def _prepare(self, top_k: int = 5) -> Callable[[Any], list[dict[str, Any]]]:
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; expected at least 1.")

        def answer(picture: Any) -> list[dict[str, Any]]:
            logits = self._logits(self._pixel_values(self._pixels(picture)))
            scores = _probabilities(logits)[0]
            names = self.model.config.id2label
            best = np.argsort(-scores, kind="stable")[:top_k]
            return [{"id": int(i), "label": names[int(i)], "score": float(scores[i])} for i in best]

        return answer


def _is_one(pictures: Any) -> bool:
    if isinstance(pictures, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(pictures, "read"):
        return True
    return (
        hasattr(pictures, "__array__") or hasattr(pictures, "__array_interface__") or not isinstance(pictures, Iterable)
    )


def _with_progress(answers: Iterable[Any], total: int | None) -> Iterator[Any]:
    """The answers, with a progress bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield from answers
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(answers, "Pictures", total, console=Console(stderr=True))


def _name(picture: Any) -> str:
    return Path(picture).stem if isinstance(picture, (str, os.PathLike)) else "image"


def _binary(id2label: dict[int, str]) -> dict[int, str]:
    """A model of one class says where it is; 0 is the rest."""
    return {0: "background", 1: id2label[0]}


def _scaled(pixel_values: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1.0:
        return pixel_values
    size = tuple(max(round(side * scale), 32) for side in pixel_values.shape[1:3])
    return np.asarray(resize_bilinear(pixel_values, size))


def _probabilities(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)
