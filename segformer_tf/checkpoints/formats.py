"""Weight files <-> {name: array}: .safetensors, .h5, and with PyTorch .bin and .pth; callers write inside `staged`."""

import json
import mmap
import os
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.checkpoints.keras_hub import is_keras_hub
from segformer_tf.storage import find
from segformer_tf.storage.read import read_index, understanding

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
_COMPRESSED = 8  # times its own size that a file's tensors may take; those of real ones are not compressed
_SLACK = 2**24  # bytes
Check = Callable[[Mapping[str, Sequence[int]]], None]  # of tensors' shapes, before they are read
_TF_CLASSES = {
    "decode_head": "tf_segformer_for_semantic_segmentation",
    "classifier": "tf_segformer_for_image_classification",
}


def read(path: str | os.PathLike, check: Check | None = None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Tensors and metadata of one weight file, or of the shards that an `.index.json` lists; floating point as float32.

    `check` is told the shapes before anything is made of them, of shards file by file, and may raise.

    A `.safetensors` file is mapped into memory, not copied: its float32 arrays are read-only views.
    Raises FileNotFoundError for a missing file or shard, ValueError for a damaged file or one of another format,
    ImportError for `.bin` and `.pth` where PyTorch is not installed.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no weight file {path}; expected one of {', '.join(find.WEIGHT_FILES)} or a .pth."
        )
    with open(path, "rb") as file:
        start = file.read(64)
    if not start:
        raise ValueError(f"{path} is empty (0 bytes), so it holds no weights; download or copy it again.")
    if start.startswith(b"version https://git-lfs"):
        raise ValueError(f"{path} is a Git LFS pointer, not the weights; run `git lfs pull` in its directory.")
    if path.name.endswith(".index.json"):
        return _read_shards(path, check)
    readers = {".safetensors": _read_safetensors, ".h5": _read_h5, ".bin": _read_torch, ".pth": _read_torch}
    if path.suffix in find.TORCH_SUFFIXES:
        raise ValueError(f"{path} has the suffix {path.suffix!r}; if PyTorch wrote it, rename it to .pth.")
    if path.suffix not in readers:
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; expected a weight file with .safetensors, .h5, .bin or .pth "
            "(what Keras saved, Keras itself loads: .keras by `keras.saving.load_model` after `from segformer_tf "
            "import TFSegformerForSemanticSegmentation`, .weights.h5 by `model.load_weights`)."
        )
    with understanding(path, "tensors by name, as SegFormer's files hold them"):
        return readers[path.suffix](path, check or (lambda shapes: None))


def _read_shards(index: Path, check: Check | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    weight_map = read_index(index)
    tensors, metadata = {}, {}
    for shard in sorted(set(weight_map.values())):
        if not (index.parent / shard).is_file():
            raise FileNotFoundError(f"{index} lists the shard {shard}, which is not there; copy it beside the index.")
        arrays, metadata = read(index.parent / shard, check)
        tensors |= {name: array for name, array in arrays.items() if weight_map.get(name, shard) == shard}
    if missing := sorted(set(weight_map) - set(tensors)):
        raise ValueError(f"{index} lists tensors that its shards lack: {', '.join(missing)}; download them again.")
    return tensors, metadata


def _read_safetensors(path: Path, check: Check) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):  # checks the header and that it covers the file
            pass
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a whole safetensors file ({error}); cut off, or of another format; copy it again."
        ) from error
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    check({name: entry["shape"] for name, entry in header.items()})
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"{path}: tensor {name} has type {entry['dtype']}; expected one of {', '.join(_DTYPES)}.")
        array = np.ndarray(entry["shape"], _DTYPES[entry["dtype"]], data, start + entry["data_offsets"][0])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype("<u4") << np.uint32(16)).view("<f4")
        tensors[name] = _as_float32(array)
    return tensors, metadata


def _as_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _read_h5(path: Path, check: Check) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
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
            return {name: _as_float32(item[()]) for name, item in tensors.items()}, {"format": "keras_hub"}
        if "layer_names" not in file.attrs:
            kind = "an HDF5 file without a list of layers"
            if "model_weights" in file:
                kind = "a whole model saved by Keras 2"
            elif {"layers", "vars", "_layer_checkpoint_dependencies"} & set(file):
                kind = "a Keras 3 .weights.h5 file, which `model.load_weights` reads"
            raise ValueError(
                f"{path} is {kind}; expected a tf_model.h5 of transformers' TensorFlow classes, "
                "or a .weights.h5 of keras-hub's models."
            )
        # The first group is the layer's.
        return {name.partition("/")[2]: _as_float32(item[()]) for name, item in tensors.items()}, {"format": "tf"}


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


def _torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path.name} needs PyTorch: run `pip install 'segformer-tf[torch]'`, or convert it to model.safetensors "
            "where PyTorch is installed."
        ) from error
    return torch


def _read_torch(path: Path, check: Check) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import pickle

    torch = _torch(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path) or None)
    except pickle.UnpicklingError as error:
        reason = next((line for line in str(error).splitlines() if "GLOBAL" in line or "Unsupported" in line), "")
        raise ValueError(
            f"{path} is refused: it holds more than tensors and could run code when loaded{': ' if reason else ''}"
            f"{reason.strip()}; get a model.safetensors, or convert it yourself where you trust it."
        ) from error
    except Exception as error:  # whatever the pickle machine stumbles over
        raise ValueError(
            f"{path} is not a whole PyTorch file ({str(error).splitlines()[0] if str(error) else error!r}); it was cut "
            "off or is of another format, so copy it again."
        ) from error
    state, meta = content, {}
    if isinstance(content, dict):
        meta = content.get("meta") or {}
        key = next((key for key in ("state_dict", "model") if isinstance(content.get(key), dict)), None)
        state = content if key is None else content[key]
        others = [other for other, value in content.items() if other != key and _is_state(value) and value]
        if key and others:
            warnings.warn(
                f'{path} holds weights under "{key}", which are taken, and under {", ".join(map(repr, others))}: to '
                "take others, save them by torch.save as a file of their own.",
                UserWarning,
                stacklevel=4,
            )
    if not _is_state(state):
        raise ValueError(
            f'{path} holds no tensors by name; expected a state dict, bare or under "state_dict" or "model".'
        )
    for name, tensor in state.items():
        if tensor.layout != torch.strided:
            raise ValueError(f"{path}: tensor {name} is sparse; expected a dense one: save what its to_dense() gives.")
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise ValueError(f"{path}: tensor {name} of {tuple(tensor.shape)} repeats a few values; expected all.")
    check({name: tuple(tensor.shape) for name, tensor in state.items()})
    tensors = {}
    for name, tensor in state.items():
        tensor = tensor.detach()
        tensors[name] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    return tensors, meta if isinstance(meta, dict) else {}


def _is_state(value: Any) -> bool:
    import torch

    return isinstance(value, dict) and all(isinstance(each, torch.Tensor) for each in value.values())


def _contiguous(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(array, order="C") for name, array in tensors.items()}


def write_safetensors(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """One .safetensors file, marked as PyTorch's orientation, as transformers reads it."""
    from safetensors.numpy import save_file

    save_file(_contiguous(tensors), path, metadata={"format": "pt"})


def write_h5(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """A tf_model.h5 with the groups and attributes that transformers' TensorFlow classes read; names of layout "tf"."""
    import h5py

    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(name.partition("/")[0], []).append(name)
    model = next((_TF_CLASSES[layer] for layer in layers if layer in _TF_CLASSES), "tf_segformer_model")
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


def write_torch(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], meta: dict[str, Any] | None = None) -> None:
    """A PyTorch file: a bare state dict, or with `meta` as MMSegmentation saves it ({"meta", "state_dict"})."""
    torch = _torch(Path(path))
    state = {name: torch.from_numpy(array.copy()) for name, array in _contiguous(tensors).items()}
    torch.save(state if meta is None else {"meta": meta, "state_dict": state}, path)
