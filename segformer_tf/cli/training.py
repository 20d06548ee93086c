"""The commands `train` and `evaluate`."""

import json
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import MergeQueries, app, load_tensorflow

Data = Annotated[Path, typer.Option(help="Directory of a data set, in one of the layouts of docs/training.md.")]


class Distribute(str, Enum):
    """What learns together."""

    NONE, MIRRORED, MULTIWORKER = "none", "mirrored", "multiworker"


@app.command()
def train(
    data: Data,
    model: Annotated[
        str,
        typer.Option(
            help="b0 to b5 from random weights; or a Hub id, directory, run, file or bundled model to fine-tune."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Directory of the run: best/, last/, log.csv, report.html.")],
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of --epochs.", min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    crop: Annotated[tuple[int, int] | None, typer.Option(help="Height and width of the training crops.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Name of a recipe, or a JSON file.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="A value of the recipe, such as learning_rate=1e-4; repeat it."
        ),
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations; by default a tenth of the time at most.", min=1)
    ] = None,
    freeze: Annotated[str | None, typer.Option(help="encoder: only the head learns.")] = None,
    binary: Annotated[
        bool, typer.Option("--binary", help="Masks of one foreground class: 0 and 255, 0 and 1, black and white.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation; 0 if not given.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --output; with more --steps, lengthen it.")
    ] = False,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out files that cannot be read.")] = False,
    distribute: Annotated[
        Distribute, typer.Option(help="mirrored: all GPUs of this machine; multiworker: docs/distributed.md.")
    ] = Distribute.NONE,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write RUN/tensorboard as well.")] = False,
) -> None:
    """Train a model on a data set; a stopped run goes on with --resume."""
    if epochs is not None and steps is not None:
        raise typer.BadParameter("give --epochs or --steps, not both")
    strategies: list[Any] = []

    def make() -> None:  # before the first tensor: later, TensorFlow takes no workers
        from segformer_tf.training.workers import make_strategy

        strategies.append(make_strategy(distribute.value))

    load_tensorflow(make)
    import keras

    from segformer_tf.config import VARIANTS
    from segformer_tf.data import inspect
    from segformer_tf.training import load_recipe, state
    from segformer_tf.training import train as run_training

    given = {"epochs": epochs, "steps": steps, "batch_size": batch_size, "freeze": freeze, "augmentation.crop": crop}
    given["evaluate_every"] = evaluate_every
    try:
        chosen, chosen_seed = load_recipe(recipe or ("from-scratch" if model in VARIANTS else "fine-tune")), seed or 0
        if resume and (output / state.RECIPE).is_file():
            started, started_seed = state.read_recipe(output)
            chosen = chosen if recipe else started
            chosen_seed = started_seed if seed is None else seed
        changes = {key: value for key, value in given.items() if value is not None}
        if steps is not None:
            changes["epochs"] = None
        if evaluate_every is not None:
            changes["save_every"] = None
        chosen = chosen.changed(changes).with_settings(settings or ())
    except (FileNotFoundError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    keras.utils.set_random_seed(chosen_seed)
    broken = "skip" if skip_broken else "stop"
    # Splits that are drawn are the same for every seed, so that `evaluate` never meets a picture of the training.
    found = inspect(data, splits=("train", "val"), binary=binary, broken=broken).check()
    network = _new_model(model, found, binary and chosen.one_logit)
    try:
        best = run_training(
            network,
            found,
            output,
            chosen,
            seed=chosen_seed,
            resume=resume,
            broken=broken,
            tensorboard=tensorboard,
            strategy=strategies[0],
        )
    except KeyboardInterrupt as stopped:
        told = str(stopped) or "stopped before the state of this step was saved"
        go_on = shlex.join(["segformer-tf", "train", *(f"--data={data}", f"--model={model}", f"--output={output}")])
        print(f"segformer-tf: {told}; go on with: {go_on} --resume", file=sys.stderr)
        raise SystemExit(130) from None
    if not best:  # not the chief, which tells
        return
    name = "mIoU" if "mIoU" in best else "accuracy"
    command = "segment" if name == "mIoU" else "classify"
    print(
        f"report {output / 'report.html'}; best model {output / 'best'} ({name} {best['score']:.4f} at step "
        f"{best['step']}); next: segformer-tf {command} PICTURE --model {shlex.quote(str(output))}"
    )


def _new_model(name: str, found, one_logit: bool):
    """A model for the data's classes: a variant from random weights, or a checkpoint, with a new head if need be."""
    from segformer_tf import SegformerConfig, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation
    from segformer_tf.config import VARIANTS

    split = found.splits["train"]
    kind = TFSegformerForSemanticSegmentation if split.has_masks else TFSegformerForImageClassification
    if name in VARIANTS:
        names = {0: found.id2label[1]} if one_logit else found.id2label
        return kind(SegformerConfig.from_variant(name, id2label=names), data_format="channels_last")

    def load(classes):
        return kind.from_pretrained(
            name,
            id2label=classes or None,
            label2id={label: i for i, label in classes.items()} or None,
            ignore_mismatched_sizes=True,
            data_format="channels_last",
        )

    network = load({0: split.id2label[1]} if one_logit else split.id2label)
    if not split.id2label and network.config.num_labels not in (1, len(found.id2label)):
        network = load(found.id2label)  # nobody names the classes, and the checkpoint has others
    return network


@app.command()
def evaluate(
    model: Annotated[str, typer.Option(help="Hub id, directory, run, checkpoint or exported file, or bundled model.")],
    data: Data,
    split: Annotated[str, typer.Option()] = "val",
    protocol: Annotated[str, typer.Option(help="plain, processor, ade20k or slide.")] = "plain",
    window: Annotated[tuple[int, int], typer.Option(help="Height and width of a window, for slide.")] = (1024, 1024),
    stride: Annotated[tuple[int, int], typer.Option(help="Steps between windows, for slide.")] = (768, 768),
    scales: Annotated[
        list[float] | None, typer.Option(help="A size beside the picture's own, such as 0.75; repeat it.")
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Mirror images too; probabilities are averaged.")] = False,
    map_classes: Annotated[
        Path | None,
        typer.Option(help='JSON: {"class of the data": "class of the model", or null}, where they differ.'),
    ] = None,
    merge_queries: MergeQueries = None,
    binary: Annotated[bool, typer.Option("--binary", help="Masks of one foreground class, as for `train`.")] = False,
    dump: Annotated[Path | None, typer.Option(help="Directory to write the predictions to.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a model on a data set: mIoU, mAcc, aAcc and the classes, with the protocol."""
    load_tensorflow()
    from segformer_tf import (
        SegformerConfig,
        SegformerImageProcessor,
        TFSegformerForImageClassification,
        TFSegformerForSemanticSegmentation,
    )
    from segformer_tf.data import inspect
    from segformer_tf.pipelines.exported import exported_file, open_exported
    from segformer_tf.storage.read import read_json
    from segformer_tf.training import Protocol, read_split
    from segformer_tf.training import evaluate as score

    try:
        chosen = Protocol(protocol, window, stride, tuple(scales or (1.0,)), flip)
        mapping = read_json(map_classes, "class ids of the data set and of the model") if map_classes else None
    except (OSError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    pictures = read_split(data, split)
    processor = None
    if exported := exported_file(model):
        if merge_queries:
            raise typer.BadParameter(f"{model} is an exported file: give it to `export`.", param_hint="--merge-queries")
        network: Any = open_exported(exported)
        config = SegformerConfig.from_dict(network.description.config)
    else:
        kind = TFSegformerForSemanticSegmentation if pictures.has_masks else TFSegformerForImageClassification
        network = kind.from_pretrained(model, data_format="channels_last", merge_queries=merge_queries or None)
        config = network.config
        try:
            processor = SegformerImageProcessor.from_pretrained(model)
        except OSError:  # weights alone, in a file: ImageNet's mean and deviation, no resizing
            processor = None
    binary = binary or (mapping is None and config.num_labels == 1)
    if binary:  # all splits, since what 255 means shows in all masks together
        pictures = inspect(data, config, binary=True).check(config if mapping is None else None).splits[split]
    elif mapping is None:
        pictures = inspect(pictures, config).check(config).splits[split]
    found = score(network, pictures, chosen, processor, dump, mapping)
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
