"""A training run in a directory: fit, evaluate, keep the best, stop at any moment and go on."""

from pathlib import Path
from typing import Any

import keras

from segformer_tf.config import SegformerConfig
from segformer_tf.data.inspection import Inspection, inspect
from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training import state
from segformer_tf.training.attempts import Attempts
from segformer_tf.training.console import Console
from segformer_tf.training.evaluate import ValidationLoss
from segformer_tf.training.keeper import Tools
from segformer_tf.training.learner import check_kind, check_model, left_out, make_loss, make_statistics, suited
from segformer_tf.training.plan import make_plan, processor_for
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.recipes import RECIPES
from segformer_tf.training.run import Run
from segformer_tf.training.sources import Source, as_read_by, identity, open_split
from segformer_tf.training.workers import Workers


@spell_checked
def train(
    model: keras.Model,
    data: str | Path | Source | Inspection,
    run: str | Path,
    recipe: Recipe = RECIPES["fine-tune"],
    *,
    validation: str | Path | Source | None = None,
    processor: SegformerImageProcessor | None = None,
    seed: int = 0,
    resume: bool = False,
    broken: str = "stop",
    tensorboard: bool = False,
    verbose: int | str = "auto",
    strategy: Any = None,
) -> Run:
    """Trains a segmentation model or classifier, which then has the last weights; returns the best row of the log.

    `run/best` and `run/last` are directories that `from_pretrained` reads; `run/log.csv` has one row an evaluation,
    `run/report.html` and `run/report.md` tell how good the best weights are. Started again with `resume=True` after a
    stop at any moment, the run goes on from its last checkpoint as if it had not stopped; with more steps than before,
    a finished run is lengthened.

    Two models are in memory: the given one, which is evaluated and saved in its own precision, and one with the
    recipe's precision and rates, which learns. Layers with `trainable = False` stay as they are.

    Args:
        data: A directory whose "train" split is trained on and whose "val" split is validated on, its inspection, or a
            split.
        validation: Another directory or split to validate on.
        processor: Saved beside the model; files are read as it reads them. None: one that resizes to the validation
            pictures' size, or to the crop's for classification, and reads as the splits say.
        broken: "stop" at a file that cannot be read, or "skip" it with a message.
        tensorboard: Write scalars and pictures for TensorBoard into `run/tensorboard`; needs the extra `[report]`.
        verbose: 0: say nothing.
        strategy: Devices and machines to train on, as `training.make_strategy` makes it; all workers call this function
            alike. The batch is that of all together, and the weights become those of one device up to rounding. `run`
            must be one directory for all of them.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: The model has LoRA, is quantized or all frozen, the data does not fit the model or the recipe,
            recipe or pictures were changed on resume, or (`state.NotFinite`) loss or weights are no longer numbers; the
            first such step is named, nothing of it saved.
        KeyboardInterrupt: Ctrl-C, after the state of the run was saved and its report written.
    """
    run = Path(run)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on {keras.backend.backend()}, expected tensorflow, which this training loop is made of: unset "
            "KERAS_BACKEND, or train with the model's own fit."
        )
    if validation is None and not isinstance(data, (str, Path, Inspection)):
        raise ValueError("validation is None, expected a split to validate on where data is not a directory: give one.")
    check_model(model, recipe)
    workers = Workers(strategy)
    workers.check(recipe)
    console = Console(verbose != 0 and workers.chief)
    sources = {"train": data, "val": data if validation is None else validation}
    train_source, val_source, found = _inspected(sources, model.config, broken, processor)
    check_kind(model, train_source)
    asked, recipe = recipe, suited(recipe, model.config, train_source)
    for text in [*found.warnings, *found.notes]:
        console.line(text)
    if told := left_out(asked, recipe):
        console.line(told)
    counts = found.counts("train") if "train" in found.splits else None
    workers.check_same(model, recipe, seed, {"train": train_source, "val": val_source}, resume)
    plan = make_plan(recipe, train_source, val_source)
    loss = make_loss(recipe, train_source, counts, model.config)
    pictures = {"train": identity(train_source), "val": identity(val_source)}
    lengthened = state.check(run, recipe, seed, resume, pictures) if workers.chief else None
    masks = not isinstance(val_source, Split) or val_source.has_masks
    tools = Tools(
        statistics=make_statistics(model, recipe, train_source, seed),
        validation_loss=ValidationLoss(model, val_source, recipe.augmentation) if masks else None,
        console=console,
        workers=workers,
    )
    return Attempts(
        run=run,
        model=model,
        recipe=recipe,
        plan=plan,
        seed=seed,
        train=train_source,
        validation=val_source,
        found=found,
        pictures=pictures,
        processor=processor or processor_for(plan, val_source),
        loss=loss,
        tools=tools,
        changed=lengthened,
        tensorboard=tensorboard,
    ).until_one_ends(resume)


def _inspected(
    data: dict[str, Any], config: SegformerConfig, broken: str, processor: SegformerImageProcessor | None = None
) -> tuple[Source, Source, Inspection]:
    """The sources as they can be used and the processor reads them, and what was found in those that are files.

    An `Inspection` is taken as it is, so that files are not read twice; a validation set beside it, not its own.
    """
    if isinstance(data["train"], Inspection):
        found = data["train"].check(config)
        splits = found.splits if data["val"] is data["train"] else {}
    else:
        data = {name: as_read_by(open_split(source, name), processor) for name, source in data.items()}
        splits = {name: source for name, source in data.items() if isinstance(source, Split)}
        found = inspect(splits, config, broken=broken).check(config)
        splits = found.splits
    sources = (splits.get(name) or open_split(data[name], name) for name in ("train", "val"))
    train_source, val_source = (as_read_by(source, processor) for source in sources)
    return train_source, val_source, found
