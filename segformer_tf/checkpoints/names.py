"""Tensors of a checkpoint <-> variables of a model: the tables of `layouts`, read forward and backward."""

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from segformer_tf.checkpoints.layouts import HEADS, LAYOUTS

WRAPPERS = 3  # modules that a model may stand in, one in another
_WEIGHT = {"kernel": "weight", "bias": "bias"}
_NORM = {"gamma": "weight", "beta": "bias"}
_BATCH_NORM = {**_NORM, "moving_mean": "running_mean", "moving_variance": "running_var"}
_LEAVES = {"norm": _NORM, "batch_norm": _BATCH_NORM}
_TO_KERAS = {"dense": (1, 0), "pointwise": (2, 3, 1, 0), "conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1)}
_TO_TORCH = {"dense": (1, 0), "pointwise": (3, 2, 0, 1), "conv": (3, 2, 0, 1), "depthwise": (2, 3, 0, 1)}


class _Row(NamedTuple):
    """One row of one table, compiled."""

    kind: str
    variables: tuple[str, ...]  # path templates, more than one where the tensor joins them
    tensor: str
    leaves: dict[str, str]  # a variable's leaf -> the tensor's
    variable_patterns: tuple[re.Pattern[str], ...]
    tensor_pattern: re.Pattern[str]


class _Place(NamedTuple):
    """A row, which of its variables is meant, and the numbers and the leaf (the variable's) that fill its templates."""

    row: _Row
    part: int
    numbers: dict[str, int]
    leaf: str

    def variables(self) -> list[str]:
        return [path.format(**self.numbers, leaf=self.leaf) for path in self.row.variables]

    def tensor(self) -> str:
        return self.row.tensor.format(**self.numbers, leaf=self.row.leaves[self.leaf])


def _compile(template: str, leaves: Iterable[str]) -> str:
    pattern = re.escape(template).replace(r"\{leaf\}", f"(?P<leaf>{'|'.join(leaves)})")
    return re.sub(r"\\{([snl])\\}", r"(?P<\1>\\d+)", pattern)


@cache
def _rows(layout: str) -> tuple[_Row, ...]:
    compiled = []
    for kind, variable, tensor in LAYOUTS[layout].rows:
        leaves = _LEAVES.get(kind, _WEIGHT)
        if layout == "tf":
            leaves = {leaf: leaf for leaf in leaves}
        parent, slash, parts = variable.rpartition("/")
        variables = tuple(f"{parent}{slash}{part}/{{leaf}}" for part in parts.split("+"))
        tensor = tensor if "{leaf}" in tensor else tensor + ".{leaf}"
        before = LAYOUTS[layout].before
        if not variable.startswith(HEADS):
            before += f"(?:{re.escape(LAYOUTS[layout].prefix)})?"
        patterns = tuple(re.compile(_compile(path, leaves)) for path in variables)
        pattern = re.compile(before + _compile(tensor, leaves.values()))
        compiled.append(_Row(kind, variables, tensor, leaves, patterns, pattern))
    return tuple(compiled)


def _numbers(match: re.Match[str]) -> dict[str, int]:
    numbers = {key: int(value) for key, value in match.groupdict().items() if key != "leaf"}
    if "n" in numbers:
        numbers["s"] = numbers["n"] - 1
    return {"s": 0, "l": 0, **numbers, "n": numbers.get("s", 0) + 1}


def _place_of_tensor(name: str, layout: str) -> _Place | None:
    for row in _rows(layout):
        if match := row.tensor_pattern.fullmatch(name):
            leaf = next(leaf for leaf, stored in row.leaves.items() if stored == match["leaf"])
            return _Place(row, 0, _numbers(match), leaf)
    return None


def _place_of_variable(path: str, layout: str) -> _Place:
    for row in _rows(layout):
        for part, pattern in enumerate(row.variable_patterns):
            if match := pattern.fullmatch(path):
                return _Place(row, part, _numbers(match), match["leaf"])
    raise ValueError(
        f"Variable {path} has no name in the {layout!r} layout; expected a variable of a SegFormer model such as "
        f"{_rows(layout)[0].variables[0].format(s=0, leaf='kernel')}."
    )


def detect_layout(names: Iterable[str]) -> str:
    """Which layout names these tensors: "hub", "transformers5", "nvlabs", "mmseg" or "tf".

    Raises ValueError for names that no table knows and for the decode head of MMSegmentation 1.x, which is another one.
    """
    names = list(names)
    found = {layout: sum(_place_of_tensor(name, layout) is not None for name in names) for layout in LAYOUTS}
    layout = max(found, key=lambda key: found[key])
    if found[layout] == 0:
        shown = ", ".join(names[:3]) or "nothing"
        raise ValueError(
            f"These are not the tensors of a SegFormer checkpoint: found {shown}{', ...' if len(names) > 3 else ''}; "
            "expected names as on the Hugging Face Hub (segformer.encoder.block.0.0.attention.self.query.weight), "
            "in NVlabs' files or in transformers' TensorFlow classes."
        )
    if any(re.fullmatch(r"decode_head\.(convs\.\d+|fusion_conv)\..*", name) for name in names):
        raise ValueError(
            "This is a segmentation checkpoint of MMSegmentation 1.x, whose decode head has a BatchNorm and a ReLU "
            "after every stage's projection, unlike the published SegFormer; use a checkpoint of NVlabs or the Hub, "
            "or an encoder-only file (mit_b*.pth)."
        )
    return layout


def unwrapped(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors without what the modules around a model put before its names (DataParallel, compile, Lightning)."""
    for around in range(WRAPPERS + 1):
        for name in tensors:
            own = name.split(".", around)[-1]
            if name.count(".") >= around and any(_place_of_tensor(own, layout) for layout in LAYOUTS):
                before = name[: len(name) - len(own)]
                return {name.removeprefix(before): tensor for name, tensor in tensors.items()}
    return dict(tensors)


def to_variables(tensors: Mapping[str, np.ndarray], layout: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """A checkpoint's tensors under the model's variable paths and in Keras' orientation (views, not copies).

    Also returns the names that have no place in a SegFormer. A tensor whose rank is wrong keeps its shape, so that
    `match` reports it. Raises ValueError for two tensors of one variable that differ.
    """
    variables, unexpected = {}, []
    for name, array in tensors.items():
        place = _place_of_tensor(name, layout)
        if place:
            paths = place.variables()
            array = _to_keras(array, place, layout)
            if array.ndim == 0 or array.shape[-1] % len(paths):
                raise ValueError(
                    f"Tensor {name} has an output size of {array.shape[-1:]}; expected a multiple of {len(paths)}, "
                    f"as it holds {' and '.join(paths)}."
                )
            for path, part in zip(paths, np.split(array, len(paths), axis=-1), strict=True):
                if path in variables and not np.array_equal(variables[path], part):
                    raise ValueError(
                        f"Tensor {name} is there twice, with and without a prefix, and the two differ; expected one "
                        "for each variable of a SegFormer: take the other out of the file."
                    )
                variables[path] = part
        elif not re.fullmatch(LAYOUTS[layout].unused, name):
            unexpected.append(name)
    return variables, unexpected


def from_variables(variables: Mapping[str, np.ndarray], layout: str) -> dict[str, np.ndarray]:
    """The model's variables under a checkpoint's tensor names and in its orientation (views where nothing is joined).

    The encoder's prefix ("segformer.", "backbone.") follows from the head, as in each layout's own files.
    """
    joined: dict[str, tuple[_Place, dict[int, np.ndarray]]] = {}
    task = task_of(variables)
    for path, array in variables.items():
        place = _place_of_variable(path, layout)
        joined.setdefault(tensor_name(path, layout, task), (place, {}))[1][place.part] = array
    tensors = {}
    for name, (place, parts) in joined.items():
        array = parts[0] if len(parts) == 1 else np.concatenate([parts[part] for part in sorted(parts)], axis=-1)
        tensors[name] = _from_keras(array, place, layout)
        if place.leaf == "moving_variance" and layout != "tf":
            tensors[name.replace("running_var", "num_batches_tracked")] = np.zeros((), np.int64)
    return tensors


def task_of(paths: Iterable[str]) -> str | None:
    """The head among these variable paths: "decode_head", "classifier", or None for an encoder alone."""
    found = {path.partition("/")[0] for path in paths}
    return next((head for head in HEADS if head in found), None)


def tensor_name(path: str, layout: str = "hub", task: str | None = None) -> str:
    """What a layout calls the tensor that holds a variable, in a checkpoint with this head (see `task_of`)."""
    encoder = not path.startswith(HEADS)
    prefixed = layout == "tf" or task == "decode_head" or (task and layout != "nvlabs")
    return (LAYOUTS[layout].prefix if encoder and prefixed else "") + _place_of_variable(path, layout).tensor()


def _to_keras(array: np.ndarray, place: _Place, layout: str) -> np.ndarray:
    kind = place.row.kind
    if place.leaf != "kernel" or array.ndim != len(_TO_KERAS[kind]):
        return array
    if layout != "tf":
        array = array.transpose(_TO_KERAS[kind])
    elif kind == "depthwise":
        array = array.swapaxes(2, 3)
    return array[0, 0] if kind == "pointwise" and array.shape[:2] == (1, 1) else array


def _from_keras(array: np.ndarray, place: _Place, layout: str) -> np.ndarray:
    kind = place.row.kind
    if place.leaf != "kernel":
        return array
    array = array[None, None] if kind == "pointwise" else array
    if layout != "tf":
        return array.transpose(_TO_TORCH[kind])
    return array.swapaxes(2, 3) if kind == "depthwise" else array
