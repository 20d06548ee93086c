"""Which tensor goes into which variable: every one must find its place, and whatever does not is listed."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from segformer_tf.checkpoints.layouts import HEADS
from segformer_tf.checkpoints.names import from_variables, task_of, tensor_name

ASIDE = ("auxiliary_head.", "data_preprocessor.")  # MMSegmentation's, of training and of its own input


def match(
    shapes: Mapping[str, Sequence[int]],
    tensors: Mapping[str, np.ndarray],
    source: str,
    unexpected: Sequence[str] = (),
    ignore_mismatched_sizes: bool = False,
) -> tuple[dict[str, np.ndarray], dict[str, list]]:
    """Tensors to assign, by variable path, and a report with the keys of transformers' `output_loading_info`.

    Args:
        shapes: the model's variables, path to shape.
        tensors: the checkpoint's, under the same paths (see `names.to_variables`).
        source: the checkpoint's name, for messages.
        unexpected: the checkpoint's tensors that no SegFormer has.
        ignore_mismatched_sizes: leave out tensors of another shape, with a warning, instead of an error.

    A head that the checkpoint lacks altogether keeps its fresh values, and one that the model lacks is left out, each
    with a warning, as are MMSegmentation's auxiliary head and preprocessor. Raises one ValueError that lists everything
    else that is missing, unexpected, of another shape or not of floating point.
    """
    task = task_of(shapes)
    heads = {path.partition("/")[0] for path in (*shapes, *tensors)} & {*HEADS}
    new = {head for head in heads if not any(path.startswith(head + "/") for path in tensors)}
    gone = {head for head in heads if not any(path.startswith(head + "/") for path in shapes)}

    missing = [path for path in shapes if path not in tensors]
    extra = [path for path in tensors if path not in shapes]
    other = [path for path in shapes if path in tensors and tuple(shapes[path]) != tensors[path].shape]
    added = [path for path in missing if path.partition("/")[0] in new]
    left_out = [path for path in extra if path.partition("/")[0] in gone]
    aside = [each for each in unexpected if each.startswith(ASIDE)]
    foreign = [each for each in unexpected if each not in aside]
    types = [path for path in shapes if path in tensors and tensors[path].dtype.kind != "f"]

    def name(path: str) -> str:
        return tensor_name(path, "hub", task)

    def mismatch(path: str) -> tuple[str, tuple, tuple]:
        found = tensors[path].shape
        if len(found) == len(shapes[path]):  # a tensor of another rank is as it is in the file
            found = _stored_shape(path, found)
        return name(path), found, _stored_shape(path, shapes[path])

    problems = {
        "missing": [name(path) for path in missing if path not in added],
        "unexpected": [*(name(path) for path in extra if path not in left_out), *foreign],
        "of another shape": [] if ignore_mismatched_sizes else [_shapes(mismatch(path)) for path in other],
        "not of floating point": [f"{name(path)} is {tensors[path].dtype}" for path in types],
    }
    if any(problems.values()):
        raise ValueError(f"The tensors of {source} do not fit the model: {_told(problems, foreign)}.")
    if added:
        _warn(f"{source} has no {', '.join(map(name, added))}: these start from random values, so train before use.")
    left_out_names = [*map(name, left_out), *aside]
    if left_out_names:
        _warn(f"The model has no place for these tensors of {source}, left out: {', '.join(left_out_names)}.")
    if other:
        shown = ", ".join(_shapes(mismatch(path)) for path in other)
        _warn(f"Tensors of another shape in {source} start from random values, so train before use: {shown}.")
    if bad := not_finite({path: tensors[path] for path in shapes if path in tensors}):
        _warn(
            f"{source} has values that are no numbers (NaN or infinite) in {len(bad)} of its tensors, the first "
            f"{name(bad[0])}: what the model answers means nothing; take an earlier checkpoint."
        )
    report: dict[str, list[Any]] = {
        "missing_keys": [name(path) for path in added],
        "unexpected_keys": left_out_names,
        "mismatched_keys": [mismatch(path) for path in other],
        "error_msgs": [],
    }
    return {path: tensors[path] for path in shapes if path in tensors and path not in other}, report


def _told(problems: Mapping[str, Sequence[str]], foreign: Sequence[str]) -> str:
    """What is wrong, all of it, and what to do; `foreign` are those unexpected that no SegFormer has."""
    listed = "; ".join(f"{len(found)} {kind}: {', '.join(found)}" for kind, found in problems.items() if found)
    if problems["missing"] or problems["of another shape"] or len(problems["unexpected"]) > len(foreign):
        hint = "the configuration must be the checkpoint's own"
    elif problems["not of floating point"]:
        hint = "take the weights that were trained, no quantized ones"
    else:
        hint = "take these out of the file"
    if problems["of another shape"]:
        hint += ", or pass ignore_mismatched_sizes=True to give tensors of another shape fresh values"
    return f"{listed}; {hint}"


def not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """The names of those that have NaN or infinite values."""

    def finite(array: np.ndarray) -> bool:
        return bool(np.isfinite(array.sum()) or np.isfinite(array).all())  # the first is quick

    with np.errstate(all="ignore"):
        return [name for name, array in arrays.items() if array.dtype.kind == "f" and not finite(array)]


def check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """ValueError that names the first of the variables with NaN or infinite values."""
    if bad := not_finite(arrays):
        raise ValueError(
            f"The model has values that are no numbers (NaN or infinite) in {len(bad)} of its {len(arrays)} variables, "
            f"the first {bad[0]}, expected finite ones: take an earlier checkpoint, or train with a lower rate."
        )


def _stored_shape(path: str, shape: Sequence[int]) -> tuple[int, ...]:
    """A variable's shape in the Hub's orientation, as users see it in the file."""
    return next(iter(from_variables({path: np.broadcast_to(np.float32(0), tuple(shape))}, "hub").values())).shape


def _shapes(mismatch: tuple[str, tuple, tuple]) -> str:
    name, found, expected = mismatch
    return f"{name} is {found}, expected {expected}"


def _warn(message: str) -> None:
    warnings.warn(message, UserWarning, stacklevel=4)
