"""One checkpoint format into another: safetensors, h5, bin, pth and keras, in every direction."""

import difflib
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.checkpoints import formats, hdf5, infer, layouts, names
from segformer_tf.checkpoints.checkpoint import config_text, load, save
from segformer_tf.checkpoints.matching import match
from segformer_tf.config import SegformerConfig
from segformer_tf.storage import find
from segformer_tf.storage.keywords import check_keywords, keywords_of
from segformer_tf.storage.read import parse_json, read_text, reason, understanding
from segformer_tf.storage.whole import staged, whole, write_text

# format -> (the file's name where the destination is a directory, the layout of its names)
FORMATS = {
    "safetensors": ("model.safetensors", "hub"),
    "h5": ("tf_model.h5", "tf"),
    "bin": ("pytorch_model.bin", "hub"),
    "pth": ("segformer.pth", "nvlabs"),
    "keras": ("model.keras", ""),
}
EXPORTED = ("onnx", "tflite", "xml", "pb")
# Suffixes that other files of weights and archives have: no directory would be meant by them.
OTHERS = (
    "pt",
    "ckpt",
    "msgpack",
    "pkl",
    "pickle",
    "npz",
    "npy",
    "hdf5",
    "gguf",
    "pdparams",
    "json",
    "tar",
    "zip",
    "gz",
)


def convert(
    src: str | os.PathLike, dst: str | os.PathLike, format: str | None = None, **config_overrides: Any
) -> list[Path]:
    """Writes the checkpoint `src` (anything `from_pretrained` takes, or a .keras file) as `dst`; returns the files.

    The format follows from the suffix of `dst`; a `dst` without one is a directory, of format "safetensors" unless
    given: "safetensors", "h5" (tf_model.h5), "bin" (pytorch_model.bin), "pth" (NVlabs' names) or "keras".
    config.json goes beside the first three, with the image processor's file if `src` has one; a "pth" holds no
    configuration, and a warning tells what gets lost. Files of the same name are replaced, each whole.
    `config_overrides` are config keys, such as `num_attention_heads` for a `.pth` with others than b0 to b5's, and
    where to look on the Hub (`revision`, `cache_dir`, ...).

    A suffix that other files are known by is an error, unless `dst` is a directory that exists or ends in a slash.

    Raises ValueError for an unknown format, for a `dst` that ends in .weights.h5, which Keras and keras-hub call their
    own files, and for a checkpoint whose tensors are not those its config asks for.
    """
    format, file = destination(dst, format)
    hub_arguments = find.pop_hub_arguments(config_overrides)
    check_keywords("convert", config_overrides, (*keywords_of(convert), *find.HUB_ARGUMENTS, *SegformerConfig.KEYS))
    if str(src).endswith(".keras"):
        source, unexpected = Path(src), []
        config, variables = _read_keras(source)
    else:
        config, variables, source, _, unexpected = load(src, **hub_arguments)
    checked = SegformerConfig.from_dict(config, **config_overrides)
    match(infer.expected_shapes(checked, names.task_of(variables)), variables, str(source), unexpected)
    config = checked.to_dict()
    if format == "keras":
        _write_keras(file, config, variables)
        return [file]
    if format == "safetensors" and file.name == "model.safetensors":
        save(file.parent, config, variables)
        return [file.parent / "config.json", file, *_with_processor(src, file.parent, hub_arguments)]
    tensors = names.from_variables(variables, FORMATS[format][1])
    if format == "pth":
        meta = {"CLASSES": tuple(checked.id2label[i] for i in range(checked.num_labels))}
        _warn_of_lost(file, config, variables, meta)
        with whole(file) as draft:
            formats.write_torch(draft, tensors, meta)
        return [file]
    with staged(file.parent) as stage:
        (stage / "config.json").write_text(config_text(config, variables, FORMATS[format][1]), "utf-8")
        write = {"safetensors": formats.write_safetensors, "h5": hdf5.write_h5, "bin": formats.write_torch}[format]
        write(stage / file.name, tensors)
    return [file.parent / "config.json", file, *_with_processor(src, file.parent, hub_arguments)]


def _with_processor(src: str | os.PathLike, directory: Path, hub: dict[str, Any]) -> list[Path]:
    """Copies the file that says how pictures come to the checkpoint: by another size or mean it answers otherwise."""
    found = find.find_processor(src, **hub)
    if found is None or found.parent.resolve() == directory.resolve():
        return []
    copy = directory / found.name
    write_text(copy, read_text(found, "the settings of an image processor"))
    return [copy]


def check_suffix(dst: str | os.PathLike) -> None:
    """ValueError for a destination whose suffix is of another format, or misspelt; directories may have any."""
    suffix = Path(dst).suffix.removeprefix(".")
    if Path(dst).is_dir() or str(dst).endswith(("/", os.sep)):
        return
    if str(dst).endswith(".weights.h5"):
        raise ValueError(
            f"{dst} ends in .weights.h5, which loading takes for a file of keras-hub without a configuration, expected "
            "another name: call it tf_model.h5, or save a model by `model.save_weights` for Keras' own format."
        )
    if suffix in FORMATS:
        return
    one_of = f"one of {', '.join('.' + name for name in FORMATS)}, or a directory's name, which may end in /"
    if suffix.lower() in EXPORTED:
        raise ValueError(f"{dst} ends in .{suffix}, which `segformer-tf export` writes; expected {one_of}.")
    near = difflib.get_close_matches(suffix.lower(), FORMATS, 1, cutoff=0.85)
    if suffix.lower() in OTHERS or near:
        hint = f": did you mean .{near[0]}?" if near else "."
        raise ValueError(f"{dst} ends in .{suffix}, which is no format here; expected {one_of}{hint}")


def destination(dst: str | os.PathLike, format: str | None) -> tuple[str, Path]:
    """The format and the file that `convert` writes; ValueError for a destination and a format that do not agree."""
    check_suffix(dst)
    dst = Path(dst)
    suffix = dst.suffix.removeprefix(".")
    is_file = suffix in FORMATS and not dst.is_dir()
    format = format or (suffix if is_file else "safetensors")
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; expected one of {', '.join(FORMATS)}.")
    if is_file and suffix != format:
        raise ValueError(f"{dst} ends in .{suffix} but format is {format!r}; make them agree.")
    return format, dst if is_file else dst / FORMATS[format][0]


def _warn_of_lost(
    file: Path, config: dict[str, Any], variables: dict[str, np.ndarray], metadata: dict[str, Any]
) -> None:
    """Of what loading the `.pth` makes different, for it holds no configuration but the classes' names."""
    if config.get("encoder_norm_eps", 1e-5) != 1e-6:
        warnings.warn(
            f"{file}: NVlabs' code runs the norms of the encoder's blocks and stages at epsilon 1e-6, this checkpoint "
            "has 1e-5 there, so its outputs will differ slightly; here from_pretrained takes encoder_norm_eps=1e-5.",
            UserWarning,
            stacklevel=3,
        )
    found = {**SegformerConfig().to_dict(), **infer.infer_config(variables, "nvlabs", metadata)}  # may not be valid
    found["id2label"] = {int(key): value for key, value in found["id2label"].items()}
    keys = {*keywords_of(SegformerConfig), "calibration_temperature", "class_colors"}
    keys -= {"encoder_norm_eps", "num_labels"}
    if config["id2label"] != found["id2label"]:
        keys.remove("label2id")  # which follows
    lost = [key for key in config if key in keys and config[key] != found.get(key)]
    if lost:
        listed = ", ".join(f"{key}={config[key]!r:.200} (from the file: {found.get(key)!r:.60})" for key in lost)
        warnings.warn(
            f"{file}: NVlabs' format holds no configuration, so these keys are lost: {listed}; put the "
            "checkpoint's config.json beside the file, or give them to from_pretrained.",
            UserWarning,
            stacklevel=3,
        )


def _read_keras(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    import keras

    from segformer_tf.models import tasks  # noqa: F401  (registers the classes with Keras)

    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}; expected a SegFormer that `model.save` wrote.")
    try:
        _check_keras(path)
        model: Any = keras.saving.load_model(path, compile=False)
        config = dict(model.get_config()["config"])
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ValueError(f"{path} is not a SegFormer of this package saved by Keras ({reason(error)}).") from error
    return config, model.variable_arrays()


def _check_keras(path: Path) -> None:
    """ValueError for a .keras file that unpacks to far more than it is, or whose values lie in other files."""
    import h5py

    with understanding(path, "a SegFormer that Keras saved"):
        try:
            archive = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{path} is not a SegFormer of this package saved by Keras ({error}).") from None
        with archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > 8 * path.stat().st_size + 2**24:
                raise ValueError(f"{path} is refused: it unpacks to {unpacked:,} bytes; expected no more than it has.")
            config = parse_json(archive.read("config.json"), f"config.json of {path}", "a model's configuration")
            SegformerConfig.from_dict(dict(config["config"]["config"]))
            with archive.open("model.weights.h5") as member, h5py.File(member, "r") as file:
                found = hdf5.datasets(file, path)
                room = infer.Room(config["config"]["config"], path)
                room.take({name: item.shape for name, item in found.items()})
                room.check_filled()


def _write_keras(file: Path, config: dict[str, Any], variables: dict[str, np.ndarray]) -> None:
    from segformer_tf.models import tasks

    model_class = getattr(tasks, layouts.TASKS[names.task_of(variables)].class_name)
    model = model_class.from_config({"config": config, "data_format": "channels_last"})
    weights = {weight.path: weight for weight in model.weights}
    arrays, _ = match({path: tuple(weight.shape) for path, weight in weights.items()}, variables, str(file))
    for path, array in arrays.items():
        weights[path].assign(array)
    with whole(file) as draft:
        model.save(draft)
