"""The warm-up file that TF Serving replays before it lets clients in: one request for each signature."""

import functools
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from tensorflow.core.framework.tensor_pb2 import TensorProto

# TF Serving's messages as far as they are written: field -> its number and type in the .proto file that is named.
_MESSAGES = {
    "PredictionLog": {"predict_log": (6, "PredictLog")},  # prediction_log.proto
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictRequest": {"model_spec": (1, "ModelSpec"), "inputs": (2, "Input")},  # predict.proto
    "ModelSpec": {"name": (1, "string"), "signature_name": (3, "string")},  # model.proto
    "Input": {"key": (1, "string"), "value": (2, TensorProto.DESCRIPTOR.full_name)},  # how a map's entry is encoded
}


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
    """Writes the requests as a TFRecord file of PredictionLog messages, which TF Serving reads as it loads a model."""
    prediction_log = _prediction_log()
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
        for signature, tensors in inputs.items():
            request = {
                "model_spec": {"name": model_name, "signature_name": signature},
                "inputs": [
                    {"key": key, "value": tf.make_tensor_proto(value.numpy())} for key, value in tensors.items()
                ],
            }
            writer.write(prediction_log(predict_log={"request": request}).SerializeToString())


@functools.cache
def _prediction_log() -> Any:
    """The class of PredictionLog, made here so that exporting needs no package beside TensorFlow.

    Its messages have a protobuf package of their own: tensorflow-serving-api registers the real names.
    """
    file = FileDescriptorProto(name="segformer_tf/warmup.proto", package="segformer_tf", syntax="proto3")
    file.dependency.append(TensorProto.DESCRIPTOR.file.name)
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            field = described.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if kind == "Input" else field.LABEL_OPTIONAL
            field.type = field.TYPE_STRING if kind == "string" else field.TYPE_MESSAGE
            if kind != "string":
                field.type_name = kind
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("segformer_tf.PredictionLog"))
