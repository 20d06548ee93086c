"""The model alone, normalised pixels to logits, as a file for Keras, ONNX Runtime, OpenVINO or LiteRT."""

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.export.onnx_weights import compress
from segformer_tf.models.base import SegformerBase

WEIGHTS = ("float32", "float16", "int8")
Predict = Callable[[np.ndarray], np.ndarray]


class Runtime(NamedTuple):
    """`write(model, path, spec of the pixels, weights)`, `load(path) -> pixels to logits`, and the name of the file to load."""

    write: Callable[[SegformerBase, Path, tf.TensorSpec, str], None]
    load: Callable[[Path], Predict]
    file: str
    packages: str
    weights: tuple[str, ...] = WEIGHTS


def pixels_spec(model: SegformerBase, size: tuple[int, int] | None, batch: int | None) -> tf.TensorSpec:
    """What a file takes; None is any."""
    channels, sides = model.config.num_channels, size or (None, None)
    shape = (channels, *sides) if model.data_format == "channels_first" else (*sides, channels)
    return tf.TensorSpec((batch, *shape), tf.float32, name="pixel_values")


def _export(model: SegformerBase, path: Path, spec: tf.TensorSpec, **arguments) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own, about numpy and about each other's versions
        model.export(str(path), verbose=False, input_signature=[spec], **arguments)


def _write_keras(model: SegformerBase, path: Path, spec: tf.TensorSpec, weights: str) -> None:
    model.save(path)


def _load_keras(path: Path) -> Predict:
    model: Any = keras.saving.load_model(path, compile=False)
    return lambda pixels: np.asarray(model(pixels)["logits"])


def _write_onnx(model: SegformerBase, path: Path, spec: tf.TensorSpec, weights: str) -> None:
    _export(model, path, spec, format="onnx")
    if weights != "float32":
        compress(path, weights)


def _load_onnx(path: Path) -> Predict:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pixels: np.asarray(session.run(["logits"], {"pixel_values": pixels})[0])


def _write_openvino(model: SegformerBase, path: Path, spec: tf.TensorSpec, weights: str) -> None:
    import openvino

    with tempfile.TemporaryDirectory() as directory:
        full = Path(directory, "model.xml")
        if weights == "int8":  # by way of ONNX, whose 8-bit weights OpenVINO reads and keeps
            onnx = full.with_suffix(".onnx")
            _write_onnx(model, onnx, spec, weights)
            converted = openvino.convert_model(onnx)
        else:
            _export(model, full, spec, format="openvino")
            converted = openvino.Core().read_model(full)
        openvino.save_model(converted, path, compress_to_fp16=weights == "float16")
        del converted  # it reads from the files of the directory until then


def _load_openvino(path: Path) -> Predict:
    import openvino

    # Without the hint OpenVINO computes in bfloat16 on processors that have it.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels: compiled(pixels)[0]


def _write_litert(model: SegformerBase, path: Path, spec: tf.TensorSpec, weights: str) -> None:
    if None in spec.shape:
        raise ValueError("LiteRT needs one fixed size, and the processor has none: give size=(height, width).")
    compressed: dict = {} if weights == "float32" else {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if weights == "float16":
        compressed["target_spec"] = {"supported_types": [tf.float16]}
    _export(model, path, spec, format="litert", **compressed)


def _load_litert(path: Path) -> Predict:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(path)).get_signature_runner()
    return lambda pixels: runner(pixel_values=pixels)["logits"]


RUNTIMES = {
    "keras": Runtime(_write_keras, _load_keras, "model.keras", "keras", ("float32",)),
    "onnx": Runtime(_write_onnx, _load_onnx, "model.onnx", "onnx tf2onnx onnxruntime"),
    "openvino": Runtime(_write_openvino, _load_openvino, "openvino_model.xml", "openvino onnx tf2onnx"),
    "litert": Runtime(_write_litert, _load_litert, "model.tflite", "ai-edge-litert"),
}
