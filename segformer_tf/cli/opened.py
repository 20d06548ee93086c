"""Which class loads a model; a model and the data set that it is scored on, opened and checked against each other."""

from pathlib import Path
from typing import Any, NamedTuple

import typer

from segformer_tf.cli.app import say


class Opened(NamedTuple):
    """A model or exported file, its configuration, and its processor if it has one."""

    network: Any
    config: Any
    processor: Any


def open_both(
    model: str,
    data: Path,
    split: str,
    binary: bool,
    mapping: Any = None,
    merging: dict[str, Any] | None = None,
    broken: str = "stop",
) -> tuple[Any, Opened]:
    """The split, checked against the model, and the model."""
    from segformer_tf.data import inspect
    from segformer_tf.training import read_split
    from segformer_tf.training.sources import as_read_by, reading_of

    pictures = read_split(data, split)
    opened = load_model(model, pictures.has_masks, merging)
    pictures = as_read_by(pictures, opened.processor)
    if binary or (mapping is None and opened.config.num_labels == 1):
        # All splits, since what 255 means shows in all masks together.
        found = inspect(data, opened.config, binary=True, broken=broken, **reading_of(opened.processor))
    elif mapping is None or broken == "skip":
        found = inspect(pictures, opened.config if mapping is None else None, broken=broken)
    else:
        return pictures, opened
    found.check(opened.config if mapping is None else None)
    say_left_out(found)
    return found.splits[split], opened


def inspect_by_group(data: Path, rule: str, **options: Any) -> Any:
    """What `inspect_folds` finds; ends as a wrong call where --folds does not fit the data set."""
    from segformer_tf.data import DataError
    from segformer_tf.data.folds import inspect_folds

    try:
        return inspect_folds(data, rule, **options)
    except DataError:  # of the data, not of the rule
        raise
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--folds") from None


def say_left_out(found: Any) -> None:
    """Names the files that an inspection has left out."""
    for text in (text for text in found.warnings if text.startswith("left out:")):
        say(f"warning: {text}")


def load_model(model: str, has_masks: bool, merging: dict[str, Any] | None = None) -> Opened:
    """A model or exported file by its name, with its processor."""
    from segformer_tf import SegformerConfig
    from segformer_tf.pipelines.runtimes.exported import exported_file, open_exported

    if exported := exported_file(model):
        if merging:
            hint = " and ".join(f"--{key.replace('_', '-')}" for key in merging)
            raise typer.BadParameter(f"{model} is an exported file: give it to `export`.", param_hint=hint)
        runtime = open_exported(exported)
        description = runtime.description
        return Opened(runtime, SegformerConfig.from_dict(description.config), description.image_processor())
    network = class_of(not has_masks).from_pretrained(model, data_format="channels_last", **(merging or {}))
    return Opened(network, network.config, processor_of(model))


def class_of(classifies: bool) -> Any:
    """The class of the models that classify pictures, or else of those that segment them."""
    from segformer_tf import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation

    return TFSegformerForImageClassification if classifies else TFSegformerForSemanticSegmentation


def classifies(model: str) -> bool:
    """Whether a checkpoint, which gives its weights, classifies pictures."""
    from segformer_tf import checkpoints
    from segformer_tf.checkpoints.names import task_of

    return task_of(checkpoints.load(model).variables) == "classifier"


def processor_of(model: str) -> Any:
    """A model's processor; None for weights alone, in a file: the default's mean, deviation and size."""
    from segformer_tf import SegformerImageProcessor

    try:
        return SegformerImageProcessor.from_pretrained(model)
    except OSError:
        return None
