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
from segformer_tf.images.palettes import palette_for
from segformer_tf.models.base import SegformerBase

CLASSES_FILE = "classes.json"
WARMUP_FILE = "tf_serving_warmup_requests"


def next_version(directory: str | os.PathLike) -> int:
    """The lowest integer above all version directories that are there; 1 where there are none."""
    directory = Path(directory)
    names = [entry.name for entry in directory.iterdir()] if directory.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=0) + 1


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
    (extra / "model.json").write_text(json.dumps(_description(model, processor, signatures), indent=1) + "\n", "utf-8")
    return _check(draft, signatures, inputs)


def class_rows(config: Any) -> list[dict[str, Any]]:
    """[{"id", "name", "color"}], as `classes.json` of a data set has them."""
    names = config.id2label if config.num_labels > 1 else {0: "background", 1: config.id2label[0]}
    colors = palette_for(names).tolist()
    return [{"id": i, "name": names[i], "color": colors[i]} for i in range(len(names))]


def weights_sha256(model: SegformerBase) -> str:
    """One number for all variables, by path and float32 value: the same wherever the weights came from."""
    digest = hashlib.sha256()
    for path, array in sorted(model.variable_arrays().items()):
        digest.update(path.encode())
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()


def _description(model: SegformerBase, processor: Any, signatures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "class": type(model).__name__,
        "config": model.config.to_dict(),
        "processor": processor.to_dict(),
        "dtype": model.dtype_policy.name,
        "signatures": list(signatures),
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
