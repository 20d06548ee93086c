"""Checkpoints as models see them: a config and arrays by variable path, loaded from anywhere, saved as on the Hub."""

import json
import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segformer_tf.checkpoints import formats, hdf5, infer, keras_hub, layouts, names
from segformer_tf.checkpoints.matching import check_finite
from segformer_tf.storage import find
from segformer_tf.storage.read import understanding
from segformer_tf.storage.switch import settled
from segformer_tf.storage.whole import staged

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
OWN_FILES = re.compile(r"model(-\d+)?(-\d+-of-\d+)?\.safetensors(\.index\.json)?")  # a save may remove these


class Checkpoint(NamedTuple):
    """Config (Hub keys), arrays by variable path, and where they come from.

    `unexpected` are tensors that no SegFormer has; `layout` is the file's naming, see `names.detect_layout`.
    """

    config: dict[str, Any]
    variables: dict[str, np.ndarray]
    file: Path
    layout: str
    unexpected: list[str]


def load(name_or_path: str | os.PathLike, **arguments: Any) -> Checkpoint:
    """Config and variables of a Hub id, a directory, one weight file or a bundled model; as `find.resolve`.

    Where there is no config.json (a `.pth`, or one file by itself) the config is read off the tensors.
    """
    with settled(find.local_directory(name_or_path, arguments.get("subfolder"))):
        source = find.resolve(name_or_path, **arguments)
        room = None if source.config is None else infer.Room(source.config, source.weights)
        tensors, metadata = formats.read(source.weights, room and room.take)
        if room:
            room.check_filled()
    return understand(tensors, source.config, metadata, source.weights)


def understand(
    tensors: Mapping[str, np.ndarray], config: dict[str, Any] | None, metadata: Mapping[str, Any], source: Path
) -> Checkpoint:
    """Tensors under any layout's names as a checkpoint; `source` is what messages call them."""
    with understanding(source, "the tensors of a SegFormer"):
        tensors = names.unwrapped(tensors)
        if keras_hub.is_keras_hub(tensors):
            layout = "keras_hub"
            variables, unexpected = keras_hub.to_variables(tensors)
        else:
            layout = names.detect_layout(tensors)
            variables, unexpected = names.to_variables(tensors, layout)
        if config is None:
            config = infer.infer_config(variables, layout, metadata)
            infer.check_inferred(config, variables, layout, source)
    return Checkpoint(config, variables, source, layout, unexpected)


def save(
    directory: str | os.PathLike,
    config: Mapping[str, Any],
    variables: Mapping[str, np.ndarray],
    max_shard_size: int | str | None = None,
) -> None:
    """Writes `config.json` and `model.safetensors` under the Hub's names, as transformers' PyTorch classes read them.

    `max_shard_size` (bytes, or text such as "5GB") splits the weights into shards with an index. Earlier
    safetensors files of the directory are replaced; others are left as they are.

    A stop at any moment leaves config and weights of one save, whole, to whoever loads with this package. Other
    programs find the weights of one save too: one file takes another's place in one step; shards come under names that
    no earlier index has (`model-2-00001-of-00003.safetensors`), then config and index, and what they replace is removed
    last, a single file first, as loading prefers it.

    Raises OSError where the directory cannot be written, ValueError for a `max_shard_size` that is no size and for
    variables with NaN or infinite values.
    """
    check_finite(variables)
    directory = Path(directory)
    tensors = names.from_variables(variables, "hub")
    shards = {SINGLE: list(tensors)} if max_shard_size is None else _shards(directory, tensors, max_shard_size)

    def earlier() -> list[str]:
        return [file.name for file in directory.glob("model*.safetensors*") if OWN_FILES.fullmatch(file.name)]

    with staged(directory, earlier) as stage:
        (stage / "config.json").write_text(config_text(config, variables), "utf-8")
        for file, keys in shards.items():
            formats.write_safetensors(stage / file, {key: tensors[key] for key in keys})
        if SINGLE not in shards:
            total = sum(array.nbytes for array in tensors.values())
            weight_map = {key: file for file, keys in shards.items() for key in keys}
            index = {"metadata": {"total_size": total}, "weight_map": weight_map}
            (stage / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", "utf-8")


def save_h5(
    directory: str | os.PathLike,
    config: Mapping[str, Any],
    variables: Mapping[str, np.ndarray],
    max_shard_size: int | str | None = None,
) -> None:
    """Writes `config.json` and `tf_model.h5`, as transformers' TensorFlow classes read them.

    ValueError where that one file would be larger than `max_shard_size`.
    """
    check_finite(variables)
    if max_shard_size is not None and len(_shards(Path(directory), variables, max_shard_size)) > 1:
        raise ValueError(
            f"tf_model.h5 would be larger than max_shard_size = {max_shard_size!r}, expected one file: leave "
            "max_shard_size out, or write safetensors, which come in shards."
        )
    with staged(directory) as stage:
        (stage / "config.json").write_text(config_text(config, variables, "tf"), "utf-8")
        hdf5.write_h5(stage / "tf_model.h5", names.from_variables(variables, "tf"))
    if preferred := [file for file in (SINGLE, INDEX) if (Path(directory) / file).exists()]:
        warnings.warn(
            f"{directory} also holds {preferred[0]}, which loading prefers to the tf_model.h5 that was just written: "
            "remove it, or save into another directory.",
            UserWarning,
            stacklevel=3,
        )


def config_text(config: Mapping[str, Any], variables: Mapping[str, np.ndarray], layout: str = "hub") -> str:
    """The text of config.json, which names the architecture and the type that these variables are.

    transformers 5 computes in the type that the file names, so that of a half-precision source must not stay. Its old
    TensorFlow classes, which read the layout "tf", know one function under one of its two names alone.
    """
    if layout == "tf" and config.get("hidden_act") == "gelu_pytorch_tanh":
        config = {**config, "hidden_act": "gelu_new"}
    dtype = next((str(array.dtype) for array in variables.values()), "float32")
    values = {
        **config,
        **{key: dtype for key in ("dtype", "torch_dtype") if key in config},
        "model_type": "segformer",
        "architectures": [layouts.TASKS[names.task_of(variables)].architecture],
    }
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _shards(directory: Path, tensors: Mapping[str, np.ndarray], limit: int | str) -> dict[str, list[str]]:
    """File names that nothing in the directory has -> the tensors that go into each; one file where all fit into it."""
    if isinstance(limit, bool):  # the second argument in transformers is saved_model
        raise ValueError(
            f'max_shard_size is {limit}; expected bytes or a text such as "5GB": give saved_model by its name.'
        )
    from huggingface_hub import split_state_dict_into_shards_factory as split

    pattern = "model{suffix}.safetensors"
    try:
        found = split(dict(tensors), get_storage_size=_bytes, filename_pattern=pattern, max_shard_size=limit)
    except ValueError as error:
        raise ValueError(f'max_shard_size is {limit!r}; expected bytes or a text such as "500MB" or "5GB".') from error
    shards, number = found.filename_to_tensors, 1
    while len(shards) > 1 and any((directory / file).exists() for file in shards):
        number += 1
        shards = {file.replace("model-", f"model-{number}-"): keys for file, keys in found.filename_to_tensors.items()}
    return shards


def _bytes(array: np.ndarray) -> int:
    return array.nbytes


def from_torch_module(module: Any) -> Checkpoint:
    """Config and variables of a SegFormer `torch.nn.Module`: transformers' 4 or 5, NVlabs' or MMSegmentation's.

    The config is the module's own, or is read off its tensors where it has none.
    Raises ValueError for a module that is not a SegFormer.
    """
    tensors = {}
    for name, tensor in module.state_dict().items():
        tensor = tensor.detach().cpu()
        tensors[name] = (tensor.float() if tensor.is_floating_point() else tensor).numpy().copy()
    diff = getattr(getattr(module, "config", None), "to_diff_dict", None)
    config = diff() if diff else None
    return understand(tensors, config, {}, Path(type(module).__name__))


FIRST_KERNEL = "patch_embeddings_0/proj/kernel"


def adapt_channels(variables: dict[str, np.ndarray], num_channels: int) -> tuple[dict[str, np.ndarray], str | None]:
    """The variables with a first kernel for `num_channels`, and a sentence that says what was done (None: nothing).

    For one channel the kernels are summed, so that a grey picture gives what it gave as three equal channels. For
    more they are repeated in turn and scaled so that equal channels still give the same.
    """
    kernel = variables.get(FIRST_KERNEL)
    if kernel is None or kernel.ndim != 4 or kernel.shape[2] == num_channels:
        return variables, None
    had = kernel.shape[2]
    if num_channels == 1:
        new, how = kernel.sum(axis=2, keepdims=True), f"is the sum of the {had} it had"
    else:
        turns = np.arange(num_channels) % had
        # Each of the old kernels shares its weight among the channels that repeat it; with fewer channels than kernels
        # those left are scaled up instead.
        shares = (
            np.bincount(turns, minlength=had)[turns]
            if num_channels > had
            else np.full(num_channels, num_channels / had)
        )
        new = kernel[:, :, turns] / shares[:, None]
        how = (
            f"repeats the {had} it had in turn, rescaled"
            if num_channels > had
            else f"keeps the first of {had}, rescaled"
        )
    message = f"The first convolution's kernel for {num_channels} channels {how}: {FIRST_KERNEL}."
    return {**variables, FIRST_KERNEL: new.astype(kernel.dtype)}, message
