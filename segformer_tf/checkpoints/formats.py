"""Weight files <-> {name: array}: .safetensors, .h5, and with PyTorch .bin and .pth; callers write inside `staged`."""

import json
import mmap
import os
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.checkpoints.hdf5 import Check, as_float32, read_h5
from segformer_tf.storage import find
from segformer_tf.storage.read import read_index, reason, understanding

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}

WRAPPED = ("state_dict", "model_state_dict", "model")  # where training scripts put a state dict


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
    readers = {".safetensors": _read_safetensors, ".h5": read_h5, ".bin": _read_torch, ".pth": _read_torch}
    if path.suffix in find.TORCH_SUFFIXES:
        raise ValueError(f"{path} has the suffix {path.suffix!r}; if PyTorch wrote it, rename it to .pth.")
    if path.suffix not in readers:
        raise ValueError(
            f"{path} has the suffix {path.suffix!r}; expected a weight file with .safetensors, .h5, .bin or .pth "
            "(what Keras saved, Keras itself loads: .keras by `keras.saving.load_model` after `from segformer_tf "
            "import TFSegformerForSemanticSegmentation`, .weights.h5 by `model.load_weights`; `segformer-tf convert` "
            "makes a checkpoint of a .keras)."
        )
    with understanding(path, "tensors by name, as SegFormer's files hold them"):
        return readers[path.suffix](path, check or (lambda shapes: None))


def _read_shards(index: Path, check: Check | None) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    weight_map = read_index(index)
    if all(name.endswith(":0") for name in weight_map):  # TensorFlow's: the model's name is in the index alone
        weight_map = {name.partition("/")[2]: shard for name, shard in weight_map.items()}
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
        tensors[name] = as_float32(array)
    return tensors, metadata


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
        why = next((line for line in str(error).splitlines() if "GLOBAL" in line or "Unsupported" in line), "")
        raise ValueError(
            f"{path} is refused: it holds more than tensors and could run code when loaded{': ' if why else ''}"
            f"{why.strip()}; get a model.safetensors, or convert it yourself where you trust it."
        ) from error
    except Exception as error:  # whatever the pickle machine stumbles over
        raise ValueError(
            f"{path} is not a whole PyTorch file ({reason(error)}); it was cut off or is of another format, "
            "so copy it again."
        ) from error
    state, meta = content, {}
    if isinstance(content, dict):
        meta = content.get("meta") or {}
        key = next((key for key in WRAPPED if isinstance(content.get(key), dict)), None)
        state = _tensors(content) if key is None else content[key]
        others = [other for other, value in content.items() if other != key and _is_state(value) and value]
        if key and others:
            warnings.warn(
                f'{path} holds weights under "{key}", which are taken, and under {", ".join(map(repr, others))}: to '
                "take others, save them by torch.save as a file of their own.",
                UserWarning,
                stacklevel=4,
            )
    if not (_is_state(state) and state):
        raise ValueError(f"{path} holds no tensors by name; expected a state dict, bare or under {', '.join(WRAPPED)}.")
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


def _tensors(content: dict[str, Any]) -> dict[str, Any]:
    """A state dict without what stands among its tensors, such as the epoch."""
    import torch

    return {name: value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _is_state(value: Any) -> bool:
    import torch

    return isinstance(value, dict) and all(isinstance(each, torch.Tensor) for each in value.values())


def _contiguous(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.asarray(array, order="C") for name, array in tensors.items()}


def write_safetensors(path: str | os.PathLike, tensors: Mapping[str, np.ndarray]) -> None:
    """One .safetensors file, marked as PyTorch's orientation, as transformers reads it."""
    from safetensors.numpy import save_file

    save_file(_contiguous(tensors), path, metadata={"format": "pt"})


def write_torch(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], meta: dict[str, Any] | None = None) -> None:
    """A PyTorch file: a bare state dict, or with `meta` as MMSegmentation saves it ({"meta", "state_dict"})."""
    torch = _torch(Path(path))
    state = {name: torch.from_numpy(array.copy()) for name, array in _contiguous(tensors).items()}
    torch.save(state if meta is None else {"meta": meta, "state_dict": state}, path)
