"""A checkpoint as a model with a trained head, and the fastest way of computing it."""

import os
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.pipelines.exported import converted
from segformer_tf.pipelines.runtimes import Runtime

if TYPE_CHECKING:
    from segformer_tf.models.base import SegformerBase


def fastest(runtime: Runtime, processor: SegformerImageProcessor) -> Runtime:
    """The runtime given, a Keras model's, or the model in OpenVINO, if that is installed, faster here and agrees on the
    labels. Says which."""
    try:
        made = converted(runtime.model, "openvino")  # type: ignore[attr-defined]
    except ImportError:
        _say("TensorFlow", f"pip install openvino for more speed{_without_onednn()}")
        return runtime
    height, width = (processor.size.get("height", 512), processor.size.get("width", 512))
    sample = np.random.default_rng(0).normal(size=(1, height, width, processor.channels)).astype(np.float32)
    agreement = (runtime(sample).argmax(-1) == made(sample).argmax(-1)).mean()
    chosen = made if agreement >= 0.999 and _seconds(made, sample) < _seconds(runtime, sample) else runtime
    slower = _without_onednn() if chosen is runtime else ""
    _say(chosen.backend, f"runtime= chooses another{slower}")
    return chosen


def _say(backend: str, more: str) -> None:
    print(f"segformer-tf: computing with {backend} ({more}).", file=sys.stderr)


def _without_onednn() -> str:
    """What to do where TensorFlow leaves oneDNN off, which it does on some processors: b0 takes half as long again."""
    from segformer_tf.models import kernels

    unset = "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    off = unset and not kernels.tensorflow.on_gpu() and not kernels.onednn.fuses_layer_norm()
    return "; TF_ENABLE_ONEDNN_OPTS=1 in the environment makes TensorFlow faster here" if off else ""


def _seconds(runtime: Runtime, sample: np.ndarray) -> float:
    """The best of three runs."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        runtime(sample)
        times.append(time.perf_counter() - start)
    return min(times)


def whole_model(class_name: str, name_or_path: str | os.PathLike, **arguments: Any) -> "SegformerBase":
    """A checkpoint's model; ValueError where it has another task's head, whose answers would be random."""
    from segformer_tf.models import tasks

    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        model, report = getattr(tasks, class_name).from_pretrained(name_or_path, output_loading_info=True, **arguments)
    if report["missing_keys"]:
        raise ValueError(
            f"{name_or_path} has no weights for the head of a {class_name} ({', '.join(report['missing_keys'][:3])}): "
            "its answers would be random; take a checkpoint of this task, or train the head first."
        )
    for warning in heard:
        warnings.warn(warning.message, stacklevel=3)
    return model
