"""SegformerImageProcessor: pictures and label maps -> `pixel_values` and `labels`, as transformers 4.57 makes them."""

from __future__ import annotations

import copy
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segformer_tf.images.batch import BatchFeature, flatten, on_all_cores, stack
from segformer_tf.images.config_file import CONFIG_NAMES, read_config, write_config
from segformer_tf.images.opening import pillow_resize, resolve_data_format, to_class_ids, to_eight_bits, to_pixels
from segformer_tf.images.postprocess import post_process_semantic_segmentation
from segformer_tf.images.resize import parse_size, resize, target_size
from segformer_tf.images.scaling import Scaling, scale_pixels, scale_tensor
from segformer_tf.storage import find
from segformer_tf.storage.keywords import check_keywords, keywords_of, spell_checked

if TYPE_CHECKING:
    import tensorflow as tf

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
METHOD = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}  # Pillow's numbers


@spell_checked
class SegformerImageProcessor:
    """Resize, rescale, normalise, in this order; label maps are resized by "nearest". `size` is height and width.

    `size` may also be an int (square), a pair, or {"shortest_edge": n} (keeps the ratio). Images of another number of
    channels than 3 need `image_mean` and `image_std` of that length. `data_format` None is Keras' own setting.
    What else a file has is kept and written back by `save_pretrained`.
    """

    model_input_names = ["pixel_values"]

    def __init__(
        self,
        do_resize: bool = True,
        size: dict[str, int] | int | tuple[int, int] | None = None,
        resample: int = 2,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | list[float] | None = None,
        image_std: float | list[float] | None = None,
        do_reduce_labels: bool = False,
        data_format: str | None = None,
        do_exif_transpose: bool = False,
        *,
        reduce_labels: bool | None = None,
    ):
        self.do_resize = do_resize
        self.size = parse_size({"height": 512, "width": 512} if size is None else size)
        if resample not in METHOD:
            raise ValueError(f"resample is {resample!r}; expected one of Pillow's filters, a number from 0 to 5.")
        self.resample = int(resample)
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor
        self.do_normalize = do_normalize
        self.image_mean = _numbers(IMAGENET_MEAN if image_mean is None else image_mean)
        self.image_std = _numbers(IMAGENET_STD if image_std is None else image_std)
        self.do_reduce_labels = do_reduce_labels if reduce_labels is None else reduce_labels
        self.data_format = data_format
        self.do_exif_transpose = do_exif_transpose
        self.other: dict[str, Any] = {}
        if np.size(self.image_mean) != np.size(self.image_std):
            sizes = np.size(self.image_mean), np.size(self.image_std)
            raise ValueError(f"image_mean has {sizes[0]} values and image_std {sizes[1]}; expected as many.")
        if do_normalize and not np.all(self.image_std):
            raise ValueError(f"image_std is {self.image_std}; expected no zero.")
        resolve_data_format(data_format)

    @property
    def channels(self) -> int:
        return len(self.image_mean) if isinstance(self.image_mean, list) else 3

    def __call__(
        self, images: Any, segmentation_maps: Any = None, return_tensors: str | None = None, **overrides: Any
    ) -> BatchFeature:
        """Images -> `pixel_values` (B, H, W, C) float32, or (B, C, H, W); maps (H, W) -> `labels` (B, H, W) int64.

        One image or a list (path, bytes, PIL image, array or tensor with channels first or last). `return_tensors`:
        None (lists of arrays), "np" or "tf". Any constructor argument may be given for this call, and
        `input_data_format` where an array's channel axis cannot be told from its shape.
        Raises ValueError for other channels or values, and where images of several sizes are to be stacked.
        """
        known = (*keywords_of(self.__call__), *keywords_of(SegformerImageProcessor), "input_data_format")
        check_keywords(type(self).__name__, overrides, known)
        input_data_format = overrides.pop("input_data_format", None)
        settings = self._with(overrides)
        if return_tensors not in (None, "np", "tf"):
            raise ValueError(f"return_tensors is {return_tensors!r}; expected None, 'np' or 'tf'.")
        batch = BatchFeature(pixel_values=settings._all_pixel_values(flatten(images, 3), input_data_format))
        if segmentation_maps is not None:
            batch["labels"] = [settings._labels(ids) for ids in flatten(segmentation_maps, 2)]
            if len(batch.labels) != len(batch.pixel_values):
                raise ValueError(
                    f"segmentation_maps has {len(batch.labels)} maps; expected {len(batch.pixel_values)}, one an image."
                )
        if return_tensors:
            batch.update({name: stack(name, values) for name, values in batch.items()})
        else:
            batch.update({name: list(values) for name, values in batch.items()})
        if return_tensors == "tf":
            import tensorflow as tf

            batch.update({name: tf.convert_to_tensor(values) for name, values in batch.items()})
        return batch

    preprocess = __call__

    def preprocess_tensor(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 (H, W, C) or (B, H, W, C) -> float32 `pixel_values`, channels last, in TensorFlow ops only.

        Equals the call on arrays to the last bit, in eager code, `tf.function`, `tf.data` and exported models.
        """
        import tensorflow as tf

        image = tf.convert_to_tensor(image)
        if image.dtype != tf.uint8 or image.shape.rank not in (3, 4):
            raise ValueError(f"image is {image.dtype.name} {image.shape}; expected uint8 (H, W, C) or (B, H, W, C).")
        if self.do_normalize and image.shape[-1] not in (None, self.channels):
            raise ValueError(f"image has {image.shape[-1]} channels (shape {image.shape}); expected {self.channels}.")
        if self.do_resize:
            shape = [known or dynamic for known, dynamic in zip(image.shape, tf.unstack(tf.shape(image)), strict=True)]
            image = resize(image, target_size(self.size, *shape[-3:-1], choose=tf.where), METHOD[self.resample])
        return scale_tensor(image, self._scaling())

    def post_process_semantic_segmentation(
        self,
        outputs: Any,
        target_sizes: Any = None,
        return_segmentation_scores: bool = False,
        data_format: str | None = None,
    ) -> Any:
        """Logits -> one (H, W) int32 label map an image; see `segformer_tf.images.postprocess`."""
        return post_process_semantic_segmentation(
            outputs, target_sizes, return_segmentation_scores, data_format or self.data_format
        )

    @classmethod
    def from_dict(cls, config: dict[str, Any], **overrides: Any) -> SegformerImageProcessor:
        """From the contents of a `preprocessor_config.json`; a null there means the default."""
        known = keywords_of(SegformerImageProcessor)
        given = {name: value for name, value in config.items() if value is not None or name not in known}
        given.pop("image_processor_type", None)
        processor = cls(**{key: value for key, value in given.items() if key in known} | overrides)
        processor.other = {key: value for key, value in given.items() if key not in known}
        return processor

    @classmethod
    def from_file(cls, path: str | os.PathLike, **overrides: Any) -> SegformerImageProcessor:
        """From a directory or file; `overrides` are constructor arguments.

        A `data_format` in the file is not taken over: transformers' processors for PyTorch write their own there.
        """
        config = read_config(path)
        config.pop("data_format", None)
        return cls.from_dict(config, **overrides)

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, **overrides: Any) -> SegformerImageProcessor:
        """From a Hub id, a directory, a file or a bundled model; `overrides` are constructor arguments.

        `revision`, `cache_dir`, `token`, `local_files_only` and `subfolder` say where on the Hub.
        """
        where = find.pop_hub_arguments(overrides)
        check_keywords("from_pretrained", overrides, (*keywords_of(SegformerImageProcessor), *find.HUB_ARGUMENTS))
        if Path(name_or_path).is_file():
            return cls.from_file(name_or_path, **overrides)
        found = next(filter(None, (find.find(name_or_path, name, **where) for name in CONFIG_NAMES)), None)
        if found is None:
            raise FileNotFoundError(f"{name_or_path} has neither {' nor '.join(CONFIG_NAMES)}.")
        return cls.from_file(found, **overrides)

    def to_dict(self) -> dict[str, Any]:
        settings = self._arguments()
        for name in ("data_format", "do_exif_transpose"):  # not known to transformers: written only if set
            if not settings[name]:
                del settings[name]
        return copy.deepcopy({**self.other, **settings, "image_processor_type": "SegformerImageProcessor"})

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, save_directory: str | os.PathLike) -> list[str]:
        """Write `preprocessor_config.json`, whole or not at all; returns the paths of the files."""
        return [write_config(save_directory, self.to_json_string())]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def _with(self, overrides: dict[str, Any]) -> SegformerImageProcessor:
        """This processor with some arguments replaced; None leaves the own value, as in transformers."""
        overrides = {name: value for name, value in overrides.items() if value is not None}
        return SegformerImageProcessor(**{**self._arguments(), **overrides})

    def _arguments(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "other"}

    def _all_pixel_values(self, sources: list[Any], input_data_format: str | None) -> np.ndarray | list[np.ndarray]:
        """One array an image, or where the size is fixed one for all; made on all cores, as Pillow and NumPy allow."""
        made = None
        if self.do_resize and self.do_normalize and "height" in self.size:
            shape = self._shape(self.size["height"], self.size["width"], self.channels)
            made = np.empty((len(sources), *shape), np.float32)

        def fill(place: int) -> tuple[np.ndarray, bool]:
            return self._pixel_values(sources[place], input_data_format, None if made is None else made[place])

        filled = on_all_cores(fill, len(sources))
        if any(twice for _, twice in filled):
            warnings.warn("image has values from 0 to 1 and is rescaled again; set do_rescale=False.", stacklevel=3)
        return [values for values, _ in filled] if made is None else made

    def _shape(self, height: int, width: int, channels: int) -> tuple[int, int, int]:
        first = resolve_data_format(self.data_format) == "channels_first"
        return (channels, height, width) if first else (height, width, channels)

    def _pixel_values(self, source: Any, input_data_format: str | None, values: Any) -> tuple[np.ndarray, bool]:
        """The values, in the array given or a new one, and whether the image looks as if it had been rescaled before."""
        image = to_pixels(source, self.channels, input_data_format, self.do_normalize, self.do_exif_transpose)
        twice = bool(self.do_rescale and image.dtype != np.uint8 and image.min() >= 0 and image.max() <= 1)
        if self.do_resize:
            image, unit = to_eight_bits(image)
            image = pillow_resize(image, target_size(self.size, *image.shape[:2]), self.resample)
            if unit:
                image = (image.astype(np.float64) * (1 / 255)).astype(np.float32)
        if values is None:
            values = np.empty(self._shape(*image.shape), np.float32)
        first = resolve_data_format(self.data_format) == "channels_first"
        scale_pixels(image, self._scaling(), values if first else np.moveaxis(values, -1, 0))
        return values, twice

    def _scaling(self) -> Scaling:
        mean, std = (self.image_mean, self.image_std) if self.do_normalize else (None, None)
        return Scaling(self.rescale_factor if self.do_rescale else None, mean, std)

    def _labels(self, source: Any) -> np.ndarray:
        ids = to_class_ids(source)
        if self.do_reduce_labels:
            ids = np.where((ids == 0) | (ids == 255), 255, ids - 1)
        if self.do_resize:
            height, width = target_size(self.size, *ids.shape)
            image = Image.fromarray(ids.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
            ids = np.asarray(image).astype(np.int64)
        return ids


def _numbers(values: Any) -> float | list[float]:
    return float(values) if np.ndim(values) == 0 else [float(value) for value in values]


class SegformerFeatureExtractor(SegformerImageProcessor):
    """Old name of `SegformerImageProcessor`; making one gives a FutureWarning."""

    def __init__(self, *arguments: Any, **settings: Any):
        warnings.warn(
            "SegformerFeatureExtractor is the old name of SegformerImageProcessor; use the new one.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*arguments, **settings)
