"""Attempts at a training run: each learns from the start or the last checkpoint on, until one comes to the end."""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from segformer_tf.data.inspection import Inspection
from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.models import private
from segformer_tf.pipelines.runtimes.description import TEMPERATURE, set_classes
from segformer_tf.training import state
from segformer_tf.training.datasets import Share, mixed, training_data
from segformer_tf.training.keeper import Keeper, Tools
from segformer_tf.training.learner import compile_learner, make_learner
from segformer_tf.training.plan import Plan, tell_start
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.report.tensorboard import TensorBoard
from segformer_tf.training.report.writing import write_report
from segformer_tf.training.run import Run
from segformer_tf.training.sources import Source
from segformer_tf.training.watch import Watch


@dataclass
class Attempts:
    """A run from its start or its last checkpoint to its end, and again where its values are no longer numbers.

    Args:
        recipe: As it was asked for, which the run's directory keeps; that of the plan is fitted to the steps.
        pictures: What the splits are known by, see `identity`.
        changed: What the recipe has that the run did not start with, in words.
        slower: How often the learning rate is halved, by this process or before it was resumed.
    """

    run: Path
    model: keras.Model
    recipe: Recipe
    plan: Plan
    seed: int
    train: Source
    validation: Source
    found: Inspection
    pictures: dict[str, Any]
    processor: SegformerImageProcessor
    loss: keras.losses.Loss | None
    tools: Tools
    changed: str | None
    tensorboard: bool
    slower: int = 0

    def until_one_ends(self, resume: bool) -> Run:
        """Makes attempts, one more than the recipe's `retries` at most."""
        # With several workers the chief alone sees it, and the others would wait.
        for _ in range(self.recipe.retries if self.tools.workers.strategy is None else 0):
            try:
                return self.learn(resume)
            except state.NotFinite as error:
                self.tools.console.line(f"{error} Back to the last checkpoint, with half the learning rate.")
            self.slower, resume = self.slower + 1, True
        return self.learn(resume)

    def learn(self, resume: bool) -> Run:
        """One attempt: a new learner, from the last checkpoint with `resume`, to the run's last step."""
        workers = self.tools.workers
        keras.utils.set_random_seed(self.seed)
        with workers.strategy.scope() if workers.strategy is not None else contextlib.nullcontext():
            trained = make_learner(self.model, self.recipe)
            optimizer = compile_learner(trained, self.plan, self.loss)
        about = state.restore(self.run, trained) if resume else state.nothing()
        workers.check_start(about["step"], trained)
        about["slower"] = self.slower = max(self.slower, about.get("slower", 0))
        private.rate_of(optimizer).learning_rate *= 0.5**self.slower
        keeper = self._keeper(trained, about)
        callbacks: list[keras.callbacks.Callback] = [keeper]
        if self.tensorboard and workers.chief:
            callbacks.append(TensorBoard(self.run / "tensorboard", keeper))
        vars(self.model.config).pop(TEMPERATURE, None)  # it belongs to the weights that the model had until here
        names = self.train.id2label if isinstance(self.train, Split) else {}
        set_classes(self.model.config, names, self.found.colours)
        if resume and workers.chief:
            keeper.go_on(trained)
        begun = keeper.step
        if not keeper.done():
            self._fit(trained, keeper, callbacks)
        keeper.tell_end()
        told = keeper.step == begun and (self.run / "report.html").exists()  # nothing came since
        return _finish(self.run, self.model, trained, keeper, self.plan, told) if workers.chief else Run(self.run, {})

    def _keeper(self, trained: keras.Model, about: dict[str, Any]) -> Keeper:
        tools = self.tools
        if tools.workers.strategy is None:
            # Several devices would count its steps several times; there the loss and what is saved are looked at.
            watch = Watch(trained, about["step"], self.train, self.recipe.batch_size, self.seed)
            tools = dataclasses.replace(tools, watch=watch)
        return Keeper(self.run, self.model, self.validation, self.plan, about, self.processor, tools)

    def _fit(self, trained: keras.Model, keeper: Keeper, callbacks: list[keras.callbacks.Callback]) -> None:
        recipe, begin, workers = self.recipe, keeper.step, self.tools.workers

        def batches(size: int, worker: int = 0, count: int = 1):
            share = Share(recipe.batch_size, worker, count)
            ignored = self.model.config.semantic_loss_ignore_index
            made = training_data(self.train, recipe.augmentation, size, self.seed, begin, ignored, share)
            return mixed(made, recipe, self.model.config.num_labels, self.seed, begin)

        if workers.chief:
            data = {**self.found.to_dict(), "identity": self.pictures}  # with the splits drawn
            state.begin(self.run, recipe, self.seed, data)
        console, plan = keeper.console, self.plan
        tell_start(console, self.run, self.model, plan, begin, batches(recipe.batch_size), self.changed)
        with keeper.stoppable(), console.running(begin, plan.steps):
            trained.fit(
                workers.distributed(batches, recipe.batch_size),
                steps_per_epoch=plan.steps - begin,
                callbacks=callbacks,
                shuffle=False,  # the data comes shuffled
                verbose=0,
            )


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
