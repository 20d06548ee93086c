"""Whether a probability means what it says: reliability, expected calibration error, a temperature that mends it."""

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.config import SegformerConfig
from segformer_tf.data.splits import UNLABELLED, Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.images.bilinear import neighbours
from segformer_tf.images.merging import Box
from segformer_tf.pipelines.predict import Predictor
from segformer_tf.pipelines.runtimes.description import TEMPERATURE
from segformer_tf.pipelines.runtimes.runtime import Runtime
from segformer_tf.storage.read import read_json
from segformer_tf.storage.whole import whole, write_text
from segformer_tf.training.scoring.accuracy import PROTOCOL, check_softmax, outcomes
from segformer_tf.training.scoring.protocols import Protocol
from segformer_tf.training.sources import Source, as_read_by, readers

BINS = 15  # of the confidence, as wide each, as Guo et al. (2017) have them
PIXELS = 2000  # of each picture that a temperature is fitted on
COLDEST, WARMEST = 0.05, 20.0


class Reliability:
    """Confidences 0 to 1 and whether each was right, counted in 15 bins.

    Args:
        of: What is counted, "pixels" or "pictures".
    """

    def __init__(self, of: str = "pixels"):
        self.of = of
        self.sums = np.zeros((3, BINS))  # pixels, their confidence, those that are right

    def add(self, confidence: np.ndarray, right: np.ndarray) -> None:
        """Two arrays of one shape."""
        confidence = np.asarray(confidence, np.float64).ravel()
        place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
        for row, weight in zip(self.sums, (None, confidence, right.ravel()), strict=True):
            row += np.bincount(place, weight, BINS)

    def result(self) -> dict[str, Any]:
        """`ECE`, `confidence`, `accuracy` of all, and `bins` [{"from", "to", "pixels", "confidence", "accuracy"}].

        The expected calibration error is the mean distance of confidence and accuracy, bins weighed by their pixels.
        Of a classifier "pictures" in place of "pixels".
        """
        pixels, confidence, right = self.sums
        total = pixels.sum()
        if not total:
            raise ValueError(
                f"no {self.of[:-1]} is labelled, expected some: a model cannot be calibrated on this split."
            )
        bins = [
            {
                "from": i / BINS,
                "to": (i + 1) / BINS,
                self.of: int(pixels[i]),
                "confidence": confidence[i] / pixels[i] if pixels[i] else None,
                "accuracy": right[i] / pixels[i] if pixels[i] else None,
            }
            for i in range(BINS)
        ]
        error = float(np.abs(confidence - right).sum() / total)
        return {"ECE": error, "confidence": confidence.sum() / total, "accuracy": right.sum() / total, "bins": bins}


class Sampler:
    """What a `Merger` is to label maps, to the logits of some pixels: their mean over the windows that cover them."""

    def __init__(self, rows: np.ndarray, columns: np.ndarray):
        self.rows, self.columns = rows, columns
        self.total: Any = 0.0
        self.count = np.zeros((len(rows), 1))

    def add(self, logits: np.ndarray, box: Box, variant: int) -> None:
        """Logits (h, w, C) of a box, resized bilinearly with half-pixel centres."""
        if logits.shape[-1] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], -1)
        top, bottom, down = neighbours(self.rows, box.top, box.height, logits.shape[0])
        left, right, across = neighbours(self.columns, box.left, box.width, logits.shape[1])
        down, across = down[:, np.newaxis], across[:, np.newaxis]
        above = logits[top, left] * (1 - across) + logits[top, right] * across
        below = logits[bottom, left] * (1 - across) + logits[bottom, right] * across
        inside = (self.rows >= box.top) & (self.rows < box.bottom)
        inside &= (self.columns >= box.left) & (self.columns < box.right)
        self.total = self.total + np.where(inside[:, np.newaxis], above * (1 - down) + below * down, 0)
        self.count += inside[:, np.newaxis]

    def finish(self, until: float) -> None:
        pass

    @property
    def logits(self) -> np.ndarray:
        """(N, C) of the pixels."""
        return self.total / self.count


def sampled_logits(
    runtime: Runtime,
    source: Source,
    protocol: Protocol,
    processor: SegformerImageProcessor,
    per_picture: int = PIXELS,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Logits (N, C) and class ids (N,) of labelled pixels drawn from every picture."""
    if len(protocol.scales) > 1 or protocol.flip:
        raise ValueError(
            f"protocol is {protocol}; expected one scale and no flip, since a temperature is of logits, which several "
            "scales do not have together: leave them out."
        )
    random = np.random.default_rng(seed)
    predictor, found, truths = Predictor(runtime, processor), [], []
    for number, read in enumerate(readers(as_read_by(source, processor))):
        image, labels = read()
        protocol.check(image.shape[:2], f"picture {number}")
        places = np.flatnonzero(labels != UNLABELLED)
        if not len(places):
            continue
        places = random.choice(places, min(per_picture, len(places)), replace=False)
        job = predictor.job(image, protocol.how, labels.shape)
        job.merger = Sampler(*np.unravel_index(places, labels.shape))
        found.append(predictor.answer(job).logits)
        truths.append(labels.ravel()[places])
    if not found:
        raise ValueError("no pixel is labelled, expected some: a model cannot be calibrated on this split.")
    return np.concatenate(found).astype(np.float64), np.concatenate(truths)


def classified(runtime: Runtime, split: Split, processor: SegformerImageProcessor) -> tuple[np.ndarray, np.ndarray]:
    """A classifier's logits (N, C) and the class ids (N,) of a split's pictures."""
    config = SegformerConfig.from_dict(runtime.description.config)
    check_softmax(runtime, config)
    labels, logits = zip(*outcomes(runtime, config, split, processor, None, 8), strict=True)
    return np.stack(logits).astype(np.float64), np.array(labels)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The number that logits (N, C) are divided by for the least cross-entropy to labels (N,); 0.05 to 20.

    The cross-entropy is convex in its inverse, so the search by golden sections finds the one minimum.
    """
    low, high = 1 / WARMEST, 1 / COLDEST
    ratio = (5**0.5 - 1) / 2
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    losses = [cross_entropy(logits * value, labels) for value in inner]
    while high - low > 1e-5 * high:
        if losses[0] < losses[1]:
            high, inner[1], losses[1] = inner[1], inner[0], losses[0]
            inner[0] = high - ratio * (high - low)
            losses[0] = cross_entropy(logits * inner[0], labels)
        else:
            low, inner[0], losses[0] = inner[0], inner[1], losses[1]
            inner[1] = low + ratio * (high - low)
            losses[1] = cross_entropy(logits * inner[1], labels)
    return float(2 / (low + high))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Of logits (N, C) and class ids (N,), mean."""
    shifted = logits - logits.max(-1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(-1)) - shifted[np.arange(len(labels)), labels]).mean())


def calibrate(
    runtime: Runtime, source: Source, protocol: Protocol, processor: SegformerImageProcessor, seed: int = 0
) -> dict[str, Any]:
    """Fits a temperature on 2000 labelled pixels of each picture, or for a classifier on the pictures.

    Returns:
        `temperature`, `before` and `after`: each `Reliability.result` with `loss`, the cross-entropy, over these
        pixels; `protocol`, `pixels` (or `pictures`). The temperature is of logits as they are, whatever the model had
        before.
    """
    if isinstance(source, Split) and not source.has_masks:
        of, told = "pictures", PROTOCOL
        protocol.check_classifier()
        logits, labels = classified(runtime, source, processor)
    else:
        of, told = "pixels", str(protocol)
        logits, labels = sampled_logits(runtime, source, protocol, processor, seed=seed)
    temperature = fit_temperature(logits, labels)
    if temperature < 1.01 * COLDEST or temperature > WARMEST / 1.01:
        warnings.warn(
            f"the temperature {temperature:.4f} is at the end of {COLDEST} to {WARMEST}, where the search stops: the "
            f"{len(labels)} {of} are all right, or tell nothing of the probabilities; calibrate on other pictures.",
            stacklevel=2,
        )
    found: dict[str, Any] = {"temperature": temperature, "protocol": told, of: len(labels)}
    for name, value in (("before", 1.0), ("after", temperature)):
        shifted = np.exp((logits - logits.max(-1, keepdims=True)) / value)
        counted = Reliability(of)
        counted.add(1 / shifted.sum(-1), logits.argmax(-1) == labels)
        found[name] = {"loss": cross_entropy(logits / value, labels), **counted.result()}
    return found


def figures() -> Any:
    """matplotlib's Figure, of the extra `[report]`; ImportError that says so where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("a reliability diagram needs matplotlib: pip install 'segformer-tf[report]'.") from None
    return Figure


def draw(results: Sequence[tuple[str, dict[str, Any]]], file: str | Path) -> None:
    """The reliability diagram of (title, `Reliability.result`) as a picture; needs the extra `[report]`, matplotlib."""
    figure = figures()(figsize=(4.2 * len(results), 4.2), layout="constrained")
    for place, (title, result) in enumerate(results, 1):
        axes = figure.add_subplot(1, len(results), place)
        full = [row for row in result["bins"] if row["accuracy"] is not None]
        axes.bar(
            [row["from"] for row in full], [row["accuracy"] for row in full], 1 / BINS, align="edge", edgecolor="k"
        )
        axes.plot([0, 1], [0, 1], "k--")
        axes.plot([row["confidence"] for row in full], [row["accuracy"] for row in full], "o", color="tab:red")
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
        axes.set_title(f"{title}: ECE {result['ECE']:.4f}")
    with whole(file) as draft:
        figure.savefig(draft, dpi=100)


def config_of(model: str | Path) -> Path:
    """The config.json that a temperature is saved in: of a directory, or of the best weights of a run.

    Raises:
        ValueError: The model is no directory of the user's: it is bundled, on the Hub, or one file.
    """
    for directory in (Path(model), Path(model) / "best"):
        if (directory / "config.json").is_file():
            return directory / "config.json"
    raise ValueError(f"{model} is no directory with a config.json to save the temperature in: give --output.")


def write_temperature(config: Path, temperature: float) -> None:
    """Adds it to a config.json, whose other keys stay as they are."""
    values = read_json(config, "a model's configuration")
    write_text(config, json.dumps({**values, TEMPERATURE: temperature}, indent=2) + "\n")


def save_into(model: Any, temperature: float, directory: str | Path) -> None:
    """Saves a model with its temperature into another directory."""
    model.save_pretrained(directory)
    write_temperature(Path(directory) / "config.json", temperature)
