"""The warm-up file that TF Serving replays before it lets clients in: one request for each signature."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf


def sample_picture(height: int, width: int) -> np.ndarray:
    """A picture with sky, hills and squares, the same each time: (height, width, 3) uint8."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    hills = 0.55 * height + 0.1 * height * np.sin(columns / width * 9.0)
    picture = np.stack([140 + 60 * rows / height, 170 + 40 * rows / height, 230 - 30 * rows / height], -1)
    picture[rows > hills] = (70, 110, 60)
    picture[rows > 0.75 * height] = (105, 100, 110)
    side = max(min(height, width) // 6, 1)
    for i, colour in enumerate([(180, 60, 50), (200, 190, 170), (40, 50, 120)]):
        top, left = int(height * (0.45 + 0.1 * i)), int(width * (0.1 + 0.3 * i))
        picture[top : top + side, left : left + side] = colour
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def sample_inputs(signatures: Mapping[str, Any], size: tuple[int, int]) -> dict[str, dict[str, tf.Tensor]]:
    """One input for each signature: a PNG, a uint8 picture or normalised pixels of `size`."""
    return {name: {str(spec.name): _sample(spec, size)} for name, spec in _specs(signatures)}


def _specs(signatures: Mapping[str, Any]) -> Iterator[tuple[str, tf.TensorSpec]]:
    for name, function in signatures.items():
        (spec,) = function.structured_input_signature[1].values() or function.structured_input_signature[0]
        yield name, spec


def _sample(spec: tf.TensorSpec, size: tuple[int, int]) -> tf.Tensor:
    picture = sample_picture(*size)
    if spec.dtype == tf.string:
        return tf.io.encode_png(picture)[tf.newaxis]
    first = spec.shape[-1] is None
    channels = spec.shape[1 if first else -1]
    image = np.resize(np.moveaxis(picture, -1, 0), (channels, *size))  # more channels repeat the first three
    image = image if first else np.moveaxis(image, 0, -1)
    if spec.dtype == tf.uint8:
        return tf.constant(image[np.newaxis])
    return tf.constant((image[np.newaxis] / 127.5 - 1.0).astype(np.float32))


def write_warmup(path: str | os.PathLike, model_name: str, inputs: Mapping[str, Mapping[str, tf.Tensor]]) -> None:
    """Writes the requests as a TFRecord file of PredictionLog messages.

    Encoded here, field by field, so that exporting needs no package beside TensorFlow; the tests read the file with
    `tensorflow-serving-api`. The numbers are those of predict.proto, model.proto and prediction_log.proto.
    """
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature, tensors in inputs.items():
            spec = _field(1, model_name.encode()) + _field(3, signature.encode())
            request = _field(1, spec)
            for key, tensor in tensors.items():
                proto = tf.make_tensor_proto(tensor.numpy()).SerializeToString()
                request += _field(2, _field(1, key.encode()) + _field(2, proto))
            predict_log = _field(1, request)
            writer.write(_field(6, predict_log))


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field that holds a text or a message."""
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])
