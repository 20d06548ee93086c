"""Where a checkpoint is: a file, a directory, a bundled model or a repository of the Hugging Face Hub."""

import difflib
import functools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segformer_tf.storage.download import download, sha256
from segformer_tf.storage.read import read_config, read_index
from segformer_tf.storage.switch import settle

WEIGHT_FILES = (  # in the order of preference; then *.pth
    "model.safetensors",
    "model.safetensors.index.json",
    "tf_model.h5",
    "tf_model.h5.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TORCH_SUFFIXES = (".pt", ".ckpt", ".tar")  # PyTorch's files have these too, but others' as well: they are not read
PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")  # in the order of preference
DEFAULT_MODEL = "segformer-b0-camvid"  # bundled; what pipelines and commands take unless told otherwise
HUB_ARGUMENTS = ("revision", "cache_dir", "token", "local_files_only", "subfolder", "force_download")
_PACKAGE = Path(__file__).parents[1]


class Source(NamedTuple):
    """A checkpoint that was found: what the user called it, its config (None: there is none) and its weight file."""

    name: str
    config: dict[str, Any] | None
    weights: Path


def has_weights(directory: Path) -> bool:
    """Whether a directory is a checkpoint, whatever else lies in it."""
    return any((directory / name).exists() for name in WEIGHT_FILES) or any(directory.glob("*.pth"))


def pop_hub_arguments(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Takes the arguments that say where to look on the Hub out of `kwargs`."""
    return {key: kwargs.pop(key) for key in HUB_ARGUMENTS if key in kwargs}


def bundled_names() -> list[str]:
    """The models that come with this package."""
    directories = (_PACKAGE / "_weights", _PACKAGE.parent / "weights")
    return sorted({config.parent.name for directory in directories for config in directory.glob("*/config.json")})


def nearest_bundled(name: str) -> str | None:
    """The bundled model that a misspelt name most likely means, whatever its capital letters; None for no such."""
    return next(iter(difflib.get_close_matches(name.lower(), bundled_names(), 1, 0.85)), None)


def bundled_path(name: str) -> Path | None:
    """The directory of a bundled model, in an installed package or a checkout; None if there is none of that name."""
    if name not in bundled_names():
        return None
    installed = _PACKAGE / "_weights" / name
    return installed if installed.is_dir() else _PACKAGE.parent / "weights" / name


def resolve(name_or_path: str | os.PathLike, use_safetensors: bool | None = None, **hub: Any) -> Source:
    """Finds config and weights of a Hub id, a directory, one weight file or a bundled model; downloads what it must.

    Of several weight files: model.safetensors, its shards, tf_model.h5, its shards, pytorch_model.bin, its shards, a
    .pth, in this order; `use_safetensors` takes only the first two (True) or none of them (False). `hub` are
    `revision`, `cache_dir`, `token`, `local_files_only`, `subfolder`, `force_download`.

    Raises:
        FileNotFoundError: No such file, model, repository or revision, or no weights in it.
        OSError: The Hub cannot be reached, or does not let this user in.
        ValueError: A config.json that is not a SegFormer's.
    """
    name = str(name_or_path)
    if Path(name).is_file():
        config = Path(name).parent / "config.json"
        own = config.is_file() and not name.endswith(".weights.h5")  # beside these lies keras-hub's config
        return Source(name, read_config(config) if own else None, Path(name))
    config = find(name, "config.json", **hub)
    values = read_config(config) if config else None
    choices = [file for file in WEIGHT_FILES if use_safetensors in (None, "safetensors" in file)]
    weights = next(filter(None, (find(name, file, **hub) for file in choices)), None)
    directory = _directory(name, hub.get("subfolder"))
    if weights is None and directory and not use_safetensors:
        others = sorted(directory.glob("*.pth"))
        if len(others) > 1:
            raise ValueError(
                f"{name} holds {len(others)} .pth files; give the path of one of them, such as {others[0]}."
            )
        weights = others[0] if others else None
    if weights is None:
        wanted = (
            *(() if config else ("config.json",)),
            *choices,
            *(("*.pth",) if directory and not use_safetensors else ()),
        )
        looked = _looked_for(wanted, directory, hub)
        raise FileNotFoundError(f"{name} holds no weights: {looked}{_not_read(directory, choices)}.")
    if values is None and weights.suffix != ".pth":
        looked = _looked_for(("config.json",), directory, hub)
        raise FileNotFoundError(f"{name} holds {weights.name} but no configuration: {looked}.")
    if not directory and weights.name.endswith(".index.json"):
        for shard in sorted(set(read_index(weights).values())):
            if find(name, shard, **hub) is None:
                raise FileNotFoundError(f"{weights.name} of {name} lists the shard {shard}, which is not in {name}.")
    return Source(name, values, weights)


def load_config(name_or_path: str | os.PathLike, **hub: Any) -> dict[str, Any]:
    """The parsed config.json of a Hub id, a directory, a bundled model, or such a file itself."""
    name = str(name_or_path)
    path = Path(name) if Path(name).is_file() else find(name, "config.json", **hub)
    if path is None:
        looked = _looked_for(("config.json",), _directory(name, hub.get("subfolder")), hub)
        raise FileNotFoundError(f"{name} holds no configuration: {looked}.")
    return read_config(path)


def find(
    name_or_path: str | os.PathLike,
    filename: str,
    *,
    revision: str | None = None,
    cache_dir: str | os.PathLike | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
    force_download: bool = False,
) -> Path | None:
    """A file of a directory, a bundled model or a Hub repository (then in the cache); None if it is not there."""
    name = str(name_or_path)
    directory = _directory(name, subfolder)
    if directory:
        path = directory / filename
        return path if path.is_file() else None
    where = {"revision": revision, "cache_dir": cache_dir}
    how = {"token": token, "local_files_only": local_files_only, "force_download": force_download}
    return download(name, "/".join(filter(None, (subfolder, filename))), where, how, _choices())


def find_processor(name_or_path: str | os.PathLike, **hub: Any) -> Path | None:
    """The file of a checkpoint's image processor, which may lie beside a weight file; None if it has none."""
    path = Path(name_or_path)
    place = path.parent if path.is_file() else name_or_path
    return next(filter(None, (find(place, name, **hub) for name in PROCESSOR_FILES)), None)


def local_directory(name_or_path: str | os.PathLike, subfolder: str | None = None) -> Path | None:
    """The directory that a name means, or that its file lies in; None for a Hub id."""
    path = Path(name_or_path)
    return path.parent if path.is_file() else _directory(str(name_or_path), subfolder)


def _directory(name: str, subfolder: str | None) -> Path | None:
    """The directory that a name means, of a training run that of its best model; None for a Hub id."""
    directory = Path(name) if name and Path(name).is_dir() else bundled_path(name)
    if directory and not Path(name).is_dir() and (directory / "MANIFEST.sha256").is_file():
        _check_bundled(directory)
    if directory:
        directory = directory / (subfolder or "")
        best = directory / "best"
        directory = best if (best / "config.json").is_file() and not (directory / "config.json").exists() else directory
        settle(directory)
        return directory
    alone = name.rstrip("/")
    if "/" not in alone and (near := nearest_bundled(alone)):  # before the network is asked for it
        raise FileNotFoundError(f"There is no file, directory or bundled model {name}: did you mean {near}?")
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name) or name.endswith((".safetensors", ".h5", ".bin", ".pth")):
        raise FileNotFoundError(f"There is no file or directory {name}, and it cannot be a Hub id; {_choices()}.")
    return None


def _choices() -> str:
    return (
        "expected a path, a Hub id such as nvidia/segformer-b0-finetuned-ade-512-512, or a bundled model "
        f"({', '.join(bundled_names()) or 'none here'})"
    )


def _looked_for(files: Sequence[str], directory: Path | None, hub: dict[str, Any]) -> str:
    text = f"looked for {', '.join(files)}"
    if directory is None:
        from huggingface_hub import constants

        if hub.get("local_files_only") or constants.HF_HUB_OFFLINE:
            return (
                f"{text} in the Hub's cache only, as local_files_only or HF_HUB_OFFLINE says; download it once with a "
                "network, or give the path of a directory with these files"
            )
        return f"{text} in the Hub's repository {hub.get('revision') or ''}".rstrip()
    return f"{text} in {directory}"


def _not_read(directory: Path | None, choices: Sequence[str]) -> str:
    """What a directory holds that might have been meant, with what to do, as the end of a sentence."""
    files = sorted(path.name for path in directory.glob("*")) if directory else []
    if "flax_model.msgpack" in files:
        return (
            "; its flax_model.msgpack is Flax's, which is not read: save it as model.safetensors, with transformers 4 "
            "by SegformerForSemanticSegmentation.from_pretrained(..., from_flax=True).save_pretrained(...)"
        )
    if skipped := [file for file in files if file in WEIGHT_FILES and file not in choices]:
        return f"; use_safetensors leaves out {', '.join(skipped)}"
    if directory and "model.keras" in files:
        return f"; its model.keras is Keras' own: `segformer-tf convert {directory / 'model.keras'} NEW` reads it"
    renamed = [file for file in files if file.endswith(TORCH_SUFFIXES)]
    return f"; if PyTorch wrote {renamed[0]}, rename it to .pth to have it read" if renamed else ""


@functools.cache
def _check_bundled(directory: Path) -> None:
    """OSError where a file of a bundled model is not the one that its manifest is of; once in a process."""
    for line in (directory / "MANIFEST.sha256").read_text("utf-8").splitlines():
        expected, name = line.split()
        if (digest := sha256(directory / name)) != expected:
            raise OSError(
                f"{directory / name} is not the file that was published (SHA-256 {digest}, expected {expected}); "
                "install the package again, or give the path of the directory if you changed it yourself."
            )
