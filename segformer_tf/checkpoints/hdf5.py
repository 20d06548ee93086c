"""HDF5 files <-> {name: array}: tf_model.h5 of transformers' TensorFlow classes, its shards, and keras-hub's files."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.checkpoints.keras_hub import is_keras_hub
from segformer_tf.checkpoints.layouts import TASKS
from segformer_tf.checkpoints.names import task_of

_COMPRESSED = 8  # times its own size that a file's tensors may take; those of real ones are not compressed
_SLACK = 2**24  # bytes
Check = Callable[[Mapping[str, Sequence[int]]], None]  # of tensors' shapes, before they are read


def read_h5(path: Path, check: Check) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and metadata of one file; `check` is told their shapes first. ValueError for a file of another kind."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path} is not a whole HDF5 file ({error}); cut off, or of another format; copy it again."
        ) from error
    with file:
        tensors = datasets(file, path)
        check({name: item.shape for name, item in tensors.items()})
        if is_keras_hub(tensors):
            return {name: as_float32(item[()]) for name, item in tensors.items()}, {"format": "keras_hub"}
        lists = [names for key, names in file.attrs.items() if key.startswith("layer_names")]  # several, if long
        if not lists:
            kind = "an HDF5 file without a list of layers"
            if "model_weights" in file:
                kind = "a whole model saved by Keras 2"
            elif {"layers", "vars", "_layer_checkpoint_dependencies"} & set(file):
                kind = "a Keras 3 .weights.h5 file, which `model.load_weights` reads"
            raise ValueError(
                f"{path} is {kind}; expected a tf_model.h5 of transformers' TensorFlow classes, "
                "or a .weights.h5 of keras-hub's models."
            )
        layers = {name.decode() if isinstance(name, bytes) else name for names in lists for name in names}
        # The first group is the layer's, but for one of several shards, where each tensor is called a layer.
        shard = set(tensors) <= layers
        read = {name if shard else name.partition("/")[2]: as_float32(item[()]) for name, item in tensors.items()}
        return read, {"format": "tf"}


def as_float32(array: np.ndarray) -> np.ndarray:
    """Floating point as float32; other arrays as they are."""
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def datasets(file: Any, path: Path) -> dict[str, Any]:
    """The datasets of an open HDF5 file by name, none of which is read yet.

    Raises ValueError for those that take their values from other files, are no numbers, or are larger than the file.
    """
    import h5py

    found: dict[str, Any] = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    for name, item in found.items():
        if item.external or item.is_virtual:
            raise ValueError(
                f"{path} is refused: its dataset {name} takes its values from other files, which could be any of this "
                "computer's; expected the values themselves."
            )
        if item.dtype.kind not in "fiub" and item.dtype.str != "|V2":  # Keras keeps bfloat16 so
            raise ValueError(f"{path}: dataset {name} has type {item.dtype}; expected numbers.")
    size = file.id.get_filesize()
    if (wanted := sum(int(item.nbytes) for item in found.values())) > _COMPRESSED * size + _SLACK:
        raise ValueError(
            f"{path} is refused: its datasets would take {wanted:,} bytes, and the file has {size:,}; expected values "
            "that are written out."
        )
    return found


def write_h5(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """A tf_model.h5 with the groups and attributes that transformers' TensorFlow classes read; names of layout "tf"."""
    import h5py

    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(name.partition("/")[0], []).append(name)
    model = TASKS[task_of(layers)].tf_model
    text = h5py.string_dtype()  # variable length, so that no list of names outgrows HDF5's limit for attributes
    with h5py.File(path, "w") as file:
        file.attrs.update({"backend": "tensorflow", "keras_version": "2.15.0"})
        file.attrs.create("layer_names", list(layers), dtype=text)
        for layer, names in layers.items():
            group = file.create_group(layer)
            group.attrs.create("weight_names", [f"{model}/{name}" for name in names], dtype=text)
            for name in names:
                group[f"{model}/{name}"] = np.asarray(tensors[name], np.float32)
        file.create_group("top_level_model_weights").attrs.create("weight_names", [], dtype=text)
