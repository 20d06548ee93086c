"""A model as a directory that TF Serving serves: signatures, variables, class names, warm-up requests."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from segformer_tf import __version__
from segformer_tf.export.warmup import sample_inputs, write_warmup
from segformer_tf.models.base import SegformerBase
from segformer_tf.pipelines.runtimes.description import SAVED_MODEL_FILE, Description, class_rows

CLASSES_FILE = "classes.json"
WARMUP_FILE = "tf_serving_warmup_requests"


def next_version(directory: str | os.PathLike) -> int:
    """The lowest integer above all version directories that are there; 1 where there are none."""
    directory = Path(directory)
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0) + 1


def write_saved_model(
    draft: Path, model: SegformerBase, processor: Any, signatures: Mapping[str, Any], size: tuple[int, int], name: str
) -> tuple[float, float]:
    """Fills the directory `draft` and reads it back; (largest difference, largest value) of all float outputs.

    Raises:
        ValueError: What was read back answers the warm-up requests with other labels or texts.
    """
    module: Any = tf.Module()
    module.kept = [variable.value for variable in model.variables]  # the variables the functions use, without Keras
    module.functions = list(signatures.values())
    with tempfile.TemporaryDirectory() as directory:
        classes = Path(directory, CLASSES_FILE)
        classes.write_text(json.dumps(class_rows(model.config), indent=1) + "\n", "utf-8")
        module.classes = tf.saved_model.Asset(str(classes))  # lands in assets/
        tf.saved_model.save(module, str(draft), signatures=dict(signatures))
    extra = draft / "assets.extra"
    extra.mkdir()
    inputs = sample_inputs(signatures, size)
    write_warmup(extra / WARMUP_FILE, name, inputs)
    about = Description.of_model(model, processor, None, **facts(model), signatures=list(signatures))
    (draft / SAVED_MODEL_FILE).write_text(about.text(), "utf-8")
    return _check(draft, signatures, inputs)


def weights_sha256(model: SegformerBase) -> str:
    """One number for all variables, by path and float32 value: the same wherever the weights came from."""
    digest = hashlib.sha256()
    for path, array in sorted(model.variable_arrays().items()):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def facts(model: SegformerBase) -> dict[str, Any]:
    """What a description says beside what is needed to use a file."""
    return {
        "dtype": model.dtype_policy.name,
        "weights_sha256": weights_sha256(model),
        "versions": {"segformer_tf": __version__, "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def _check(
    directory: Path, signatures: Mapping[str, Any], inputs: Mapping[str, Mapping[str, tf.Tensor]]
) -> tuple[float, float]:
    loaded = tf.saved_model.load(str(directory))
    difference = scale = 0.0
    for name, function in signatures.items():
        expected, found = function(**inputs[name]), loaded.signatures[name](**inputs[name])
        for key, value in expected.items():
            if value.dtype.is_floating:
                difference = max(difference, float(tf.reduce_max(tf.abs(value - found[key]))))
                scale = max(scale, float(tf.reduce_max(tf.abs(value))))
            elif not bool(tf.reduce_all(value == found[key])):
                raise ValueError(f"{name} answers with another {key} when read back from {directory}: export again.")
    return difference, scale
