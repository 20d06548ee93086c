"""What `preprocessor_config.json` holds: the settings of an image processor, checked, read and written."""

from __future__ import annotations

import copy
import functools
import json
import os
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segformer_tf.images.resize import METHOD
from segformer_tf.images.scaling import IMAGENET_MEAN, IMAGENET_STD, check_value_range, resolve_data_format
from segformer_tf.images.sizes import parse_size
from segformer_tf.storage import find
from segformer_tf.storage.keywords import also_called, check_keywords, drop_without_effect, keywords_of, spell_checked
from segformer_tf.storage.read import read_json
from segformer_tf.storage.whole import write_text

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_CHANNELS = 4096  # as a configuration's
NUMBERS = {name: number for number, name in METHOD.items()} | {"nearest-exact": 0}  # torchvision's names too
OWN = ("data_format", "do_exif_transpose", "value_range", "page")  # not known to transformers: written only if set


def newer_names(values: dict[str, Any]) -> dict[str, Any]:
    """Arguments with `reduce_labels` under its newer name, `do_reduce_labels`, which wins where both are given."""
    values = dict(values)
    old = values.pop("reduce_labels", None)
    return values if old is None else {"do_reduce_labels": old, **values}


def _by_newer_names(init: Any) -> Any:
    """A constructor whose signature has the old name too; inside, defaults would hide which was given."""

    @functools.wraps(init)
    def call(self: Any, *args: Any, **keywords: Any) -> None:
        init(self, *args, **newer_names(keywords))

    return call


class Settings:
    """An image processor's arguments, under the keys of the Hub's files.

    `size` is height and width; it may also be an int (square), a pair, or {"shortest_edge": n} (keeps the ratio).
    Images of another number of channels than 3 need `image_mean` and `image_std` of that length; a number alone is for
    as many channels as the other has, or if both are numbers an array or tensor, or a pipeline's model.
    `data_format` None is Keras' own setting.
    `do_exif_transpose` None turns files and bytes as their EXIF tag says, and leaves arrays and PIL images as they lie.
    `value_range` is (black, white) of data of over 8 bits, such as (0, 4095); without it 16 bits are 0 to 65535. `page`
    of a TIFF of several counts from 1. `reduce_labels` is the old name of `do_reduce_labels`, which wins where both are
    given. What else a file has is kept and written back by `save_pretrained`.
    """

    @_by_newer_names
    def __init__(
        self,
        do_resize: bool = True,
        size: dict[str, int] | int | tuple[int, int] | None = None,
        resample: int | str = 2,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | list[float] | None = None,
        image_std: float | list[float] | None = None,
        do_reduce_labels: bool = False,
        data_format: str | None = None,
        do_exif_transpose: bool | None = None,
        value_range: tuple[float, float] | None = None,
        page: int | None = None,
        *,
        reduce_labels: bool | None = None,  # `_by_newer_names` has made it the newer one
    ):
        switches = {"do_resize": do_resize, "do_rescale": do_rescale, "do_normalize": do_normalize}
        switches |= {"do_reduce_labels": do_reduce_labels, "do_exif_transpose": do_exif_transpose or False}
        for name, value in switches.items():
            if not isinstance(value, (bool, np.bool_)):
                raise ValueError(f"{name} is {value!r:.100}; expected true or false.")
        if not isinstance(rescale_factor, Real) or not np.isfinite(rescale_factor):
            raise ValueError(f"rescale_factor is {rescale_factor!r:.100}; expected a number.")
        if page is not None and (not isinstance(page, Integral) or isinstance(page, bool)):
            raise ValueError(f"page is {page!r:.100}; expected a whole number from 1.")
        self.do_resize = _own(do_resize)
        self.size = parse_size({"height": 512, "width": 512} if size is None else size)
        resample = NUMBERS.get(str(getattr(resample, "value", resample)).lower(), resample)
        if not isinstance(resample, (int, float)) or resample not in METHOD:
            raise ValueError(
                f"resample is {resample!r}; expected one of Pillow's filters, a number from 0 to 5 or its name."
            )
        self.resample = int(resample)
        self.do_rescale = _own(do_rescale)
        self.rescale_factor = _own(rescale_factor)
        self.do_normalize = _own(do_normalize)
        self.image_mean = _numbers(IMAGENET_MEAN if image_mean is None else image_mean)
        self.image_std = _numbers(IMAGENET_STD if image_std is None else image_std)
        self.do_reduce_labels = _own(do_reduce_labels)
        self.data_format = data_format
        self.do_exif_transpose = _own(do_exif_transpose)
        self.value_range = check_value_range(value_range)
        self.page = _own(page)
        self.other: dict[str, Any] = {}
        lengths = [len(values) for values in (self.image_mean, self.image_std) if isinstance(values, list)]
        if len({*lengths}) > 1:
            raise ValueError(f"image_mean has {lengths[0]} values and image_std {lengths[1]}; expected as many.")
        if do_normalize and not np.all(self.image_std):
            raise ValueError(f"image_std is {self.image_std}; expected no zero.")
        resolve_data_format(data_format)

    @property
    def reduce_labels(self) -> bool:
        """`do_reduce_labels`, under its old name."""
        return self.do_reduce_labels

    @reduce_labels.setter
    def reduce_labels(self, value: bool) -> None:
        self.do_reduce_labels = value

    @property
    def channels(self) -> int | None:
        """How many every image has; None: as many as an array has, files and PIL images 3."""
        return next((len(each) for each in (self.image_mean, self.image_std) if isinstance(each, list)), None)

    def for_channels(self, number: int) -> Self:
        """This, or where `image_mean` and `image_std` are numbers alone a copy for images of so many channels."""
        if self.channels is not None:
            return self
        changed = copy.copy(self)
        changed.image_mean, changed.image_std = [self.image_mean] * number, [self.image_std] * number
        return changed

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) of every picture after the processor, or None where that depends on the picture."""
        return (self.size["height"], self.size["width"]) if self.do_resize and "height" in self.size else None

    @classmethod
    @also_called(image_processor_dict="config")
    def from_dict(cls, config: dict[str, Any], **overrides: Any) -> Self:
        """From the contents of a `preprocessor_config.json`; a null there means the default."""
        known = (*keywords_of(Settings), *keywords_of(cls))
        given = {name: value for name, value in config.items() if value is not None or name not in known}
        given.pop("image_processor_type", None)
        own = {key: value for key, value in given.items() if key in known}
        processor = cls(**newer_names(own) | newer_names(overrides))
        processor.other = {key: value for key, value in given.items() if key not in known}
        return processor

    @classmethod
    @also_called(pretrained_model_name_or_path="name_or_path")
    def from_pretrained(cls, name_or_path: str | os.PathLike, *, or_default: bool = False, **overrides: Any) -> Self:
        """From a Hub id, a directory, a `.json` file, what lies beside a weight file, or a bundled model.

        `overrides` are constructor arguments; `revision`, `cache_dir`, `token`, `local_files_only` and `subfolder` say
        where on the Hub. `or_default` gives the default processor where a checkpoint has none.
        A `data_format` in the file is not taken over: transformers' processors for PyTorch write their own there.
        """
        drop_without_effect(overrides)
        where = find.pop_hub_arguments(overrides)
        known = (*keywords_of(Settings), *keywords_of(cls), *find.HUB_ARGUMENTS, "or_default")
        check_keywords("from_pretrained", overrides, known)
        path = Path(name_or_path)
        if path.is_file() and path.suffix == ".json" and path.name not in ("config.json", *find.WEIGHT_FILES):
            found = path
        else:
            found = find.find_processor(name_or_path, **where)
        if found is None and not or_default:
            raise FileNotFoundError(f"{name_or_path} has neither {' nor '.join(find.PROCESSOR_FILES)}.")
        config = read_json(found, "the settings of an image processor") if found else {}
        config = config["image_processor"] if isinstance(config.get("image_processor"), dict) else config
        try:
            return cls.from_dict({key: value for key, value in config.items() if key != "data_format"}, **overrides)
        except (TypeError, ValueError, OverflowError) as error:
            if found and not overrides:
                raise ValueError(f"{found}: {error}") from None
            raise

    def to_dict(self) -> dict[str, Any]:
        subclass = {name: vars(self)[name] for name in keywords_of(type(self)) if name in vars(self)}
        own = {name: value for name, value in self._settings().items() if name not in OWN or value is not None}
        kind = {"image_processor_type": "SegformerImageProcessor"}
        return copy.deepcopy({**self.other, **{k: v for k, v in subclass.items() if k not in OWN}, **own, **kind})

    def to_json_string(self) -> str:
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @spell_checked
    def save_pretrained(self, save_directory: str | os.PathLike) -> list[str]:
        """Write `preprocessor_config.json`, whole or not at all; returns the paths of the files."""
        path = Path(save_directory, find.PROCESSOR_FILES[0])
        write_text(path, self.to_json_string())
        return [str(path)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def _settings(self) -> dict[str, Any]:
        """What the constructor here takes and nothing else that a program may have set, under the newer names."""
        return {name: getattr(self, name) for name in keywords_of(Settings) if name != "reduce_labels"}


def _own(value: Any) -> Any:
    """A value of NumPy as Python's own, which JSON takes."""
    return value.item() if isinstance(value, np.generic) else value


def _numbers(values: Any) -> float | list[float]:
    try:
        found = float(values) if np.ndim(values) == 0 else [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if not np.isfinite(found).all() or np.size(found) > MAX_CHANNELS:
        raise ValueError(f"image_mean or image_std is {values!r:.100}; expected at most {MAX_CHANNELS} numbers.")
    return found
