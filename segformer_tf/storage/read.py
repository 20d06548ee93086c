"""The one reader of JSON files: config.json, preprocessor_config.json, an index of shards, recipes, classes."""

import json
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20  # the index of a model with a million tensors is smaller
MAX_DEPTH = 64  # lists and objects inside each other
_KINDS = {dict: "an object", list: "a list"}


def read_json(path: Path, what: str, kind: type | tuple[type, ...] = dict) -> Any:
    """The contents of a UTF-8 file, with or without a byte order mark; `what` says in errors what was expected.

    Raises FileNotFoundError, or ValueError for a file that is no JSON, of another kind (an object unless told), over
    64 MB or nested more than 64 deep.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; expected {what}.")
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"{path} has {size} bytes; expected {what}, which is under {MAX_BYTES}: give the right file.")
    try:
        values = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not JSON ({error}); expected {what}: correct the file, or copy it again."
        ) from None
    if not isinstance(values, kind):
        kinds = " or ".join(_KINDS[each] for each in (kind if isinstance(kind, tuple) else (kind,)))
        found = _KINDS.get(type(values)) or f"{values!r:.40}"
        raise ValueError(f"{path} holds {found}; expected {kinds}, {what}: correct the file.")
    if _deeper(values, MAX_DEPTH):
        raise ValueError(f"{path} is nested more than {MAX_DEPTH} deep; expected {what}: correct the file.")
    return values


def _deeper(values: Any, limit: int) -> bool:
    level = [values]
    for _ in range(limit):
        level = [
            part
            for each in level
            if isinstance(each, (dict, list))
            for part in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def read_config(path: Path) -> dict[str, Any]:
    """A config.json, checked to be a SegFormer's."""
    values = read_json(path, "the config.json of a SegFormer model")
    if values.get("model_type") != "segformer":
        found = values.get("model_type")
        raise ValueError(f'{path} has model_type {found!r}, expected "segformer"; give a SegFormer checkpoint.')
    return values


def read_index(path: Path) -> dict[str, str]:
    """Tensor name -> file name, from the index of a checkpoint in shards; the files lie beside it."""
    weight_map = read_json(path, "an index of shards").get("weight_map")
    if not isinstance(weight_map, dict) or not all(_is_beside(file) for file in weight_map.values()):
        raise ValueError(
            f'{path} is not an index of shards: expected "weight_map", an object of tensor names and the names of '
            "files beside it; copy it again."
        )
    return weight_map


def _is_beside(file: Any) -> bool:
    return isinstance(file, str) and file not in ("", ".", "..") and not set(file) & set("/\\\0")
