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
from segformer_tf.export import signatures
from segformer_tf.export.arguments import check, check_program, check_resized, check_scope
from segformer_tf.export.formats import FILES
from segformer_tf.export.picture_bytes import MAX_PIXELS
from segformer_tf.export.quantized import REPORT, Calibration, Quantized, quantize
from segformer_tf.export.saved_model import facts, next_version, write_saved_model
from segformer_tf.export.warmup import sample_picture
from segformer_tf.images.postprocess import post_process_semantic_segmentation
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.images.resize import PILLOW_VERSION
from segformer_tf.models.base import SegformerBase
from segformer_tf.models.layer_states import quantization_modes
from segformer_tf.pipelines.description import Description, class_rows
from segformer_tf.pipelines.runtimes import KerasModel, pixels_shape
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import staged

# transformers.js's names of ONNX files, in a folder `onnx`, and of the kinds of weights in them.
TRANSFORMERS_JS = {
    "float32": ("model.onnx", "fp32"),
    "float16": ("model_fp16.onnx", "fp16"),
    "int8": ("model_quantized.onnx", "q8"),
}
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
        ValueError: An argument that does not fit, a model after `quantize` or with weights that are no numbers, a file
            that differs more than the tolerance or loses more than the calibration allows (it is not kept).
        ImportError: The format needs a package that is not installed.
    """
    directory, processor = Path(directory), processor or SegformerImageProcessor()
    smallest = smallest_side(model.config)
    check(format, size, batch, weights, model.dtype_policy.name, smallest)
    check_scope(format, size, picture, names, labels_at, max_pixels)
    if modes := {*quantization_modes(model).values()}:
        raise ValueError(
            f"The model is quantized ({', '.join(modes)}), expected one of floats: export it before `quantize`, such "
            'as with weights="int8", or keep this one by `model.save("model.keras")`.'
        )
    check_finite({weight.path: np.asarray(weight) for weight in model.weights})
    if size is not None:
        processor = at_size(processor, size)
    check_resized(processor, smallest)
    if calibration and (weights != "int8" or format != "openvino"):
        raise ValueError(
            f'calibration is for weights "int8" and openvino; weights is {weights!r} for {format}: leave it out, or '
            "change these (ONNX Runtime and LiteRT are slower in int8 than in float32)."
        )
    if program is not None:
        check_program(model, format, program)
    tolerance = (np.inf if calibration else TOLERANCES[weights]) if tolerance is None else tolerance
    if format == "saved_model":
        return _export_saved_model(model, directory, processor, tolerance, names, labels_at, max_pixels)
    name, kind = TRANSFORMERS_JS[weights]
    file = directory / (FILES[format].file if program is None else f"onnx/{name}")
    exported = _export_runtime(model, file, format, processor, size, batch, weights, tolerance, picture, calibration)
    if program is not None:
        with staged(directory) as draft:
            (draft / "config.json").write_text(_config_of_transformers_js(model, kind), "utf-8")
            (draft / "preprocessor_config.json").write_text(processor.to_json_string(), "utf-8")
    return exported


def _config_of_transformers_js(model: SegformerBase, kind: str) -> str:
    """`config.json` with the classes' colours, Pillow's version, and which weights are loaded where nobody says."""
    about = Description.of_model(model)
    more = {
        "architectures": [about.model.removeprefix("TF")],
        "palette": [row["color"] for row in class_rows(model.config)],
        "transformers.js_config": {"dtype": kind},
        "pillow_version": list(PILLOW_VERSION),  # the page without a server resizes as this one does
    }
    values = json.loads(model.config.to_json_string())
    return json.dumps({**values, **more}, indent=2, sort_keys=True) + "\n"


def at_size(processor: SegformerImageProcessor, size: tuple[int, int]) -> SegformerImageProcessor:
    """The processor, resizing every picture to `size` (height, width)."""
    settings = {**processor.to_dict(), "do_resize": True, "size": {"height": size[0], "width": size[1]}}
    return SegformerImageProcessor.from_dict(settings)


def _export_saved_model(model, directory: Path, processor, tolerance, names, labels_at, max_pixels) -> Exported:
    functions = signatures.build(model, processor, names, labels_at, max_pixels)
    size = processor.fixed_size or ANY_SIZE
    with staged(directory) as stage:
        draft = stage / "version"
        difference, scale = write_saved_model(draft, model, processor, functions, size, directory.resolve().name)
        _check_difference("The SavedModel", difference, scale, tolerance)
        version = str(next_version(directory))
        draft.rename(stage / version)
    return Exported(directory / version, difference, _relative(difference, scale), None)


def _export_runtime(
    model, path: Path, format, processor, size, batch, weights, tolerance, picture, calibration
) -> Exported:
    runtime = FILES[format]
    packages, extra = (runtime.packages + " nncf", "int8") if calibration else (runtime.packages, "export")
    modules = [package.replace("-", "_") for package in packages.split()]
    if missing := [name for name in modules if importlib.util.find_spec(name) is None]:
        raise ImportError(f"{format} needs {', '.join(missing)}: pip install 'segformer-tf[{extra}]'.")
    if format == "litert":
        size, batch = size or processor.fixed_size, 1
    pixels = np.repeat(_pixels(model, processor, picture, size), batch or 1, axis=0)
    expected = KerasModel(model)(pixels)
    about = Description.of_model(model, processor, size, **facts(model))
    shape, quantized = pixels_shape(model, size, batch), None
    stale = [REPORT] * (format == "openvino" and not calibration)  # of an int8 file that goes now
    with staged(path.parent, lambda: stale) as draft, tempfile.TemporaryDirectory() as directory_of_full:
        file = draft / path.name  # the .bin of OpenVINO moves before its .xml
        if calibration:
            full = Path(directory_of_full, runtime.file)
            runtime.write(model, full, shape, "float32", about)
            quantized = quantize(full, file, runtime.load, calibration)
            (draft / REPORT).write_text(json.dumps(quantized.to_dict(), indent=1) + "\n", "utf-8")
        else:
            runtime.write(model, file, shape, weights, about)
        found = runtime.load(file)(pixels)
        difference, scale = float(np.abs(found - expected).max()), float(np.abs(expected).max())
        _check_difference(path.name, difference, scale, tolerance)
    same = _same_labels(found, expected, pixels)
    return Exported(path, difference, _relative(difference, scale), same, quantized)


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
