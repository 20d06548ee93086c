"""The commands `train` and `evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from segformer_tf.cli.app import app

Data = Annotated[Path, typer.Option(help="Directory of a data set, in one of the layouts of docs/training.md.")]


@app.command()
def train(
    data: Data,
    model: Annotated[
        str, typer.Option(help="b0 to b5 from random weights, or a Hub id, directory or file to fine-tune.")
    ],
    output: Annotated[Path, typer.Option(help="Directory of the run: best/, last/, log.csv, report.md.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of --epochs.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    crop: Annotated[tuple[int, int] | None, typer.Option(help="Height and width of the training crops.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Name of a recipe, or a JSON file.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation; 0 if not given.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --output.")] = False,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out files that cannot be read.")] = False,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write RUN/tensorboard as well.")] = False,
) -> None:
    """Train a model on a data set; a stopped run goes on with --resume."""
    import dataclasses

    import keras

    from segformer_tf.config import VARIANTS
    from segformer_tf.data import inspect
    from segformer_tf.training import Recipe, state
    from segformer_tf.training import train as run_training

    if epochs is not None and steps is not None:
        raise typer.BadParameter("give --epochs or --steps, not both")
    chosen, chosen_seed = Recipe.load(recipe or ("from-scratch" if model in VARIANTS else "fine-tune")), seed or 0
    if resume and (output / state.RECIPE).is_file():
        started, started_seed = state.read_recipe(output)
        chosen = chosen if recipe else started
        chosen_seed = started_seed if seed is None else seed
    changes = {"epochs": epochs, "steps": steps, "batch_size": batch_size}
    changes = {key: value for key, value in changes.items() if value is not None}
    if steps is not None:
        changes["epochs"] = None
    if crop is not None:
        changes["augmentation"] = dataclasses.replace(chosen.augmentation, crop=crop)
    keras.utils.set_random_seed(chosen_seed)
    found = inspect(data, splits=("train", "val"), broken="skip" if skip_broken else "stop").check()
    network = _new_model(model, found)
    best = run_training(
        network,
        found,
        output,
        dataclasses.replace(chosen, **changes),
        seed=chosen_seed,
        resume=resume,
        broken="skip" if skip_broken else "stop",
        tensorboard=tensorboard,
    )
    print(f"best score {best['score']:.4f} at step {best['step']}: {output / 'best'}")


def _new_model(name: str, found):
    """A model for the data's classes: a variant from random weights, or a checkpoint, with a new head if need be."""
    from segformer_tf import SegformerConfig, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation
    from segformer_tf.config import VARIANTS

    split = found.splits["train"]
    kind = TFSegformerForSemanticSegmentation if split.has_masks else TFSegformerForImageClassification
    if name in VARIANTS:
        return kind(SegformerConfig.from_variant(name, id2label=found.id2label), data_format="channels_last")
    classes = split.id2label
    return kind.from_pretrained(
        name,
        id2label=classes or None,
        label2id={label: i for i, label in classes.items()} or None,
        ignore_mismatched_sizes=True,
        data_format="channels_last",
    )


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="Hub id, directory, file or bundled model.")],
    data: Data,
    split: Annotated[str, typer.Option()] = "val",
    protocol: Annotated[str, typer.Option(help="plain, processor, ade20k or slide.")] = "plain",
    window: Annotated[tuple[int, int], typer.Option(help="Height and width of a window, for slide.")] = (1024, 1024),
    stride: Annotated[tuple[int, int], typer.Option(help="Steps between windows, for slide.")] = (768, 768),
    dump: Annotated[Path | None, typer.Option(help="Directory to write the predictions to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model on a data set: mIoU, mAcc, aAcc and the classes, with the protocol."""
    from segformer_tf import (
        SegformerImageProcessor,
        TFSegformerForImageClassification,
        TFSegformerForSemanticSegmentation,
    )
    from segformer_tf.data import inspect
    from segformer_tf.training import Protocol, read_split
    from segformer_tf.training import evaluate as score

    chosen = Protocol(protocol, window, stride)
    pictures = read_split(data, split)
    kind = TFSegformerForSemanticSegmentation if pictures.has_masks else TFSegformerForImageClassification
    network = kind.from_pretrained(model, data_format="channels_last")
    pictures = inspect(pictures, network.config).check(network.config).splits[split]
    try:
        processor = SegformerImageProcessor.from_pretrained(model)
    except OSError:  # weights alone, in a file: ImageNet's mean and deviation, no resizing
        processor = None
    found = score(network, pictures, chosen, processor, dump)
    if as_json:
        print(json.dumps(found, indent=2))
        return
    columns = [key for key in ("IoU", "Acc", "Dice") if key in found["per_class"][0]]
    for row in found["per_class"]:
        values = ("   -  " if row[key] is None else f"{row[key]:.4f}" for key in columns)
        print(
            f"{row['id']:4} {row['name']:24} {'  '.join(f'{key} {v}' for key, v in zip(columns, values, strict=True))}"
        )
    means = [f"{key} {found[key]:.4f}" for key in ("mIoU", "mAcc", "aAcc", "accuracy") if found.get(key) is not None]
    print(f"{'  '.join(means)}\n{found['images']} pictures; {found['protocol']}")
