"""The score of a model on a data set, and the protocol it was measured by."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.bounds import smallest_side
from segformer_tf.config import SegformerConfig
from segformer_tf.data.files import names_below
from segformer_tf.data.naming import ids_to_model
from segformer_tf.data.splits import UNLABELLED, Split
from segformer_tf.images import SegformerImageProcessor, label_image
from segformer_tf.models.network import to_boundary
from segformer_tf.pipelines import overlap
from segformer_tf.pipelines.predict import Predictor
from segformer_tf.pipelines.runtimes.description import class_names, class_palette
from segformer_tf.pipelines.runtimes.exported import exported_file, open_exported
from segformer_tf.pipelines.runtimes.runtime import KerasModel, Runtime
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import whole
from segformer_tf.training.augment import Augmentation, normalize
from segformer_tf.training.scoring.accuracy import accuracy
from segformer_tf.training.scoring.calibration import Reliability
from segformer_tf.training.scoring.corruptions import corrupt
from segformer_tf.training.scoring.groups import Groups, read_groups
from segformer_tf.training.scoring.protocols import Protocol
from segformer_tf.training.scoring.tally import Tally
from segformer_tf.training.sources import Item, Source, as_read_by, items, readers

LOSS_PICTURES = 16  # at most, that the validation loss is taken of, so that it costs little beside the scores


@dataclass(frozen=True)
class Prediction:
    """One picture (H, W, 3) uint8 with its truth and prediction, (H, W) ids; each pixel's probability if asked for."""

    image: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray | None = None


@spell_checked
def predictions(
    model: Any,
    source: Source,
    protocol: Protocol | str = "plain",
    processor: SegformerImageProcessor | None = None,
    batch_size: int = 8,
    ignore_index: int | None = None,
    *,
    scores: bool = False,
    corruption: tuple[str, int] | None = None,
) -> Iterator[Prediction]:
    """Every picture of a segmentation data set, in order, with what the model (or exported file) says.

    Args:
        processor: None: the one that an exported file has, or the default, as in pipelines.
        ignore_index: The label of pixels that do not count; None: the model's own.
        scores: Also the probability of each pixel's label.
        corruption: Name and severity, 1 to 5, of what is done to the pictures first.
    """
    protocol = Protocol(protocol) if isinstance(protocol, str) else protocol
    runtime, name_of = runtime_of(model), names_of(source)
    ignored = (
        runtime.description.config.get("semantic_loss_ignore_index", UNLABELLED)
        if ignore_index is None
        else ignore_index
    )
    processor = processor or runtime.description.image_processor() or SegformerImageProcessor()
    processor = processor.for_channels(runtime.description.config.get("num_channels", 3))
    source = as_read_by(source, processor)

    def read(item: Item):
        pixels, item.target = item.read()
        protocol.check(pixels.shape[:2], name_of(item.number))
        return pixels if corruption is None else corrupt(pixels, *corruption, item.number), item.target.shape

    task = overlap.Task(
        read=read,
        finish=lambda item, pixels, merged: Prediction(pixels, item.target, merged.labels, merged.scores),
        how=dataclasses.replace(protocol.how, scores=scores),
    )
    for found in overlap.many(Predictor(runtime, processor, batch_size), task, items(source, ignored)):
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
    *,
    boundary: bool = False,
    intervals: bool = False,
    groups: str | Path | Groups | None = None,
    calibration: bool = False,
    corruption: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """Scores as fractions: `mIoU`, `mAcc`, `aAcc`, `mDice`, `per_class` with the same, `protocol`, `images`.

    A classifier's are `accuracy`, `per_class` [{"id", "name", "Acc"}], `protocol`, `images`. What a class that never
    occurs would score is None.

    Args:
        model: A Keras model, or the path of a file that `export` wrote.
        processor: None: the one that an exported file has, or the default, as in pipelines.
        dump: Directory that every prediction is written to, as a palette PNG named like its picture (with its
            folders, where two pictures have one name).
        map_classes: Which class of the model each class of the data set is, by name or id; None leaves it out. Needed
            where they differ; a class that it does not name is the model's of the same name.
        boundary: Also boundary IoU (Cheng et al. 2021).
        intervals: Also intervals of 95 % for the means and each IoU (of a classifier for `accuracy` and `top5`), by
            bootstrap over pictures. Pictures of one video
            are alike, so for them the true intervals are wider.
        groups: Also the scores of classes together, {"flat": ["road", "sidewalk"], ...}, a JSON file of that, or
            "cityscapes".
        calibration: Also `calibration`: the expected calibration error of the probabilities and its bins.
        corruption: Name and severity, 1 to 5, of what is done to the pictures first.

    Raises:
        ValueError: The data set's classes are others than the model's; shows both. `map_classes` names a class that is
            not there or twice, or lacks one that has no other of its name. The protocol does not fit the data. `dump`
            is a directory of the data set's own files.
    """
    runtime = runtime_of(model)
    config = SegformerConfig.from_dict(runtime.description.config)
    protocol = Protocol(protocol) if isinstance(protocol, str) else protocol
    has_classes = isinstance(source, Split) and not source.has_masks
    if runtime.classifies != has_classes:
        kinds = ("a segmentation model", "masks"), ("a classifier", "a class for each picture")
        (model_is, _), (_, data_has) = kinds[runtime.classifies], kinds[has_classes]
        raise ValueError(f"{runtime.source} is {model_is}, and the data has {data_has}: give data of the model's kind.")
    if has_classes:
        protocol.check_classifier()
        if dump is not None or boundary or groups or corruption:
            raise ValueError(
                "dump, boundary, groups and corruption are of masks, and the data set has none: leave them out."
            )
        reliability = Reliability("pictures") if calibration else None
        result = accuracy(runtime, config, source, processor, map_classes, batch_size, intervals, reliability)
        return result if reliability is None else {**result, "calibration": _calibrated(runtime, reliability)}
    names = class_names(config)
    data_names = source.id2label if isinstance(source, Split) else {}
    ids_of = ids_to_model(names, data_names, map_classes, config.semantic_loss_ignore_index)
    chosen = None if groups is None else read_groups(groups, names)
    tally = Tally(names, config.semantic_loss_ignore_index, boundary, intervals, chosen)
    unlabelled = None if map_classes is None else UNLABELLED  # as the data set's own ids have it, until they are mapped
    reliability, name_of = Reliability() if calibration else None, names_of(source)
    palette = class_palette(config)
    if dump is not None:
        _check_dump(Path(dump), source, name_of)
    asked = {"scores": calibration, "corruption": corruption}
    for found in predictions(runtime, source, protocol, processor, batch_size, unlabelled, **asked):
        if dump is not None:
            with whole(Path(dump) / f"{name_of(tally.images)}.png") as draft:
                label_image(found.predicted, palette).save(draft)
        labels = ids_of(found.labels)
        tally.add(labels, found.predicted)
        if reliability is not None and found.scores is not None:
            counted = labels != config.semantic_loss_ignore_index
            reliability.add(found.scores[counted], (labels == found.predicted)[counted])
    result = tally.result(str(protocol.of(runtime)))
    if reliability is not None:
        result["calibration"] = _calibrated(runtime, reliability)
    return result


def _check_dump(directory: Path, source: Source, name_of: Callable[[int], str]) -> None:
    """ValueError where a prediction would take the place of a picture or mask of the data set."""
    if not isinstance(source, Split):
        return
    own = {file.resolve() for file in (*source.images, *source.targets) if isinstance(file, Path)}
    for number in range(len(source)):
        if (target := directory / f"{name_of(number)}.png").resolve() in own:
            raise ValueError(f"dump would replace {target}, a file of the data set: name another directory.")


def _calibrated(runtime: Runtime, reliability: Reliability) -> dict[str, Any]:
    return {"temperature": runtime.description.temperature, **reliability.result()}


def names_of(source: Source) -> Callable[[int], str]:
    """Number -> a picture's name without suffix, with its folders where two have one name; the number if it has none.

    Folders are those below the one that all pictures share.
    """
    if not isinstance(source, Split) or source.shards:
        return "{:06}".format
    names = [image.stem for image in source.images]
    return (names if len(set(names)) == len(names) else names_below(source.images)).__getitem__


class ValidationLoss:
    """Mean cross-entropy over some pictures, each whole and at its own size, weighed alike."""

    def __init__(self, model: keras.Model, source: Source, how: Augmentation):
        self._how = how
        found = readers(source, model.config.semantic_loss_ignore_index, smallest_side(model.config))
        self._readers = list(itertools.islice(found, LOSS_PICTURES))

        def loss(pixel_values, labels):
            return model(to_boundary(pixel_values, model.data_format), labels=labels, training=False).loss

        self._loss = tf.function(loss, autograph=False, reduce_retracing=True)

    def take(self) -> float:
        """The loss of the weights as they are."""
        return float(np.mean([self._of(*read()) for read in self._readers]))

    def _of(self, image: np.ndarray, labels: np.ndarray) -> float:
        pixel_values = normalize(tf.cast(image, tf.float32), self._how)[None]
        return float(self._loss(pixel_values, tf.constant(labels)[None]))
