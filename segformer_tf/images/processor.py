"""SegformerImageProcessor: pictures and label maps -> `pixel_values` and `labels`, as transformers 4.57 makes them."""

from __future__ import annotations

import copy
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from segformer_tf.images.opening import to_class_ids, to_pixels
from segformer_tf.images.postprocess import post_process_semantic_segmentation
from segformer_tf.images.resize import METHOD, pillow_resize, resize, target_size
from segformer_tf.images.scaling import (
    Scaling,
    flatten,
    resolve_data_format,
    scale_pixels,
    scale_tensor,
    stack,
    to_eight_bits,
)
from segformer_tf.images.settings import Settings, newer_names
from segformer_tf.images.sizes import checked_side
from segformer_tf.storage.cores import cores
from segformer_tf.storage.keywords import check_keywords, keywords_of, spell_checked

if TYPE_CHECKING:
    import tensorflow as tf
    from typing_extensions import Self


class BatchFeature(dict):
    """A dict whose keys are attributes too: `batch["pixel_values"]` is `batch.pixel_values`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"BatchFeature has no field {name!r}; it has {', '.join(self)}.") from None


@spell_checked
class SegformerImageProcessor(Settings):
    """Resize, rescale, normalise, in this order; label maps are resized by "nearest". Its arguments: see `Settings`."""

    model_input_names = ["pixel_values"]

    def __call__(
        self, images: Any, segmentation_maps: Any = None, return_tensors: str | None = None, **overrides: Any
    ) -> BatchFeature:
        """Images -> `pixel_values` (B, H, W, C) float32, or (B, C, H, W); maps (H, W) -> `labels` (B, H, W) int64.

        One image or a list (path, bytes, PIL image, array or tensor with channels first or last). `return_tensors`:
        None (lists of arrays), "np" or "tf". Any constructor argument may be given for this call, and
        `input_data_format` where an array's channel axis cannot be told from its shape.
        Raises ValueError for other channels or values, and where images of several sizes are to be stacked.
        """
        given = {"segmentation_maps": segmentation_maps, "return_tensors": return_tensors}
        return self.preprocess(images, **given, **overrides)

    def preprocess(
        self, images: Any, segmentation_maps: Any = None, return_tensors: str | None = None, **overrides: Any
    ) -> BatchFeature:
        """What a call does; a subclass may override it, as those of transformers' processor do."""
        known = (*keywords_of(SegformerImageProcessor.preprocess), *keywords_of(Settings), "input_data_format")
        check_keywords(type(self).__name__, overrides, known)
        input_data_format = overrides.pop("input_data_format", None)
        settings = self._with(overrides)
        if return_tensors not in (None, "np", "tf"):
            raise ValueError(f"return_tensors is {return_tensors!r}; expected None, 'np' or 'tf'.")
        sources = flatten(images, 3)
        if not sources:
            raise ValueError("images is empty; expected at least one picture.")
        batch = BatchFeature(pixel_values=settings._all_pixel_values(sources, input_data_format))
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

    @spell_checked
    def pixels(self, source: Any, input_data_format: str | None = None, strict: bool | None = None) -> np.ndarray:
        """One picture of any kind -> (H, W, C), upright and in the range that the settings say; not resized.

        `strict` refuses other channels than the settings'; None: where they are normalised.
        """
        settings = {"exif": self.do_exif_transpose, "value_range": self.value_range, "page": self.page}
        strict = self.do_normalize if strict is None else strict
        return to_pixels(source, self.channels, input_data_format, strict, **settings)

    @spell_checked
    def preprocess_tensor(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 (H, W, C) or (B, H, W, C) -> float32 `pixel_values`, channels last, in TensorFlow ops only.

        Equals the call on arrays to the last bit, in eager code, `tf.function`, `tf.data` and exported models.
        """
        import tensorflow as tf

        self, image = self._with({}), tf.convert_to_tensor(image)
        if image.dtype != tf.uint8 or image.shape.rank not in (3, 4):
            raise ValueError(f"image is {image.dtype.name} {image.shape}; expected uint8 (H, W, C) or (B, H, W, C).")
        grey, channels = image.shape[-1] == 1 and self.channels == 3, self.channels
        if self.do_normalize and channels and not grey and image.shape[-1] not in (None, channels):
            raise ValueError(f"image has {image.shape[-1]} channels (shape {image.shape}); expected {channels}.")
        known, dynamic = image.shape[-3:-1], tf.unstack(tf.shape(image))[-3:-1]
        pairs = zip(known, dynamic, strict=True)
        height, width = (checked_side("image", there if side is None else side) for side, there in pairs)
        if self.do_resize:
            image = resize(image, target_size(self.size, height, width), METHOD[self.resample])
        return scale_tensor(tf.repeat(image, 3, axis=-1) if grey else image, self._scaling())

    @spell_checked
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

    def _with(self, overrides: dict[str, Any]) -> Self:
        """A copy with some settings replaced, all checked; None leaves the own value, as in transformers."""
        overrides = newer_names({name: value for name, value in overrides.items() if value is not None})
        changed = copy.copy(self)  # a subclass' methods and attributes stay
        for name, value in Settings(**{**self._settings(), **overrides})._settings().items():
            setattr(changed, name, value)
        return changed

    def _all_pixel_values(self, sources: list[Any], input_data_format: str | None) -> np.ndarray | list[np.ndarray]:
        """One array an image, or where the size is fixed one for all; made on all cores, as Pillow and NumPy allow."""
        made = None
        if self.do_resize and self.do_normalize and self.channels and "height" in self.size:
            shape = self._shape(self.size["height"], self.size["width"], self.channels)
            made = np.empty((len(sources), *shape), np.float32)

        def fill(place: int) -> tuple[np.ndarray, bool]:
            return self._pixel_values(sources[place], input_data_format, None if made is None else made[place])

        with ThreadPoolExecutor(min(len(sources), cores())) as threads:
            filled = list((threads.map if len(sources) > 1 else map)(fill, range(len(sources))))
        if any(twice for _, twice in filled):
            warnings.warn("image has values from 0 to 1 and is rescaled again; set do_rescale=False.", stacklevel=4)
        return [values for values, _ in filled] if made is None else made

    def _shape(self, height: int, width: int, channels: int) -> tuple[int, int, int]:
        first = resolve_data_format(self.data_format) == "channels_first"
        return (channels, height, width) if first else (height, width, channels)

    def _pixel_values(self, source: Any, input_data_format: str | None, values: Any) -> tuple[np.ndarray, bool]:
        """The values, in the array given or a new one, and whether the image seems to have been rescaled before."""
        image = self.pixels(source, input_data_format)
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
        return Scaling(float(self.rescale_factor) if self.do_rescale else None, mean, std)

    def _labels(self, source: Any) -> np.ndarray:
        ids = to_class_ids(source, self.do_exif_transpose, self.page)
        if self.do_reduce_labels:
            ids = np.where((ids == 0) | (ids == 255), 255, ids - 1)
        if self.do_resize:
            height, width = target_size(self.size, *ids.shape)
            image = Image.fromarray(ids.astype(np.int32)).resize((width, height), Image.Resampling.NEAREST)
            ids = np.asarray(image).astype(np.int64)
        return ids


class SegformerFeatureExtractor(SegformerImageProcessor):
    """Old name of `SegformerImageProcessor`; making one gives a FutureWarning."""

    def __init__(self, *arguments: Any, **settings: Any):
        warnings.warn(
            "SegformerFeatureExtractor is the old name of SegformerImageProcessor; use the new one.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*arguments, **settings)
