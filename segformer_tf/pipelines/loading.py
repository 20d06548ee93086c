"""A checkpoint as a model with a trained head, and the fastest way of computing it."""

import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.pipelines.exported import converted
from segformer_tf.pipelines.runtimes import Runtime

if TYPE_CHECKING:
    from segformer_tf.models.base import SegformerBase


def fastest(runtime: Runtime, processor: SegformerImageProcessor) -> Runtime:
    """OpenVINO for a Keras model, if it is installed and agrees on the labels; else the runtime given. Says which."""
    try:
        made = converted(runtime.model, "openvino")  # type: ignore[attr-defined]
    except ImportError:
        print("segformer-tf: computing with TensorFlow (pip install openvino for more speed).", file=sys.stderr)
        return runtime
    height, width = (processor.size.get("height", 512), processor.size.get("width", 512))
    sample = np.random.default_rng(0).normal(size=(1, height, width, processor.channels)).astype(np.float32)
    agreement = (runtime(sample).argmax(-1) == made(sample).argmax(-1)).mean()
    chosen = made if agreement >= 0.999 else runtime
    print(f"segformer-tf: computing with {chosen.backend} (runtime= chooses another).", file=sys.stderr)
    return chosen


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
