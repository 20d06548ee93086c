"""int8 that computes in int8: the products of an OpenVINO file on 8-bit numbers, with ranges from pictures.

NNCF takes the ranges of all maps from the pictures (mixed preset, transformer mode). Then both files are judged; where
int8 loses more than it may, each part of the network is put back to float by itself and measured, and the parts that
gain most stay in float, until the loss is small enough.
"""

import contextlib
import io
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segformer_tf.images.probabilities import votes
from segformer_tf.pipelines.runtimes import openvino_files
from segformer_tf.pipelines.runtimes.measuring import least_seconds
from segformer_tf.pipelines.runtimes.runtime import Runtime
from segformer_tf.storage.keywords import spell_checked

REPORT = "quantization.json"
TIMED = 6  # runs of one picture
PRODUCTS = ("MatMul", "Convolution", "GroupConvolution")
MOST = {True: 0.5, False: 3.0}  # points that may be lost by default: of a score, of labels that stay the same
_PARTS = re.compile(r"(?:patch_embeddings|block|layer_norm)_(\d+)|(decode_head|classifier)")


@spell_checked
@dataclass(frozen=True)
class Calibration:
    """What int8's ranges are taken from, and how much it may lose.

    Args:
        pixels: Gives the pictures anew each time, (1, H, W, C) float32 as the processor makes them.
        score: The score of a runtime, 0 to 100, such as mIoU on labelled pictures. None: the share of labels that stay
            the same on the calibration pictures.
        max_drop: Points that may be lost: 0.5 of a score, 3 of labels that stay the same, if not given.
    """

    pixels: Callable[[], Iterable[np.ndarray]]
    score: Callable[[Runtime], float] | None = None
    max_drop: float | None = None


class Layer(NamedTuple):
    """One product of the file: where it stands in the network, and what it computes in."""

    name: str
    kind: str
    part: str
    precision: str


class Quantized(NamedTuple):
    """What int8 costs and gives.

    `before` and `after` are the scores in points, `parts` what each part gains in float, where that was measured,
    `faster` how many times as fast as the float32 file it is on this machine.
    """

    measure: str
    before: float
    after: float
    parts: dict[str, float]
    kept_in_float: list[str]
    layers: list[Layer]
    faster: float
    max_drop: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "layers": [layer._asdict() for layer in self.layers]}


def quantize(full: Path, path: Path, load: Callable[[Path], Runtime], calibration: Calibration) -> Quantized:
    """Writes `path`, the int8 form of the float32 file `full`.

    Raises:
        ValueError: There are no pictures, or int8 loses more than it may with every part's help.
    """
    float_runtime = load(full)
    first_pixels = next(iter(calibration.pixels()), None)
    if first_pixels is None:
        raise ValueError("There are no calibration pictures, expected at least one: give some.")
    measure = "label agreement" if calibration.score is None else "mIoU"
    score = calibration.score or _agreement(float_runtime, calibration)
    most = MOST[calibration.score is not None] if calibration.max_drop is None else calibration.max_drop
    first = float_runtime.description.data_format == "channels_first"

    def judged(parts: Iterable[str]) -> float:
        write_int8(full, path, pictures, [product.name for product in products if product.part in parts])
        return score(load(path))

    def as_the_file_takes_them() -> Iterable[np.ndarray]:
        for x in calibration.pixels():
            batch = np.repeat(x, float_runtime.batch or 1, axis=0)
            yield np.ascontiguousarray(np.moveaxis(batch, -1, 1)) if first else batch

    products, pictures = layers(full), _Again(as_the_file_takes_them)
    before, after = score(float_runtime), judged(())
    gains: dict[str, float] = {}
    kept: list[str] = []
    if before - after > most:
        every = list(dict.fromkeys(product.part for product in products))
        gains = {part: judged([part]) - after for part in every}
        for part in sorted(every, key=lambda part: -gains[part])[:-1]:
            kept.append(part)
            after = judged(kept)
            if before - after <= most:
                break
    if not before - after <= most:
        shown = ", ".join(f"{part} {gain:+.2f}" for part, gain in gains.items())
        raise ValueError(
            f"int8 gives {after:.2f} points of {measure} and float32 {before:.2f}: more than max_drop = {most:g} lost "
            f"(in float, parts gain: {shown}), so nothing was written. Give more calibration pictures of the kind that "
            "the model is for, or allow more."
        )
    faster = least_seconds(float_runtime, first_pixels, TIMED) / least_seconds(load(path), first_pixels, TIMED)
    return Quantized(measure, before, after, gains, kept, layers(path), faster, most)


def _agreement(float_runtime: Runtime, calibration: Calibration) -> Callable[[Runtime], float]:
    """The percentage of map positions (or pictures) whose label is the float file's."""
    expected = [votes(float_runtime(pixels)) for pixels in calibration.pixels()]

    def share(runtime: Runtime) -> float:
        pairs = zip(expected, calibration.pixels(), strict=True)
        return 100.0 * float(np.mean([(labels == votes(runtime(pixels))).mean() for labels, pixels in pairs]))

    return share


def _part(name: str) -> str | None:
    """The stage that a product belongs to, by its layer's name, or the head; None where the name does not say."""
    found = _PARTS.search(name)
    return (f"stage {int(found[1]) + 1}" if found[1] else "head") if found else None


def layers(path: Path) -> list[Layer]:
    """The products of an OpenVINO file in the order of computing.

    The converter leaves the names of some out: they go with those before.
    """
    openvino = openvino_files.load()
    rows, stage = [], "stage 1"
    for op in openvino.Core().read_model(path).get_ordered_ops():
        name, kind = op.get_friendly_name(), op.get_type_name()
        part = _part(name)
        stage = part if part and part != "head" else stage
        if kind in PRODUCTS:
            source = op.input_value(0).get_node().get_type_name()
            rows.append(Layer(name, kind, part or stage, "int8" if source == "FakeQuantize" else "float32"))
    return rows


def write_int8(full: Path, path: Path, pictures: "_Again", in_float: list[str]) -> None:
    """The file `full` with products in int8, but for those named `in_float`."""
    openvino, nncf = openvino_files.load(), openvino_files.load("nncf")
    nncf.set_log_level(logging.ERROR)
    model = openvino.Core().read_model(full)
    progress = io.StringIO()
    with openvino_files.interruptible(), contextlib.redirect_stdout(progress), contextlib.redirect_stderr(progress):
        made = nncf.quantize(
            model,
            nncf.Dataset(pictures),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(names=in_float) if in_float else None,
        )
    for old in (path, path.with_suffix(".bin")):  # a runtime may still read from it
        old.unlink(missing_ok=True)
    openvino_files.save(made, path, openvino_files.said(model, "model") or "")


class _Again:
    """An iterable that can be gone through several times, with its length."""

    def __init__(self, make: Callable[[], Iterable[np.ndarray]]):
        self.make, self.length = make, sum(1 for _ in make())

    def __iter__(self):
        return iter(self.make())

    def __len__(self):
        return self.length
