"""How often a classifier is right."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from segformer_tf.config import SegformerConfig
from segformer_tf.data.naming import ids_to_model, made_up
from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.images.probabilities import softmax
from segformer_tf.pipelines import overlap
from segformer_tf.pipelines.predict import How, Predictor
from segformer_tf.pipelines.runtimes.description import class_names
from segformer_tf.pipelines.runtimes.runtime import Runtime
from segformer_tf.training.scoring.tally import LEVEL, RESAMPLES, between
from segformer_tf.training.sources import Item, as_read_by, items

LEFT_OUT = -1
PROTOCOL = "whole picture, resized as the model's processor does (without one, to 512 x 512)"


def accuracy(
    runtime: Runtime,
    config: SegformerConfig,
    split: Split,
    processor: SegformerImageProcessor | None,
    map_classes: Mapping[str | int, str | int | None] | None,
    batch_size: int,
    intervals: bool = False,
    reliability: Any = None,
) -> dict[str, Any]:
    """`accuracy`, `per_class` [{"id", "name", "Acc"}], `protocol`, `images`, which counts those of mapped classes.

    Of more than five classes also `top5`: how often the true class is among the five most probable.

    Args:
        intervals: Also `intervals` of 95 % for both, by bootstrap over pictures.
        reliability: A `Reliability` to add each picture's probability to, of its likeliest class.
    """
    if reliability is not None:
        check_softmax(runtime, config)
    total, right = np.zeros((2, config.num_labels))
    first_five = 0
    for true, logits in outcomes(runtime, config, split, processor, map_classes, batch_size):
        if true == LEFT_OUT:
            continue
        total[true] += 1
        right[true] += logits.argmax() == true
        first_five += true in np.argsort(-logits, kind="stable")[:5]
        if reliability is not None:
            surest = softmax(logits.astype(np.float64) / runtime.description.temperature).max()
            reliability.add(surest, np.equal(logits.argmax(), true))
    count = int(total.sum())
    per_class = [
        {"id": i, "name": name, "Acc": right[i] / total[i] if total[i] else None} for i, name in config.id2label.items()
    ]
    hits = {"accuracy": int(right.sum()), **({"top5": first_five} if config.num_labels > 5 else {})}
    if intervals and count < 2:
        raise ValueError(f"intervals need several pictures, found {count}: take a split with more, or leave them out.")
    return {
        **{name: value / count if count else None for name, value in hits.items()},
        "per_class": per_class,
        "protocol": PROTOCOL,
        "images": count,
        **({"intervals": _resampled(hits, count)} if intervals else {}),
    }


def _resampled(hits: Mapping[str, int], count: int, seed: int = 0) -> dict[str, Any]:
    """What the shares of so many pictures are between in 95 % of resamples: a binomial draw each."""
    random = np.random.default_rng(seed)
    shares = {name: random.binomial(count, value / count, RESAMPLES) / count for name, value in hits.items()}
    return {"level": LEVEL, "resamples": RESAMPLES, "seed": seed, **{name: between(v) for name, v in shares.items()}}


def check_softmax(runtime: Runtime, config: SegformerConfig) -> None:
    """Raises ValueError for a classifier whose scores are no probabilities of classes that exclude each other."""
    if config.problem_type not in (None, "single_label_classification"):
        raise ValueError(
            f"{runtime.source} has the problem_type {config.problem_type!r}, expected 'single_label_classification', "
            "whose probabilities alone can be calibrated: leave calibration out."
        )


def outcomes(
    runtime: Runtime,
    config: SegformerConfig,
    split: Split,
    processor: SegformerImageProcessor | None,
    map_classes: Mapping[str | int, str | int | None] | None,
    batch_size: int,
) -> Iterator[tuple[int, np.ndarray]]:
    """The true class (`LEFT_OUT`: none of the model's) and the logits (C,) of each picture, in order.

    Args:
        map_classes: As `evaluate` takes it.

    Raises:
        ValueError: The model has one class, or others than the data set and `map_classes` does not say which.
    """
    if config.num_labels == 1:
        raise ValueError(f"{runtime.source} has one class, expected several: a score of one has no accuracy.")
    names = list(config.id2label.values())
    if map_classes is None and made_up(names) and 0 < len(split.id2label) < len(names):
        raise ValueError(
            f"the data set has {len(split.id2label)} folders of classes, and the model {len(names)} classes without "
            "names: the order of folders says which is which only where there are as many; say it with map_classes."
        )
    ids_of = ids_to_model(class_names(config), split.id2label, map_classes, LEFT_OUT)
    processor = processor or runtime.description.image_processor() or SegformerImageProcessor()

    def read(item: Item):
        pixels, item.target = item.read()
        return pixels, None

    task = overlap.Task(
        read=read,
        finish=lambda item, pixels, found: (int(ids_of(np.asarray(item.target))), np.asarray(found.logits)),
        how=How(),
    )
    for found in overlap.many(Predictor(runtime, processor, batch_size), task, items(as_read_by(split, processor))):
        if isinstance(found, overlap.Failed):
            raise found.error
        if (true := found[0]) >= config.num_labels:
            raise ValueError(
                f"a picture has the class {true}, expected 0 to {config.num_labels - 1}, the model's: take data with "
                "the model's classes, or say with map_classes which is which."
            )
        yield found
