"""What computes the logits, and a Keras model as such a runtime; those of exported files stand in `exported`.

All are called alike, (B, H, W, C) float32 -> (B, h, w, num_labels), or a classifier's (B, num_labels).
"""

import functools
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.bounds import smallest_side
from segformer_tf.checkpoints.layouts import CLASSIFICATION
from segformer_tf.config import SegformerConfig
from segformer_tf.pipelines.runtimes import openvino_files
from segformer_tf.pipelines.runtimes.description import Description
from segformer_tf.storage.cores import cores

BATCH_PIXELS = 2**21  # of all pictures of a batch together: 8 of 512 x 512


class Runtime:
    """One way of computing a model's logits.

    Attributes:
        backend: What computes: "tensorflow", "openvino", "onnx", "litert" or "numpy".
        source: What errors call it.
        size: The only (height, width) that it takes, or None.
        at_once: How many calls of many pictures are worth making at the same time, from threads.
    """

    backend = ""
    batch: int | None = None  # the only number of pictures that it takes
    at_once = 1

    def __init__(self, source: str, description: Description):
        self.source = source
        self.description = description
        self.size = description.size

    @property
    def classifies(self) -> bool:
        """Whether it is a classifier: one vector a picture, no map."""
        return self.description.task == CLASSIFICATION.name

    @functools.cached_property
    def smallest_side(self) -> int:
        """Pixels of the smallest side that it takes; smaller pictures are filled up with zeros, the mean pixel."""
        return smallest_side(SegformerConfig.from_dict(self.description.config))

    def __call__(self, pixel_values: np.ndarray) -> np.ndarray:
        first = self.description.data_format == "channels_first"
        values = np.ascontiguousarray(np.moveaxis(pixel_values, -1, 1)) if first else pixel_values
        step = self.batch or len(values)
        parts = [values[start : start + step] for start in range(0, len(values), step)]
        if missing := step - len(parts[-1]):
            parts[-1] = np.concatenate([parts[-1], np.repeat(parts[-1][-1:], missing, axis=0)])
        answers = [np.asarray(answer, np.float32) for answer in self._run_all(parts)]
        logits = (answers[0] if len(answers) == 1 else np.concatenate(answers))[: len(values)]
        return np.moveaxis(logits, 1, -1) if first and logits.ndim == 4 else logits

    def _run_all(self, parts: list[np.ndarray]) -> Iterable[Any]:
        """The answers for parts of the batch that it takes."""
        return map(self._run, parts)

    def _run(self, pixel_values: np.ndarray) -> Any:
        """In the data format of the model or file."""
        raise NotImplementedError


class KerasModel(Runtime):
    """A model's TensorFlow graph, traced once for all sizes and batches; it follows when the model changes.

    One picture as the first call of all runs without: a program that segments no other has its answer sooner.
    """

    backend = "tensorflow"

    def __init__(self, model: Any):
        super().__init__(type(model).__name__, Description.of_model(model))
        self.model = model
        self._called = False

    @property
    def at_once(self) -> int:
        """Two on a processor: two graphs share its threads, and neither waits for what the other does in one."""
        return graphs_at_once()

    def _run(self, pixel_values: np.ndarray) -> Any:
        import keras

        from segformer_tf.models.compiled import as_graph, op_by_op
        from segformer_tf.models.outputs import ALONE

        first, self._called = not self._called, True
        with op_by_op() if first and len(pixel_values) == 1 else as_graph():
            return keras.ops.convert_to_numpy(self.model(pixel_values, training=False, **ALONE)["logits"])


def graphs_at_once() -> int:
    """How many calls of a TensorFlow graph are worth making at the same time."""
    import keras

    if keras.backend.backend() != "tensorflow" or cores() == 1:
        return 1
    from segformer_tf.models import kernels

    return 1 if kernels.tensorflow.on_gpu() else 2


def pixels_shape(model: Any, size: tuple[int, int] | None = None, batch: int | None = None) -> tuple[int | None, ...]:
    """The shape of pixels that a file takes; None is any."""
    channels, sides = model.config.num_channels, size or (None, None)
    return (batch, channels, *sides) if model.data_format == "channels_first" else (batch, *sides, channels)


def export_quietly(model: Any, path: Path, format: str, shape: tuple[int | None, ...], **arguments) -> None:
    """`model.export` for pixels of `shape`, without the converters' warnings."""
    import tensorflow as tf

    if format == "openvino":
        openvino_files.load()
    spec = tf.TensorSpec(shape, tf.float32, name="pixel_values")
    with openvino_files.interruptible(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the converters' own, about numpy and about each other's versions
        model.export(str(path), verbose=False, input_signature=[spec], format=format, **arguments)
