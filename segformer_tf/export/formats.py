"""The model alone, normalised pixels to logits, as a file for Keras, ONNX Runtime, OpenVINO or LiteRT."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from segformer_tf.export.onnx_weights import compress
from segformer_tf.models.base import SegformerBase
from segformer_tf.pipelines.runtimes import checksum, description, openvino_files
from segformer_tf.pipelines.runtimes.description import Description
from segformer_tf.pipelines.runtimes.exported import LiteRt, Onnx, OpenVino
from segformer_tf.pipelines.runtimes.runtime import KerasModel, Runtime, export_quietly

Shape = tuple[int | None, ...]
CHECKSUM = f"{description.KEY}_checksum"


class Format(NamedTuple):
    """`write(model, path, shape of the pixels, weights, description)`, `load(path)`, the name of the file to load."""

    write: Callable[[SegformerBase, Path, Shape, str, Description], None]
    load: Callable[[Path], Runtime]
    file: str
    packages: str


def _write_keras(model: SegformerBase, path: Path, shape: Shape, weights: str, about: Description) -> None:
    model.save(path)


def _load_keras(path: Path) -> Runtime:
    model: Any = keras.saving.load_model(path, compile=False)
    return KerasModel(model)


def _write_onnx(model: SegformerBase, path: Path, shape: Shape, weights: str, about: Description) -> None:
    import onnx

    export_quietly(model, path, "onnx", shape)
    if weights != "float32":
        compress(path, weights)
    written = onnx.load(path)
    onnx.helper.set_model_props(written, {description.KEY: about.text(), CHECKSUM: checksum.PLACEHOLDER})
    onnx.save(written, path)
    checksum.stamp(path)


def _write_openvino(model: SegformerBase, path: Path, shape: Shape, weights: str, about: Description) -> None:
    openvino = openvino_files.load()
    with tempfile.TemporaryDirectory() as directory:
        full = Path(directory, "model.xml")
        if weights == "int8":  # by way of ONNX, whose 8-bit weights OpenVINO reads and keeps
            onnx = full.with_suffix(".onnx")
            _write_onnx(model, onnx, shape, weights, about)
            with openvino_files.interruptible():
                converted = openvino.convert_model(onnx)
        else:
            export_quietly(model, full, "openvino", shape)
            converted = openvino.Core().read_model(full)
        openvino_files.save(converted, path, about.text(), compress_to_fp16=weights == "float16")
        del converted  # it reads from the files of the directory until then


def _write_litert(model: SegformerBase, path: Path, shape: Shape, weights: str, about: Description) -> None:
    compressed: dict = {} if weights == "float32" else {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if weights == "float16":
        compressed["target_spec"] = {"supported_types": [tf.float16]}
    export_quietly(model, path, "litert", shape, **compressed)
    description.append(path, about.text())


FILES = {
    "keras": Format(_write_keras, _load_keras, "model.keras", "keras"),
    "onnx": Format(_write_onnx, Onnx, "model.onnx", "onnx tf2onnx onnxruntime"),
    "openvino": Format(_write_openvino, OpenVino, "openvino_model.xml", "openvino onnx tf2onnx"),
    "litert": Format(_write_litert, LiteRt, "model.tflite", "ai-edge-litert"),
}
