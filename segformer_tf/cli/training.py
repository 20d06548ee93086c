"""The command `train`."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli import stopping
from segformer_tf.cli.app import app, check_model, load_tensorflow, say
from segformer_tf.cli.opened import class_of, inspect_by_group, processor_of
from segformer_tf.cli.options import Binary, Data, SkipBroken

MOST_SEED = 2**32 - 1  # that NumPy takes


class Distribute(str, Enum):
    """What learns together."""

    NONE, MIRRORED, MULTIWORKER = "none", "mirrored", "multiworker"


@app.command()
def train(
    context: typer.Context,
    data: Data,
    model: Annotated[
        str,
        typer.Option(
            help="b0 to b5 from random weights; or a Hub id, directory, run, file or bundled model to fine-tune."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="Directory of the run: best/, last/, log.csv, report.html.", file_okay=False)
    ],
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
        int | None, typer.Option(help="Batches between evaluations; by default a tenth of the time at most.", min=1)
    ] = None,
    freeze: Annotated[str | None, typer.Option(help="encoder: only the head learns.")] = None,
    binary: Binary = False,
    seed: Annotated[
        int | None, typer.Option(help="Of weights, order and augmentation; 0 if not given.", min=0, max=MOST_SEED)
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --output; with more --steps, lengthen it.")
    ] = False,
    skip_broken: SkipBroken = False,
    distribute: Annotated[
        Distribute, typer.Option(help="mirrored: all GPUs of this machine; multiworker: docs/distributed.md.")
    ] = Distribute.NONE,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write RUN/tensorboard as well.")] = False,
    folds: Annotated[
        str | None,
        typer.Option(
            help="Leave one group of train and val pictures out after the other: drive (what stands before the first _ "
            "of a name), a regular expression with one group, or groups.json. Each run in RUN/fold-GROUP."
        ),
    ] = None,
) -> None:
    """Train a model on a data set; a stopped run goes on with --resume.

    segformer-tf train --data photos --model segformer-b0-camvid --output RUN --steps 600
    segformer-tf train --data photos --model segformer-b0-camvid --output RUN --resume
    segformer-tf train --data photos --model nvidia/mit-b2 --output RUN --set learning_rate=1e-4 --crop 512 512
    """
    if epochs is not None and steps is not None:
        raise typer.BadParameter("give --epochs or --steps, not both")
    if output.resolve() == data.resolve():
        raise typer.BadParameter(
            f"{output} is the data set's own directory: give the run one of its own", param_hint="--output"
        )
    if folds is not None and distribute is not Distribute.NONE:
        raise typer.BadParameter("one run after the other is for one device: leave out --folds or --distribute")
    from segformer_tf.config import VARIANTS

    check_model(model, sizes=VARIANTS)
    strategies: list[Any] = []

    def make() -> None:  # before the first tensor: later, TensorFlow takes no workers
        from segformer_tf.training.workers import make_strategy

        if distribute is Distribute.MULTIWORKER:  # whoever waits for a worker that is gone is to end by SIGTERM
            stopping.leave_to_the_system()
        strategies.append(make_strategy(distribute.value))

    load_tensorflow(make)
    import keras

    from segformer_tf.data import inspect
    from segformer_tf.training import train as run_training
    from segformer_tf.training.folds import table, train_folds
    from segformer_tf.training.recipe import read_settings
    from segformer_tf.training.sources import reading_of

    given = {"epochs": epochs, "steps": steps, "batch_size": batch_size, "freeze": freeze, "augmentation.crop": crop}
    given["evaluate_every"] = evaluate_every
    changes = {key: value for key, value in given.items() if value is not None}
    if evaluate_every is not None:
        changes["save_every"] = None
    run = None
    if resume:
        run = output if folds is None else next(output.glob("fold-*"), output)
    try:
        chosen, seed = _recipe_and_seed(recipe, seed, run, lambda: _default_recipe(model, data))
        chosen = chosen.changed({**changes, **read_settings(settings or ())})
        if chosen.one_logit and not binary:
            raise ValueError(
                "the recipe's one_logit is true, expected that of masks of one foreground class alone: give --binary "
                "too, or --set one_logit=false."
            )
    except (FileNotFoundError, ValueError) as error:
        raise typer.BadParameter(str(error)) from None
    keras.utils.set_random_seed(seed)
    one_logit = binary and chosen.one_logit
    broken = "skip" if skip_broken else "stop"
    reading = {"binary": binary, "broken": broken, **reading_of(None if model in VARIANTS else processor_of(model))}
    options = {"seed": seed, "resume": resume, "broken": broken, "tensorboard": tensorboard}
    if folds is not None:
        groups = inspect_by_group(data, folds, **reading)
        for text in groups.warnings:
            say(f"warning: {text}")
        with _told_how_to_go_on(context, output):
            result = train_folds(
                lambda part: _new_model(model, part, one_logit, resume), groups, output, chosen, **options
            )
        print(f"{table(result)}\nscores of the last weights; the best ones are chosen by the pictures left out")
        print(f"wrote {output / 'folds.json'}")
        return
    # Splits that are drawn are the same for every seed, so that `evaluate` never meets a picture of the training.
    found = inspect(data, splits=("train", "val"), **reading).check()
    network = _new_model(model, found, one_logit, resume)
    with _told_how_to_go_on(context, output):
        best = run_training(network, found, output, chosen, strategy=strategies[0], **options)
    if best:  # else it is not the chief, which tells
        _show(best, output)


def _recipe_and_seed(
    name: str | None, seed: int | None, run: Path | None, default: Callable[[], str]
) -> tuple[Any, int]:
    """Those that are given; else those that `run` was started with, where it goes on; else the default and 0."""
    from segformer_tf.training import load_recipe, state

    chosen, started_seed = load_recipe(name or default()), 0
    if run is not None and (run / state.RECIPE).is_file():
        started, started_seed = state.read_recipe(run)
        chosen = chosen if name else started
    return chosen, started_seed if seed is None else seed


def _show(best: dict[str, Any], output: Path) -> None:
    """Where the report and the best model are, and what to do with it."""
    name = "mIoU" if "mIoU" in best else "accuracy"
    command = "segment" if name == "mIoU" else "classify"
    print(
        f"report {output / 'report.html'}; best model {output / 'best'} ({name} {best['score']:.4f} at step "
        f"{best['step']}); next: segformer-tf {command} PICTURE --model {shlex.quote(str(output))}"
    )


def _default_recipe(model: str, data: Path) -> str:
    from segformer_tf.config import VARIANTS
    from segformer_tf.data import layout_of
    from segformer_tf.data.layouts import class_folders

    try:
        if layout_of(data) is class_folders.LAYOUT:
            return "classify"
    except (OSError, ValueError):
        pass  # which `inspect` tells, with all else that is wrong
    return "from-scratch" if model in VARIANTS else "fine-tune"


@contextmanager
def _told_how_to_go_on(context: typer.Context, output: Path) -> Iterator[None]:
    """After Ctrl-C or SIGTERM inside, says the command that goes on, and ends with its status."""
    from segformer_tf.training import state

    try:
        yield
    except KeyboardInterrupt as stopped:
        told = str(stopped) or "stopped before the state of this step was saved"
        there = any(state.saved(run) for run in (output, *output.glob("fold-*")))
        command = shlex.join(_as_called(context)) + (" --resume" if there else "")
        print(f"segformer-tf: {told}; {'go on' if there else 'start again'} with: {command}", file=sys.stderr)
        raise SystemExit(stopping.status()) from None


def _as_called(context: typer.Context) -> Iterator[str]:
    """The words of the command with every option that was given, without --resume."""
    yield from ("segformer-tf", "train")
    for option in context.command.params:
        name, value = option.opts[0], context.params.get(option.name or "")
        if name == "--resume" or value is None or value is False or value == option.default:
            continue
        if value is True:
            yield name
        elif option.nargs > 1:
            yield from (name, *map(str, value))
        else:
            values = value if isinstance(value, (list, tuple)) else [value]
            yield from (f"{name}={one.value if isinstance(one, Enum) else one}" for one in values)


def _new_model(name: str, found, one_logit: bool, goes_on: bool = False):
    """A model for the data's classes: a variant from random weights, or a checkpoint, with a new head if need be.

    What becomes of the head is told, but not of a run that goes on.
    """
    from segformer_tf import SegformerConfig, checkpoints
    from segformer_tf.config import VARIANTS
    from segformer_tf.training.heads import for_classes

    split = found.splits["train"]
    kind = class_of(not split.has_masks)
    if name in VARIANTS:
        names = {0: found.id2label[1]} if one_logit else found.id2label
        return kind(SegformerConfig.from_variant(name, id2label=names), data_format="channels_last")
    checkpoint = checkpoints.load(name)
    names = {0: split.id2label[1]} if one_logit else split.id2label
    if not names:  # nobody names the classes
        own = SegformerConfig.from_dict(checkpoint.config).id2label
        names = own if len(own) in (1, len(found.id2label)) else found.id2label
    checkpoint, told = for_classes(checkpoint, names, split.has_masks)
    if told and not goes_on:
        say(f"{name}: {told}.")
    classes = {"id2label": names, "label2id": {label: i for i, label in names.items()}}
    config = SegformerConfig.from_dict(checkpoint.config, **classes)
    return kind.from_checkpoint(checkpoint, config, ignore_mismatched_sizes=True, data_format="channels_last")[0]
