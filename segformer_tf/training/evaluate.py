"""The score of a model on a data set, and the protocol it was measured by."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.config import SegformerConfig
from segformer_tf.data.classes import label_map
from segformer_tf.data.splits import UNLABELLED, Split
from segformer_tf.images import SegformerImageProcessor, label_image, palette_for
from segformer_tf.models.metrics import confusion, scores
from segformer_tf.models.network import to_boundary
from segformer_tf.pipelines import overlap
from segformer_tf.pipelines.description import class_names
from segformer_tf.pipelines.exported import exported_file, open_exported
from segformer_tf.pipelines.predict import How, Predictor
from segformer_tf.pipelines.runtimes import KerasModel, Runtime
from segformer_tf.pipelines.windows import STRIDE, WINDOW
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import whole
from segformer_tf.training.augment import Augmentation, normalize
from segformer_tf.training.datasets import Source, pictures


class Row(NamedTuple):
    """One protocol: the rule that pictures are resized by, whether whole or in windows, and in words."""

    resize: str
    mode: str
    words: str


LOSS_PICTURES = 16  # at most, that the validation loss is taken of, so that it costs little beside the scores
PROTOCOLS = {
    "plain": Row("none", "whole", "whole picture at its own size"),
    "processor": Row("processor", "whole", "whole picture, resized as the model's processor does"),
    "ade20k": Row("ade20k", "whole", "whole picture, fitted into 2048 x 512, sides rounded up to a multiple of 32"),
    "slide": Row("none", "slide", "windows of {0} x {1} every {2} x {3} pixels"),
}


@spell_checked
@dataclass(frozen=True)
class Protocol:
    """How a picture comes to the model. The prediction is always compared at the mask's own size.

    Args:
        name: "plain": whole, at its own size; "processor": whole, as the model's processor resizes it; "ade20k": whole,
            fitted into 2048 x 512, sides rounded up to 32; "slide": in windows, at its own size.
        window, stride: Height and width, for "slide".
        scales, flip: Several sizes, and mirror images; class probabilities are averaged.
    """

    name: str = "plain"
    window: tuple[int, int] = WINDOW
    stride: tuple[int, int] = STRIDE
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False

    def __post_init__(self) -> None:
        if self.name not in PROTOCOLS:
            raise ValueError(
                f"protocol is {self.name!r}, expected plain, processor, ade20k or slide: choose one of these."
            )
        _ = self.how  # which checks the numbers

    @property
    def how(self) -> How:
        """The same for a predictor."""
        row = PROTOCOLS[self.name]
        return How(row.mode, row.resize, self.window, self.stride, self.scales, self.flip)

    def __str__(self) -> str:
        how = PROTOCOLS[self.name].words.format(*self.window, *self.stride)
        single = tuple(self.scales) == (1.0,)
        scales = "single scale" if single else f"scales {', '.join(f'{scale:g}' for scale in self.scales)}"
        flip = "flip" if self.flip else "no flip"
        end = "" if single and not self.flip else ", class probabilities averaged"
        return f"{self.name}: {how}; {scales}, {flip}, logits resized bilinearly to the mask's size{end}"


@dataclass(frozen=True)
class Prediction:
    """One picture (H, W, 3) uint8 with its truth and prediction, (H, W) ids."""

    image: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray


@spell_checked
def predictions(
    model: Any,
    source: Source,
    protocol: Protocol | str = "plain",
    processor: SegformerImageProcessor | None = None,
    batch_size: int = 8,
    ignore_index: int | None = None,
) -> Iterator[Prediction]:
    """Every picture of a segmentation data set, in order, with what the model (or exported file) says.

    Args:
        ignore_index: The label of pixels that do not count; None: the model's own.
    """
    protocol = Protocol(protocol) if isinstance(protocol, str) else protocol
    runtime = runtime_of(model)
    ignored = (
        runtime.description.config.get("semantic_loss_ignore_index", UNLABELLED)
        if ignore_index is None
        else ignore_index
    )
    processor = processor or runtime.description.image_processor() or SegformerImageProcessor(do_resize=False)
    task = overlap.Task(
        read=lambda pair: (pair[0].numpy(), tuple(pair[1].shape)),
        finish=lambda pair, pixels, merged: Prediction(pixels, pair[1].numpy(), merged.labels),
        how=protocol.how,
    )
    for found in overlap.many(Predictor(runtime, processor, batch_size), task, pictures(source, ignored)):
        if isinstance(found, overlap.Failed):
            raise found.error
        yield found


def runtime_of(model: Any) -> Runtime:
    """A Keras model, an exported file by its path, or a runtime, as a runtime."""
    if isinstance(model, Runtime):
        return model
    if not isinstance(model, (str, os.PathLike)):
        return KerasModel(model)
    if exported := exported_file(model):
        return open_exported(exported)
    raise ValueError(f"{model} is no exported file; expected one, or a model that from_pretrained has loaded.")


@spell_checked
def evaluate(
    model: Any,
    source: Source,
    protocol: Protocol | str = "plain",
    processor: SegformerImageProcessor | None = None,
    dump: str | Path | None = None,
    map_classes: Mapping[str | int, str | int | None] | None = None,
    batch_size: int = 8,
) -> dict[str, Any]:
    """Scores as fractions: `mIoU`, `mAcc`, `aAcc`, `per_class` [{"id", "name", "IoU", "Acc"}], `protocol`, `images`.

    A classifier's are `accuracy`, `per_class` [{"id", "name", "Acc"}], `protocol`, `images`. What a class that never
    occurs would score is None.

    Args:
        model: A Keras model, or the path of a file that `export` wrote.
        dump: Directory that every prediction is written to, as a palette PNG named like its picture.
        map_classes: Which class of the model each class of the data set is, by name or id; None leaves it out. Needed
            where they differ.

    Raises:
        ValueError: The data set's classes are others than the model's; shows both.
    """
    runtime = runtime_of(model)
    config = SegformerConfig.from_dict(runtime.description.config)
    protocol = Protocol(protocol) if isinstance(protocol, str) else protocol
    if isinstance(source, Split) and not source.has_masks:
        return _evaluate_classes(runtime, config, source, processor, batch_size)
    names = class_names(config)
    data_names = source.id2label if isinstance(source, Split) else {}
    ids_of = label_map(names, data_names, map_classes, config.semantic_loss_ignore_index)
    total, images = np.zeros((len(names), len(names)), np.int64), 0
    unlabelled = None if map_classes is None else UNLABELLED  # as the data set's own ids have it, until they are mapped
    for found in predictions(runtime, source, protocol, processor, batch_size, unlabelled):
        total += confusion(ids_of(found.labels), found.predicted, len(names), config.semantic_loss_ignore_index)
        if dump is not None:
            _dump(Path(dump), source, images, found.predicted, names)
        images += 1
    return summary(total, names, str(protocol), images)


def summary(matrix, id2label: dict[int, str], protocol: str, images: int) -> dict[str, Any]:
    """The scores of a confusion matrix as `evaluate` gives them."""
    found = scores(matrix)
    per_class = [
        {"id": i, "name": id2label[i], **{key: _known(found[key][i]) for key in ("IoU", "Acc", "Dice")}}
        for i in id2label
    ]
    means = {key: _known(found[key]) for key in ("mIoU", "mAcc", "aAcc", "mDice")}
    return {**means, "per_class": per_class, "protocol": protocol, "images": images}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _dump(directory: Path, source: Source, number: int, predicted: np.ndarray, id2label) -> None:
    named = isinstance(source, Split) and not source.shards
    name = source.images[number].stem if named else f"{number:06}"
    with whole(directory / f"{name}.png") as draft:
        label_image(predicted, palette_for(id2label)).save(draft)


def _evaluate_classes(
    runtime: Runtime, config: SegformerConfig, split: Split, processor: SegformerImageProcessor | None, batch_size: int
) -> dict[str, Any]:
    processor = processor or runtime.description.image_processor() or SegformerImageProcessor()
    hits, total = np.zeros(config.num_labels), np.zeros(config.num_labels)
    task = overlap.Task(
        read=lambda pair: (pair[0].numpy(), None),
        finish=lambda pair, pixels, found: (int(pair[1]), int(found.logits.argmax())),
        how=How(),
    )
    for found in overlap.many(Predictor(runtime, processor, batch_size), task, pictures(split)):
        if isinstance(found, overlap.Failed):
            raise found.error
        true, predicted = found
        total[true] += 1
        hits[true] += true == predicted
    per_class = [
        {"id": i, "name": name, "Acc": hits[i] / total[i] if total[i] else None} for i, name in config.id2label.items()
    ]
    return {
        "accuracy": hits.sum() / total.sum(),
        "per_class": per_class,
        "protocol": "whole picture, resized as the model's processor does",
        "images": int(total.sum()),
    }


class ValidationLoss:
    """Mean cross-entropy over some pictures, each whole and at its own size, weighed alike."""

    def __init__(self, model: keras.Model, source: Source, how: Augmentation):
        pairs = pictures(source, model.config.semantic_loss_ignore_index).take(LOSS_PICTURES)
        self.pairs = pairs.map(lambda image, labels: (normalize(tf.cast(image, tf.float32), how)[None], labels[None]))

        def loss(pixel_values, labels):
            return model(to_boundary(pixel_values, model.data_format), labels=labels, training=False).loss

        self._loss = tf.function(loss, autograph=False, reduce_retracing=True)

    def take(self) -> float:
        """The loss of the weights as they are."""
        return float(tf.reduce_mean([self._loss(*pair) for pair in self.pairs]))
