"""A training run in a directory: fit, evaluate, keep the best, stop at any moment and go on."""

import contextlib
from pathlib import Path
from typing import Any

import keras

from segformer_tf.config import SegformerConfig
from segformer_tf.data.inspection import Inspection, inspect
from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.models import private
from segformer_tf.pipelines.description import TEMPERATURE, set_classes
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training import state
from segformer_tf.training.console import Console
from segformer_tf.training.datasets import Share, mixed, training_data
from segformer_tf.training.evaluate import ValidationLoss
from segformer_tf.training.keeper import Keeper
from segformer_tf.training.learner import (
    check_model,
    compile_learner,
    make_learner,
    make_loss,
    make_statistics,
    suited,
)
from segformer_tf.training.plan import Plan, make_plan, processor_for, tell_start
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.recipes import RECIPES
from segformer_tf.training.report.tensorboard import TensorBoard
from segformer_tf.training.report.writing import write_report
from segformer_tf.training.run import Run
from segformer_tf.training.sources import Source, as_read_by, identity, open_split
from segformer_tf.training.watch import Watch
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
    asked, recipe = recipe, suited(recipe, model.config, train_source)
    for text in [*found.warnings, *found.notes]:
        console.line(text)
    if recipe != asked:
        console.line(
            f"The recipe's loss {asked.loss} and class_weight_power {asked.class_weight_power} are left out: "
            "a classifier and a model of one class (one_logit) have a loss of their own."
        )
    counts = found.counts("train") if "train" in found.splits else None
    workers.check_same(model, recipe, seed, {"train": train_source, "val": val_source}, resume)
    plan = make_plan(recipe, train_source, val_source)
    loss = make_loss(recipe, train_source, counts, model.config)
    pictures = {"train": identity(train_source), "val": identity(val_source)}
    lengthened = state.check(run, recipe, seed, resume, pictures) if workers.chief else None
    processor = processor or processor_for(plan, val_source)
    statistics = make_statistics(model, recipe, train_source, seed)
    masks = not isinstance(val_source, Split) or val_source.has_masks
    validation_loss = ValidationLoss(model, val_source, recipe.augmentation) if masks else None

    slower = 0  # how often the learning rate is halved, by this process or before it was resumed

    def learn(resume: bool) -> Run:
        nonlocal slower
        keras.utils.set_random_seed(seed)
        with strategy.scope() if strategy is not None else contextlib.nullcontext():
            trained = make_learner(model, recipe)
            optimizer = compile_learner(trained, plan, loss)
        about = state.restore(run, trained) if resume else state.nothing()
        workers.check_start(about["step"], trained)
        about["slower"] = slower = max(slower, about.get("slower", 0))
        private.rate_of(optimizer).learning_rate *= 0.5**slower
        ignored = model.config.semantic_loss_ignore_index

        def shared(size: int, worker: int = 0, count: int = 1):
            share = Share(recipe.batch_size, worker, count)
            made = training_data(train_source, recipe.augmentation, size, seed, about["step"], ignored, share)
            return mixed(made, recipe, model.config.num_labels, seed, about["step"])

        # Several devices would count its steps several times; there the loss and what is saved are looked at.
        watch = Watch(trained, about["step"], train_source, recipe.batch_size, seed) if strategy is None else None
        beside = validation_loss, console, watch, workers
        keeper = Keeper(run, model, val_source, plan, about, processor, statistics, *beside)
        callbacks: list[keras.callbacks.Callback] = [keeper]
        if tensorboard and workers.chief:
            callbacks.append(TensorBoard(run / "tensorboard", keeper))
        vars(model.config).pop(TEMPERATURE, None)  # it belongs to the weights that the model had until here
        names = train_source.id2label if isinstance(train_source, Split) else {}
        set_classes(model.config, names, found.colours)
        if resume and workers.chief:
            keeper.go_on(trained)
        begun = keeper.step
        if not keeper.done():
            if workers.chief:
                state.begin(run, recipe, seed, {**found.to_dict(), "identity": pictures})  # with the splits drawn
            tell_start(console, run, model, plan, keeper.step, shared(recipe.batch_size), lengthened)
            with keeper.stoppable(), console.running(keeper.step, plan.steps):
                trained.fit(
                    workers.distributed(shared, recipe.batch_size),
                    steps_per_epoch=plan.steps - keeper.step,
                    callbacks=callbacks,
                    shuffle=False,  # the data comes shuffled
                    verbose=0,
                )
        keeper.tell_end()
        told = keeper.step == begun and (run / "report.html").exists()  # nothing came since
        return _finish(run, model, trained, keeper, plan, told) if workers.chief else Run(run, {})

    retries = recipe.retries if strategy is None else 0  # the chief alone sees it, and the others would wait
    for _ in range(retries):
        try:
            return learn(resume)
        except state.NotFinite as error:
            console.line(f"{error} Back to the last checkpoint, with half the learning rate.")
        slower, resume = slower + 1, True
    return learn(resume)


def _finish(run: Path, model, trained, keeper: Keeper, plan: Plan, told: bool) -> Run:
    """Leaves the last weights in the model, and the report of the best ones in the run, unless that is `told`."""
    keeper.copy_weights(trained)
    if keeper.interrupted:
        keeper.publish("last")
    if keeper.rows and not told:
        last = model.get_weights()
        if keeper.best["step"] != keeper.step:
            state.read_weights(run / "best", model)
        write_report(run, model, keeper.source, keeper.processor, plan, keeper.rows, keeper.console)
        model.set_weights(last)
    if keeper.interrupted and not keeper.done():
        raise KeyboardInterrupt(f"stopped at step {keeper.step} of {plan.steps}, which {run / 'last'} holds")
    return Run(run, keeper.best)


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
