"""`convert` and `info`: checkpoints without running them."""

import json
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import app, check_checkpoint, check_model, load_tensorflow, printable, wrong_call
from segformer_tf.cli.options import AsJson, ModelArgument


class Format(str, Enum):
    """A file format of checkpoints."""

    SAFETENSORS, H5, BIN, PTH, KERAS = "safetensors", "h5", "bin", "pth", "keras"


@app.command()
def convert(
    src: Annotated[
        str, typer.Argument(help="Hub id, directory, file (.safetensors .h5 .bin .pth .keras) or bundled model.")
    ],
    dst: Annotated[str, typer.Argument(help="Directory, or file with one of these suffixes.")],
    format: Annotated[
        Format | None, typer.Option(help="Of DST; by default as its suffix says.", show_default=False)
    ] = None,
) -> None:
    """Convert a checkpoint between file formats and frameworks.

    segformer-tf convert nvidia/segformer-b0-finetuned-ade-512-512 b0.keras
    segformer-tf convert iter_160000.pth converted
    """
    from segformer_tf.convert import convert as write
    from segformer_tf.convert import destination

    check_checkpoint(src, "SRC")
    with wrong_call("DST"):
        wanted, _ = destination(dst, format and format.value)
    if Path(src).suffix == ".keras" or wanted == "keras":
        load_tensorflow()
    for path in write(src, dst, format=wanted):
        print(f"wrote {path}")


@app.command()
def info(
    model: ModelArgument,
    as_json: AsJson = False,
) -> None:
    """Tell what a checkpoint or an exported file is: task, size, classes, input, file.

    segformer-tf info segformer-b0-camvid
    """
    check_model(model, "MODEL")
    facts = _facts(model)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for key, value in facts.items():
        shown = ", ".join(map(_quoted, value)) if isinstance(value, list) else value
        print(f"{key.replace('_', ' ')}: {printable(str(shown))}")


def _quoted(value: Any) -> str:
    """One of several values as text; in quotes where it holds the comma that parts them."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and "," in value else str(value)


def _facts(name: str) -> dict[str, Any]:
    from segformer_tf import SegformerConfig, SegformerImageProcessor, checkpoints
    from segformer_tf.checkpoints.infer import expected_shapes
    from segformer_tf.checkpoints.layouts import TASKS
    from segformer_tf.checkpoints.names import task_of
    from segformer_tf.config import variant_of
    from segformer_tf.pipelines.runtimes.exported import exported_file

    if exported := exported_file(name):
        return _exported_facts(name, exported)
    checkpoint = checkpoints.load(name)
    config = SegformerConfig.from_dict(checkpoint.config)
    task = task_of(checkpoint.variables)
    shapes = expected_shapes(config, task)
    checkpoints.match(shapes, checkpoint.variables, name, checkpoint.unexpected)  # lists what does not fit
    return {
        "model": name,
        "file": str(checkpoint.file),
        "names": checkpoint.layout,
        "architecture": TASKS[task].architecture,
        "variant": variant_of(config) or "none of b0 to b5",
        "parameters": sum(array.size for array in checkpoint.variables.values()),
        "input": SegformerImageProcessor.from_pretrained(name, or_default=True).to_dict()["size"],
        **_of_config(config),
    }


def _exported_facts(name: str, file: Path) -> dict[str, Any]:
    """What an exported file says of itself; its numbers are its runtime's."""
    from segformer_tf import SegformerConfig, SegformerImageProcessor
    from segformer_tf.cli.labelling import EXPORTED
    from segformer_tf.pipelines.runtimes.exported import open_exported

    if file.suffix.lower() not in EXPORTED:
        load_tensorflow()
    runtime = open_exported(file)
    processor = runtime.description.image_processor() or SegformerImageProcessor()
    return {
        "model": name,
        "file": str(file),
        "architecture": runtime.description.model,
        "runtime": runtime.backend,
        "input": processor.to_dict()["size"],
        **_of_config(SegformerConfig.from_dict(runtime.description.config)),
    }


def _of_config(config: Any) -> dict[str, Any]:
    return {
        "channels": config.num_channels,
        "depths": config.depths,
        "hidden_sizes": config.hidden_sizes,
        "num_labels": config.num_labels,
        "labels": list(config.id2label.values()),
    }
