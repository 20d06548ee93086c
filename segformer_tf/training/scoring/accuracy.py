"""How often a classifier is right."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from segformer_tf.config import SegformerConfig
from segformer_tf.data.naming import ids_to_model
from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.pipelines import overlap
from segformer_tf.pipelines.description import class_names
from segformer_tf.pipelines.predict import How, Predictor
from segformer_tf.pipelines.runtimes import Runtime
from segformer_tf.training.sources import Item, as_read_by, items

LEFT_OUT = -1


def accuracy(
    runtime: Runtime,
    config: SegformerConfig,
    split: Split,
    processor: SegformerImageProcessor | None,
    map_classes: Mapping[str | int, str | int | None] | None,
    batch_size: int,
) -> dict[str, Any]:
    """`accuracy`, `per_class` [{"id", "name", "Acc"}], `protocol`, `images`, which counts those of mapped classes.

    Args:
        map_classes: As `evaluate` takes it.

    Raises:
        ValueError: The model has one class, or others than the data set and `map_classes` does not say which.
    """
    if config.num_labels == 1:
        raise ValueError(f"{runtime.source} has one class, expected several: a score of one has no accuracy.")
    ids_of = ids_to_model(class_names(config), split.id2label, map_classes, LEFT_OUT)
    processor = processor or runtime.description.image_processor() or SegformerImageProcessor()
    hits, total = np.zeros(config.num_labels), np.zeros(config.num_labels)

    def read(item: Item):
        pixels, item.target = item.read()
        return pixels, None

    task = overlap.Task(
        read=read,
        finish=lambda item, pixels, found: (int(ids_of(np.asarray(item.target))), int(found.logits.argmax())),
        how=How(),
    )
    for found in overlap.many(Predictor(runtime, processor, batch_size), task, items(as_read_by(split, processor))):
        if isinstance(found, overlap.Failed):
            raise found.error
        true, predicted = found
        if true >= config.num_labels:
            raise ValueError(
                f"a picture has the class {true}, expected 0 to {config.num_labels - 1}, the model's: take data with "
                "the model's classes, or say with map_classes which is which."
            )
        if true != LEFT_OUT:
            total[true] += 1
            hits[true] += true == predicted
    per_class = [
        {"id": i, "name": name, "Acc": hits[i] / total[i] if total[i] else None} for i, name in config.id2label.items()
    ]
    return {
        "accuracy": hits.sum() / total.sum() if total.any() else None,
        "per_class": per_class,
        "protocol": "whole picture, resized as the model's processor does (without one, to 512 x 512)",
        "images": int(total.sum()),
    }
