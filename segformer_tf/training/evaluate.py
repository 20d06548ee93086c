"""The score of a model on a data set, and the protocol it was measured by."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.images import SegformerImageProcessor, label_image, palette_for, resize
from segformer_tf.models.losses import full_size_logits
from segformer_tf.models.metrics import confusion, scores
from segformer_tf.pipelines.windows import spans
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import whole
from segformer_tf.training.datasets import Source, pictures
from segformer_tf.training.splits import Split

ADE20K_SIDES = (2048, 512)  # long and short side that ADE20K's pictures are fitted into


@spell_checked
@dataclass(frozen=True)
class Protocol:
    """How a picture comes to the model. The prediction is always compared at the mask's own size.

    Args:
        name: "plain": whole, at its own size; "processor": whole, as the model's processor resizes it; "ade20k": whole,
            fitted into 2048 x 512, sides rounded up to 32; "slide": in windows, at its own size.
        window, stride: Height and width, for "slide".
    """

    name: str = "plain"
    window: tuple[int, int] = (1024, 1024)
    stride: tuple[int, int] = (768, 768)

    def __post_init__(self) -> None:
        if self.name not in ("plain", "processor", "ade20k", "slide"):
            raise ValueError(
                f"protocol is {self.name!r}, expected plain, processor, ade20k or slide: choose one of these."
            )

    def __str__(self) -> str:
        how = {
            "plain": "whole picture at its own size",
            "processor": "whole picture, resized as the model's processor does",
            "ade20k": "whole picture, fitted into 2048 x 512, sides rounded up to a multiple of 32",
            "slide": f"windows of {self.window[0]} x {self.window[1]} every {self.stride[0]} x {self.stride[1]} pixels",
        }[self.name]
        return f"{self.name}: {how}; single scale, no flip, logits resized bilinearly to the mask's size"


@dataclass(frozen=True)
class Prediction:
    """One picture (H, W, 3) uint8 with its truth and prediction, (H, W) ids."""

    image: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray


@spell_checked
def predictions(
    model, source: Source, protocol: Protocol | str = "plain", processor: SegformerImageProcessor | None = None
) -> Iterator[Prediction]:
    """Every picture of a segmentation data set, in order, with what the model says."""
    protocol = Protocol(protocol) if isinstance(protocol, str) else protocol
    processor = processor or SegformerImageProcessor(do_resize=False)
    plain = SegformerImageProcessor(do_resize=False, image_mean=processor.image_mean, image_std=processor.image_std)
    logits_of = tf.function(lambda x: _logits(model, x), autograph=False, reduce_retracing=True)

    def whole(image, labels):
        fitted = resize(image, _ade20k_size(image.shape)) if protocol.name == "ade20k" else image
        chosen = processor if protocol.name == "processor" else plain
        return full_size_logits(logits_of(chosen.preprocess_tensor(fitted)[None]), labels[None])[0]

    for image, labels in pictures(source):
        if protocol.name == "slide":
            logits = _slide(plain.preprocess_tensor(image), protocol, logits_of, model.config.num_labels)
        else:
            logits = whole(image, labels)
        yield Prediction(image.numpy(), labels.numpy(), tf.argmax(logits, -1, output_type=tf.int32).numpy())


def _logits(model, pixel_values):
    """(B, H, W, C) -> (B, h, w, num_labels), whatever data format the model has."""
    if model.data_format == "channels_last":
        return model(pixel_values, training=False).logits
    logits = model(tf.transpose(pixel_values, (0, 3, 1, 2)), training=False).logits
    return tf.transpose(logits, (0, 2, 3, 1))


def _ade20k_size(shape) -> tuple[int, int]:
    height, width = int(shape[0]), int(shape[1])
    factor = min(max(ADE20K_SIDES) / max(height, width), min(ADE20K_SIDES) / min(height, width))
    rounded = [math.ceil(int(side * factor + 0.5) / 32) * 32 for side in (height, width)]
    return rounded[0], rounded[1]


def _slide(image, protocol: Protocol, logits_of, num_labels: int):
    """Mean of the full-size logits of overlapping windows, as MMSegmentation scores.

    `images.windows.slide` averages on the grid of logits instead, in a sixteenth of the memory.
    """
    size = [int(side) for side in image.shape[:2]]
    total, count = np.zeros((*size, num_labels), np.float32), np.zeros((*size, 1), np.float32)
    for top, bottom in spans(size[0], protocol.window[0], protocol.stride[0]):
        for left, right in spans(size[1], protocol.window[1], protocol.stride[1]):
            place = (slice(top, bottom), slice(left, right))
            part = image[place][None]
            total[place] += full_size_logits(logits_of(part), part)[0].numpy()
            count[place] += 1
    return total / count


@spell_checked
def evaluate(
    model,
    source: Source,
    protocol: Protocol | str = "plain",
    processor: SegformerImageProcessor | None = None,
    dump: str | Path | None = None,
) -> dict[str, Any]:
    """Scores as fractions: `mIoU`, `mAcc`, `aAcc`, `per_class` [{"id", "name", "IoU", "Acc"}], `protocol`, `images`.

    A classifier's are `accuracy`, `per_class` [{"id", "name", "Acc"}], `protocol`, `images`. What a class that never
    occurs would score is None.

    Args:
        dump: Directory that every prediction is written to, as a palette PNG named like its picture.
    """
    if isinstance(source, Split) and not source.has_masks:
        return _evaluate_classes(model, source, processor)
    num_labels, ignored = model.config.num_labels, model.config.semantic_loss_ignore_index
    total, images = np.zeros((num_labels, num_labels), np.int64), 0
    for found in predictions(model, source, protocol, processor):
        total += confusion(found.labels, found.predicted, num_labels, ignored)
        if dump is not None:
            _dump(Path(dump), source, images, found.predicted, model.config.id2label)
        images += 1
    return summary(
        total, model.config.id2label, str(Protocol(protocol) if isinstance(protocol, str) else protocol), images
    )


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


def _evaluate_classes(model, split: Split, processor: SegformerImageProcessor | None) -> dict[str, Any]:
    processor = processor or SegformerImageProcessor()
    hits, total = np.zeros(model.config.num_labels), np.zeros(model.config.num_labels)
    for images, ids in pictures(split).map(lambda x, y: (processor.preprocess_tensor(x), y)).batch(32):
        images = tf.transpose(images, (0, 3, 1, 2)) if model.data_format == "channels_first" else images
        found = keras.ops.argmax(model(images, training=False).logits, -1).numpy()
        np.add.at(total, ids.numpy(), 1)
        np.add.at(hits, ids.numpy(), found == ids.numpy())
    per_class = [
        {"id": i, "name": name, "Acc": hits[i] / total[i] if total[i] else None}
        for i, name in model.config.id2label.items()
    ]
    return {
        "accuracy": hits.sum() / total.sum(),
        "per_class": per_class,
        "protocol": "whole picture, resized as the model's processor does",
        "images": int(total.sum()),
    }
