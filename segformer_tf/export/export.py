"""A checkpoint as files for servers and other runtimes, each compared with the Keras model before it is kept."""

import importlib.util
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segformer_tf.bounds import smallest_side
from segformer_tf.checkpoints import check_finite
from segformer_tf.export import signatures, transformers_js
from segformer_tf.export.arguments import (
    MAX_PIXELS,
    check,
    check_floats,
    check_for_transformers_js,
    check_kept,
    check_resized,
)
from segformer_tf.export.formats import FILES
from segformer_tf.export.quantized import REPORT, Calibration, Quantized, quantize
from segformer_tf.export.saved_model import facts, next_version, write_saved_model
from segformer_tf.export.warmup import sample_picture
from segformer_tf.images.postprocess import post_process_semantic_segmentation
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.models.base import SegformerBase
from segformer_tf.models.layer_states import quantization_modes
from segformer_tf.pipelines.runtimes.description import Description
from segformer_tf.pipelines.runtimes.runtime import KerasModel, pixels_shape
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import staged

ANY_SIZE = (512, 512)  # of the warm-up and of the comparison, where any size would do
# Largest difference from the Keras model's logits that a file may have, as a share of the largest logit.
TOLERANCES = {"float32": 1e-3, "float16": 0.02, "int8": 0.2}


class Exported(NamedTuple):
    """What was written, and how far its logits are from the Keras model's.

    `difference` is the largest, `relative_difference` the same as a share of the largest logit; `same_labels` the share
    of pixels with the same label, None where there is no label map to compare.
    """

    path: Path
    difference: float
    relative_difference: float
    same_labels: float | None
    quantized: Quantized | None = None


@spell_checked
def export(
    model: SegformerBase,
    directory: str | os.PathLike,
    format: str = "saved_model",
    *,
    processor: SegformerImageProcessor | None = None,
    size: tuple[int, int] | None = None,
    batch: int | None = None,
    weights: str = "float32",
    calibration: Calibration | None = None,
    tolerance: float | None = None,
    picture: np.ndarray | None = None,
    names: Iterable[str] | None = None,
    labels_at: str = "map",
    max_pixels: int = MAX_PIXELS,
    program: str | None = None,
) -> Exported:
    """Writes a segmentation or classification model for one runtime and compares it with the model.

    `saved_model`: `directory/<next version>/` for TF Serving, with the signatures of `signatures.build`. The others
    write the model alone, `pixel_values` to `logits` in the model's data format: `model.keras`, `model.onnx`,
    `openvino_model.xml` and `.bin`, `model.tflite`. Everything appears whole or not at all.

    Args:
        processor: How pictures become pixels; default `SegformerImageProcessor()`.
        size: Height and width of the model's input. saved_model: what the processor resizes to (its own by default).
            onnx and openvino: the only size that the file takes (any by default). litert: always one, the processor's.
            keras: none.
        batch: How many pictures at a time onnx and openvino files take, and no other number (any by default; litert:
            always 1). With `size` and `batch` OpenVINO takes less than half the time.
        weights: "float32", "float16" or "int8", as stored in onnx, openvino and litert files; smaller weights make a
            smaller file, not a faster one.
        calibration: With weights "int8", openvino: pictures to compute in int8 by, which is faster where the
            processor has instructions for it; judged by a score. `quantization.json`, beside the file, tells the rest.
        tolerance: Largest difference kept, as a share of the largest logit; by default 0.001 for float32 weights, 0.02
            for float16, 0.2 for int8, any where `calibration` judges.
        picture: Not saved_model: the uint8 picture (H, W, channels) to compare on; default one made up.
        names, labels_at, max_pixels: saved_model: which signatures, the size of `labels`, the largest picture taken.
        program: onnx: "transformers.js" writes the folder that it loads, `onnx/model.onnx` with `config.json` and
            `preprocessor_config.json`, of a channels-first model.

    Raises:
        ValueError: An argument that does not fit, a model after `quantize` or with weights that are no numbers, a
            folder for transformers.js that holds another model, a file that differs more than the tolerance or loses
            more than the calibration allows (it is not kept).
        ImportError: The format needs a package that is not installed.
    """
    directory, processor = Path(directory), processor or SegformerImageProcessor()
    smallest = smallest_side(model.config)
    check(
        format,
        size,
        batch,
        weights,
        model.dtype_policy.name,
        smallest,
        picture=picture,
        calibration=calibration,
        names=names,
        labels_at=labels_at,
        max_pixels=max_pixels,
        program=program,
    )
    check_kept(directory, tolerance)
    check_floats(quantization_modes(model).values())
    check_finite({weight.path: np.asarray(weight) for weight in model.weights})
    if size is not None:
        processor = at_size(processor, size)
    check_resized(processor, smallest)
    if program is not None:
        check_for_transformers_js(model.data_format, model.config.num_channels, model.config.num_labels)
    tolerance = (np.inf if calibration else TOLERANCES[weights]) if tolerance is None else tolerance
    if format == "saved_model":
        return _export_saved_model(model, directory, processor, tolerance, names, labels_at, max_pixels)
    if format == "litert":
        size, batch = size or processor.fixed_size, 1
        if size is None:
            raise ValueError("LiteRT needs one fixed size, and the processor has none: give one, size or --size.")
    _check_packages(format, bool(calibration))
    about = Description.of_model(model, processor, size, **facts(model))
    file, beside = Path(FILES[format].file), {}
    if program is not None:
        file = Path(transformers_js.FOLDER, transformers_js.FILES[weights][0])
        beside = transformers_js.files_beside(directory, weights, about)
    return _export_runtime(
        model, directory, file, beside, about, format, batch, weights, tolerance, picture, calibration
    )


def _check_packages(format: str, calibrated: bool) -> None:
    packages, extra = FILES[format].packages, "export"
    if calibrated:
        packages, extra = packages + " nncf", "int8"
    modules = [package.replace("-", "_") for package in packages.split()]
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        raise ImportError(f"{format} needs {', '.join(missing)}: pip install 'segformer-tf[{extra}]'.")


def at_size(processor: SegformerImageProcessor, size: tuple[int, int]) -> SegformerImageProcessor:
    """The processor, resizing every picture to `size` (height, width)."""
    settings = {**processor.to_dict(), "do_resize": True, "size": {"height": size[0], "width": size[1]}}
    return SegformerImageProcessor.from_dict(settings)


def _export_saved_model(model, directory: Path, processor, tolerance, names, labels_at, max_pixels) -> Exported:
    functions = signatures.build(model, processor, names, labels_at, max_pixels)
    size = processor.fixed_size or ANY_SIZE
    version = ""

    def numbered() -> list[str]:  # while no other export can take the number
        nonlocal version
        version = str(next_version(directory))
        draft.rename(draft.with_name(version))
        return []

    with staged(directory, numbered) as stage:
        draft = stage / "version"
        difference, scale = write_saved_model(draft, model, processor, functions, size, directory.resolve().name)
        _check_difference("The SavedModel", difference, scale, tolerance)
    return Exported(directory / version, difference, _relative(difference, scale), None)


def _export_runtime(
    model, directory: Path, name: Path, beside, about, format, batch, weights, tolerance, picture, calibration
) -> Exported:
    """`name` in the directory, and the texts of `beside`, {name: text}, all at once."""
    runtime = FILES[format]
    pixels = np.repeat(_pixels(model, about.image_processor(), picture, about.size), batch or 1, axis=0)
    expected = KerasModel(model)(pixels)
    shape, quantized = pixels_shape(model, about.size, batch), None
    stale = [REPORT] * (format == "openvino" and not calibration)  # of an int8 file that goes now
    with staged(directory, lambda: stale, name.parts[:-1]) as draft, tempfile.TemporaryDirectory() as elsewhere:
        file = draft / name  # the .bin of OpenVINO moves before its .xml
        file.parent.mkdir(exist_ok=True)
        for other, text in beside.items():
            (draft / other).write_text(text, "utf-8")
        if calibration:
            full = Path(elsewhere, runtime.file)
            runtime.write(model, full, shape, "float32", about)
            quantized = quantize(full, file, runtime.load, calibration)
            (draft / REPORT).write_text(json.dumps(quantized.to_dict(), indent=1) + "\n", "utf-8")
        else:
            runtime.write(model, file, shape, weights, about)
        found = runtime.load(file)(pixels)
        difference, scale = float(np.abs(found - expected).max()), float(np.abs(expected).max())
        _check_difference(name.name, difference, scale, tolerance)
    same = _same_labels(found, expected, pixels)
    return Exported(directory / name, difference, _relative(difference, scale), same, quantized)


def _relative(difference: float, scale: float) -> float:
    return difference / scale if scale else difference  # 0 / 0: only labels and texts to compare


def _check_difference(what: str, difference: float, scale: float, tolerance: float) -> None:
    if not difference <= tolerance * scale:  # a NaN is not below anything
        raise ValueError(
            f"{what} gives logits up to {difference:.3g} away from the Keras model's, expected at most {tolerance:g} "
            f"of their largest value {scale:.3g}: it was not kept; choose larger weights, or raise the tolerance."
        )


def _same_labels(found: np.ndarray, expected: np.ndarray, pixels: np.ndarray) -> float | None:
    """Share of pixels whose labels agree at the input's size."""
    if expected.ndim != 4:
        return None
    size = pixels.shape[1:3]
    ours, theirs = (
        np.stack(post_process_semantic_segmentation(logits, [size] * len(pixels), data_format="channels_last"))
        for logits in (expected, found)
    )
    return float((ours == theirs).mean())


def _pixels(model, processor, picture, size) -> np.ndarray:
    """The picture as a runtime takes it, (1, H, W, C) float32."""
    channels = model.config.num_channels
    if picture is None:
        picture = sample_picture(*(size or processor.fixed_size or ANY_SIZE))
        picture = np.resize(np.moveaxis(picture, -1, 0), (channels, *picture.shape[:2]))
        picture = np.moveaxis(picture, 0, -1)
    batch = processor(picture, return_tensors="np", data_format="channels_last", input_data_format="channels_last")
    return batch["pixel_values"]
