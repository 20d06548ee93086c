"""What an exported file says about itself, so that nothing is needed beside it: classes, colours, pixels, version."""

import json
import math
import operator
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf import __version__
from segformer_tf.checkpoints.layouts import CLASSIFICATION, SEGMENTATION
from segformer_tf.config import SegformerConfig
from segformer_tf.images.palettes import palette_with
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.pipelines.runtimes import checksum
from segformer_tf.storage.read import MAX_BYTES, parse_json, understanding

TEMPERATURE = "calibration_temperature"  # of config.json: what `calibrate` found that logits are to be divided by
COLORS = "class_colors"  # of config.json: {name: [red, green, blue]}, as the data set has them that was trained on
FORMAT = 1  # raised when what is written changes so that older versions cannot read it
SAVED_MODEL_FILE = Path("assets.extra", "model.json")  # a SavedModel's description
KEY = "segformer_tf"  # of the text in ONNX's metadata and OpenVINO's rt_info
APPENDED_FILE = "segformer_tf.json"  # LiteRT's, in a zip behind the model, where LiteRT keeps such files
TASKS = {task.class_name: task for task in (SEGMENTATION, CLASSIFICATION)}


@dataclass(frozen=True)
class Description:
    """A model without its weights.

    Attributes:
        model: The class of the model.
        config, processor: As `config.json` and `preprocessor_config.json` hold them; `processor` may be None.
        data_format: How `pixel_values` and `logits` lie.
        size: The only (height, width) that the file takes, or None.
        extra: Other things that a file says (`weights_sha256`, `versions`, `signatures`, ...).
    """

    model: str
    config: dict[str, Any]
    processor: dict[str, Any] | None = None
    data_format: str = "channels_last"
    size: tuple[int, int] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1 where nobody has calibrated the model."""
        value = self.config.get(TEMPERATURE, 1.0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
            raise ValueError(f"{TEMPERATURE} is {value!r}, expected a number above 0: correct config.json.")
        return float(value)

    @classmethod
    def of_model(cls, model: Any, processor: Any = None, size: tuple[int, int] | None = None, **extra: Any):
        """A Keras model's."""
        settings = processor.to_dict() if processor is not None else None
        names = [
            each.__name__ for each in type(model).__mro__
        ]  # a user's subclass is described as what it is made from
        name = next((name for name in names if name in TASKS), names[0])
        return cls(name, model.config.to_dict(), settings, model.data_format, size, extra)

    @classmethod
    def parse(cls, text: str | bytes | None, path: str | os.PathLike):
        """From the text in a file; ValueError where there is none, or a newer version wrote it."""
        try:
            found = parse_json(text, str(path), "the description of a model") if text else None
        except ValueError:
            found = None
        if found is None or "config" not in found or "class" not in found:
            raise ValueError(
                f"{path} does not say which SegFormer it is: it is another program's, or an older version's; write it "
                "again with segformer-tf export."
            )
        with understanding(str(path), "the description of a model"):
            return cls._understood(found, path)

    @classmethod
    def _understood(cls, found: dict[str, Any], path: str | os.PathLike):
        written = found.get("format", FORMAT)
        if type(written) is not int or written > FORMAT:
            versions = found.get("versions")
            by = versions.get("segformer_tf") if isinstance(versions, dict) else "of an unknown version"
            raise ValueError(
                f"{path} was written by segformer-tf {by} (format {written!r:.40}), and this is {__version__} (format "
                f"{FORMAT}): install the newer one."
            )
        known = ("class", "config", "processor", "data_format", "size", "format", "classes")
        extra = {key: value for key, value in found.items() if key not in known}
        data_format, size = found.get("data_format", "channels_last"), found.get("size") or None
        if data_format not in ("channels_last", "channels_first"):
            raise ValueError(f"data_format is {data_format!r}, expected channels_last or channels_first.")
        if size is not None:
            height, width = map(operator.index, size)
            size = height, width
            if min(size) < 1:
                raise ValueError(f"size is {height} x {width}, expected two numbers above 0.")
        made = cls(found["class"], found["config"], found.get("processor"), data_format, size, extra)
        class_palette(SegformerConfig.from_dict(made.config))  # these raise for what no SegFormer has
        _ = made.temperature, made.image_processor()
        return made

    def text(self) -> str:
        """What `parse` reads; class names and colours stand in it once more, for programs that are not this one."""
        values = asdict(self)
        extra, name = values.pop("extra"), values.pop("model")
        rows = class_rows(SegformerConfig.from_dict(self.config))
        return json.dumps({"format": FORMAT, "class": name, **values, "classes": rows, **extra}, indent=1) + "\n"

    @property
    def task(self) -> str | None:
        """ "segmentation" or "classification"; None for another class of model."""
        return TASKS[self.model].name if self.model in TASKS else None

    def check_shapes(self, path: str | os.PathLike, pixel_values: Sequence[Any], logits: Sequence[Any]) -> None:
        """Raises ValueError where the shapes that a file takes and gives are not those of this model.

        A number that depends on the call is None, a name or below 0. That of the channels never does, so where it
        seems to, they lie on the other axis.
        """
        config = SegformerConfig.from_dict(self.config)
        first = self.data_format == "channels_first"
        axis, other = (1, -1) if first else (-1, 1)
        changed = "it was changed after it was written; write it again with segformer-tf export."
        for what, shape, said in (
            ("channels", pixel_values, config.num_channels),
            ("classes", logits, config.num_labels),
        ):
            shape = [side if isinstance(side, int) and side >= 0 else None for side in shape]
            found = shape[axis] if len(shape) == 4 else shape[-1]
            if len(shape) == 4 and found is None and shape[other] is not None:
                found = "any number"
            if found not in (None, said):
                raise ValueError(
                    f"{path} says that its model has {said} {what}, {self.data_format}, and has {found} there: "
                    f"{changed}"
                )
            sides = tuple(shape[2:] if first else shape[1:3])
            if what == "channels" and None not in sides and sides != self.size:
                told = "any size" if self.size is None else "{} x {} pixels".format(*self.size)
                raise ValueError(
                    f"{path} says that it takes {told}, and takes {sides[0]} x {sides[1]} alone: {changed}"
                )

    def channels_last(self) -> "Description":
        """The same, for a file that takes pixels channels-last."""
        return replace(self, data_format="channels_last")

    def image_processor(self) -> SegformerImageProcessor | None:
        """The processor that pictures are made into pixels by."""
        return SegformerImageProcessor.from_dict(self.processor) if self.processor else None


def class_rows(config: SegformerConfig) -> list[dict[str, Any]]:
    """[{"id", "name", "color"}], as `classes.json` of a data set has them."""
    names, colors = class_names(config), class_palette(config).tolist()
    return [{"id": i, "name": names[i], "color": colors[i]} for i in range(len(names))]


def class_names(config: SegformerConfig) -> dict[int, str]:
    """Names by id; a model of one class says where it is, and 0 is the rest."""
    return dict(config.id2label) if config.num_labels > 1 else {0: "background", 1: config.id2label[0]}


def class_palette(config: SegformerConfig) -> np.ndarray:
    """Colours (C, 3) uint8 of `class_names`: the config's own, and for classes that it has none for, others.

    They are kept by name, so that a head of other classes does not get them. Raises ValueError for what are no colours.
    """
    names, own = class_names(config), getattr(config, COLORS, None)
    own = {} if own is None else own
    if not isinstance(own, dict) or not all(map(_is_color, own.values())):
        wanted = 'three numbers 0 to 255 for each class\'s name, {"road": [128, 64, 128], ...}'
        raise ValueError(f"{COLORS} is {own!r:.200}, expected {wanted}: correct config.json.")
    return palette_with(names, {i: own[name] for i, name in names.items() if name in own})


def set_classes(config: SegformerConfig, names: Mapping[int, str], colors: Mapping[int, Sequence[int]]) -> None:
    """Keeps the names that a data set gives its classes, by id, where the config has LABEL_0 ..., and their colours.

    Names of another number, and no colours, leave those that the config has.
    """
    unnamed = all(name == f"LABEL_{i}" for i, name in config.id2label.items())
    if unnamed and names.keys() == class_names(config).keys():
        config.id2label = dict(names) if config.num_labels > 1 else {0: names[1]}
    own = {name: list(map(int, colors[i])) for i, name in class_names(config).items() if i in colors}
    if own:
        setattr(config, COLORS, own)


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)


def of_saved_model(directory: str | os.PathLike) -> bytes | None:
    """The text in a SavedModel, which `parse` decodes; None where it has none."""
    file = Path(directory) / SAVED_MODEL_FILE
    return file.read_bytes() if file.is_file() else None


def append(path: str | os.PathLike, text: str) -> None:
    """Puts a description and the file's checksum behind a LiteRT model."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(APPENDED_FILE, text)
        archive.comment = checksum.PLACEHOLDER.encode()
    checksum.stamp(path)


def read_appended(path: str | os.PathLike) -> bytes | None:
    """What `append` put there, which `parse` decodes; None where that is nothing, or damaged."""
    with open(path, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
            return archive.read(APPENDED_FILE) if archive.getinfo(APPENDED_FILE).file_size <= MAX_BYTES else None
        except Exception:  # zipfile raises what it likes of a damaged one: BadZipFile, OSError, zlib.error, ...
            return None
