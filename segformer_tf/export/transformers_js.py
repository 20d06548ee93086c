"""The folder that transformers.js loads: how its files are called, what they say, and that they are of one model."""

import json
from pathlib import Path
from typing import Any

from segformer_tf.config import SegformerConfig
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.images.resize import PILLOW_VERSION
from segformer_tf.pipelines.runtimes.description import KEY, Description, class_rows
from segformer_tf.storage.find import has_weights
from segformer_tf.storage.read import read_config

FOLDER = "onnx"
# Of each kind of weights the name of its file in that folder, and what transformers.js calls the kind.
FILES = {
    "float32": ("model.onnx", "fp32"),
    "float16": ("model_fp16.onnx", "fp16"),
    "int8": ("model_quantized.onnx", "q8"),
}
CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"


def files_beside(directory: Path, weights: str, about: Description) -> dict[str, str]:
    """The files to write with the ONNX file, {name: text}; a checkpoint that lies in the directory keeps its own.

    Raises:
        ValueError: The checkpoint, or an ONNX file of other weights in the directory, is of another model,
            configuration or processor, and would stand under one config.json with this one.
    """
    name, kind = FILES[weights]
    for file in sorted((directory / FOLDER).glob("model*.onnx")):
        if file.name != name and _facts(_description(file)) != _facts(about):
            raise ValueError(
                f"{file} is of another model, configuration or processor than {name}, which would be written beside "
                f"it under one {CONFIG}: remove that file, or choose another directory."
            )
    texts = {CONFIG: _config(about, kind), PROCESSOR: _processor(about).to_json_string()}
    if (directory / "best" / CONFIG).is_file() and not (directory / CONFIG).exists():
        raise ValueError(f"{directory} is a training run, whose model a {CONFIG} would hide: choose another directory.")
    if not has_weights(directory):
        return texts
    own = _loaded(about.config)
    if not (directory / CONFIG).is_file() or _loaded(read_config(directory / CONFIG)) != own:
        other = CONFIG
    elif SegformerImageProcessor.from_pretrained(directory, or_default=True).to_dict() != _processor(about).to_dict():
        other = PROCESSOR
    else:
        return {name: text for name, text in texts.items() if not (directory / name).exists()}
    raise ValueError(
        f"{directory} holds a checkpoint, and its {other} is not the one of this export, which would change what the "
        "checkpoint is: choose another directory, or export without a change of size, classes or merging."
    )


def _config(about: Description, kind: str) -> str:
    """`config.json` with the classes' colours, Pillow's version, and which weights are loaded where nobody says."""
    config = SegformerConfig.from_dict(about.config)
    more = {
        "architectures": [about.model.removeprefix("TF")],
        "palette": [row["color"] for row in class_rows(config)],
        "transformers.js_config": {"dtype": kind},
        "pillow_version": list(PILLOW_VERSION),  # the page without a server resizes as this one does
    }
    return json.dumps({**json.loads(config.to_json_string()), **more}, indent=2, sort_keys=True) + "\n"


def _loaded(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration as loading understands it, without what is written for transformers.js alone."""
    added = ("architectures", "palette", "transformers.js_config", "pillow_version")
    return {key: value for key, value in SegformerConfig.from_dict(config).to_dict().items() if key not in added}


def _processor(about: Description) -> SegformerImageProcessor:
    return about.image_processor() or SegformerImageProcessor()


def _facts(about: Description | None) -> tuple[Any, ...] | None:
    """What has to be the same of all ONNX files of a folder."""
    if about is None:
        return None
    return about.model, about.extra.get("weights_sha256"), _loaded(about.config), _processor(about).to_dict()


def _description(file: Path) -> Description | None:
    """That of an ONNX file; None where another program wrote it, or it is damaged."""
    import onnx

    try:
        said = {entry.key: entry.value for entry in onnx.load(file, load_external_data=False).metadata_props}
        return Description.parse(said.get(KEY), file)
    except Exception:  # protobuf raises errors of its own
        return None
