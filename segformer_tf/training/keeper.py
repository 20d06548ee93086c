"""What happens beside the training steps of a run: the state, evaluations, the log, the best weights, when to stop."""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from segformer_tf.images import SegformerImageProcessor
from segformer_tf.training import state
from segformer_tf.training.console import Console
from segformer_tf.training.evaluate import ValidationLoss, evaluate
from segformer_tf.training.plan import Plan
from segformer_tf.training.sources import Source
from segformer_tf.training.statistics import Statistics
from segformer_tf.training.watch import Watch
from segformer_tf.training.workers import Workers

CHECK_SECONDS = 1.0  # between two looks at the loss
DRIFT = 0.5  # deviations that running statistics may be off before it is told


@dataclass(frozen=True)
class Tools:
    """What a keeper works with beside the model and the plan.

    Args:
        statistics: For averaged weights; None: the running ones are right.
        watch: Tells whether the weights are still numbers.
    """

    statistics: Statistics | None = None
    validation_loss: ValidationLoss | None = None
    console: Console = field(default_factory=lambda: Console(False))
    watch: Watch | None = None
    workers: Workers = field(default_factory=Workers)


class Keeper(keras.callbacks.Callback):
    """Saves the state, evaluates `model` with the weights that are trained, logs, keeps the best; says when to stop.

    Args:
        model: The one that is evaluated and saved; the one that is trained is Keras' `self.model`.
        about: What `state.restore` gave, or `state.nothing()` for a new run.
    """

    def __init__(
        self,
        run: Path,
        model: keras.Model,
        source: Source,
        plan: Plan,
        about: dict[str, Any],
        processor: SegformerImageProcessor,
        tools: Tools | None = None,
    ):
        super().__init__()
        self.run, self.evaluated, self.source, self.plan = run, model, source, plan
        self.processor = processor
        tools = tools or Tools()
        self.statistics, self.validation_loss = tools.statistics, tools.validation_loss
        self.console, self.watch, self.workers = tools.console, tools.watch, tools.workers
        self.slower: int = about.get("slower", 0)  # how often the learning rate was halved
        self.step: int = about["step"]
        self.rows: list[dict[str, Any]] = about["rows"]
        self.earlier: float = about["seconds"]
        self.partial: tuple[float, int] = tuple(about["partial"])  # loss and steps since the last evaluation
        self.since = self.step  # the step at which Keras' mean of the loss began
        self.begin = self.checked = time.monotonic()
        self.interrupted = False

    @property
    def best(self) -> dict[str, Any]:
        """The log's row with the highest score."""
        return max(self.rows, key=lambda row: row["score"], default={})

    @property
    def seconds(self) -> float:
        """How long the run has been running, without the pauses."""
        return round(self.earlier + time.monotonic() - self.begin, 1)

    def done(self) -> bool:
        """Whether all steps are made, or the score has not risen for as long as the recipe waits."""
        return self.step >= self.plan.steps or self._impatient()

    def _impatient(self) -> bool:
        """By evaluations alone: between two, nobody knows whether the score rises."""
        patience = self.plan.recipe.patience
        return patience is not None and bool(self.rows) and self.rows[-1]["step"] - self.best["step"] >= patience

    def tell_end(self) -> None:
        """Says why a run ended before its last step, or after it."""
        if self.step > self.plan.steps:
            self.console.line(
                f"the run had made {self.step} steps before, more than the {self.plan.steps} asked for: its weights "
                f"are those of step {self.step}"
            )
        if self.step < self.plan.steps and self._impatient():
            self.console.line(
                f"ended at step {self.step} of {self.plan.steps}: the score has not risen since step "
                f"{self.best['step']}, and patience is {self.plan.recipe.counted(self.plan.recipe.patience or 0)}"
            )

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        logs = logs or {}
        now = time.monotonic()
        last, due = self.step >= self.plan.steps, self.step % self.plan.evaluate_every == 0
        save = self.step % self.plan.save_every == 0
        if not self.workers.chief:
            if last or due:
                self.model.reset_metrics()
        elif last or due or save or self.interrupted or now - self.checked > CHECK_SECONDS:
            self.checked = now
            loss = self._mean_loss(float(logs["loss"]))
            self._check(loss)
            self.console.step(self.step, loss, self._rate(), self.rows[-1]["score"] if self.rows else None)
            if last or due:
                self._evaluate(loss)
            elif save or self.interrupted:
                self._save(loss)
        done = self.done() or self.interrupted
        if self.plan.recipe.patience is not None and due:  # the chief alone knows the score
            done = self.workers.agree(done)
        if done:
            self.model.stop_training = True

    def _mean_loss(self, mean: float) -> float:
        """Of all steps since the last evaluation; Keras knows those since the run went on."""
        total, count = self.partial
        new = self.step - self.since
        return (total * count + mean * new) / (count + new) if count else mean

    def _rate(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

    def _check(self, loss: float) -> None:
        """Before anything is saved or evaluated. The weights come first: the loss of NaN weights may be a number."""
        told = f"the loss is {loss} at step {self.step}, expected a number"
        if self.watch is not None and self.watch.step >= 0:
            told = self.watch.told()
        elif math.isfinite(loss):
            return
        raise state.NotFinite(f"{told}: lower the learning rate{state.kept(self.run)}.")

    def _evaluate(self, loss: float) -> None:
        self.copy_weights(self.model)
        self._check_evaluated()
        found = self._score()
        row = {"step": self.step, "seconds": self.seconds, "learning_rate": self._rate(), "loss": loss, **found}
        self.rows.append(row)
        self._save(loss)  # before the weights, so that a stop between the two loses none
        self._publish_evaluated()
        self.console.evaluated(row, self.best is row)
        self.model.reset_metrics()
        self.partial, self.since = (0.0, 0), self.step

    def _check_evaluated(self) -> None:
        """Before a row or a state tells of it: weights that are finite may give statistics that are not."""
        bad = [weight.path for weight in self.evaluated.weights if not np.isfinite(weight.numpy()).all()]
        if bad:
            raise state.NotFinite(
                f"{bad[0]} has values that are no numbers in the evaluation of step {self.step}, expected finite "
                f"ones, and was not saved: lower the learning rate{state.kept(self.run)}."
            )

    def _publish_evaluated(self) -> None:
        self.publish("last")
        if self.best is self.rows[-1]:
            self.publish("best")
        state.write_log(self.run, self.rows)

    def go_on(self, trained) -> None:
        """Publishes what a run that was stopped between saving its state and its weights had not published."""
        whole = all((self.run / name / "config.json").is_file() for name in ("last", "best"))
        if whole and state.logged(self.run) == self.step:
            return  # all is there, and a temperature that was fitted since stays
        if self.rows and self.rows[-1]["step"] == self.step:
            self.copy_weights(trained)
            self._publish_evaluated()

    def _save(self, loss: float) -> None:
        evaluated = bool(self.rows) and self.rows[-1]["step"] == self.step
        partial = (0.0, 0) if evaluated else (loss, self.partial[1] + self.step - self.since)
        about = {"step": self.step, "seconds": self.seconds, "rows": self.rows, "partial": partial}
        about |= {"slower": self.slower} if self.slower else {}
        state.save(self.run, self.model, about)

    def _score(self) -> dict[str, Any]:
        found = evaluate(self.evaluated, self.source, processor=self.processor)
        means = {key: found[key] for key in ("mIoU", "mAcc", "aAcc", "accuracy") if key in found}
        score = next(iter(means.values()))
        if score is None:
            raise ValueError("no pixel of the validation pictures is labelled, expected some: a run cannot be judged.")
        loss = {} if self.validation_loss is None else {"val_loss": self.validation_loss.take()}
        per_class = {
            f"{'IoU' if 'IoU' in row else 'Acc'} {row['name']}": row.get("IoU", row["Acc"])
            for row in found["per_class"]
        }
        return {"score": score, **loss, **means, **per_class}

    def copy_weights(self, trained) -> None:
        """Puts the trained weights, averaged if the recipe says so, into the model that is evaluated and saved."""
        optimizer = getattr(trained.optimizer, "inner_optimizer", trained.optimizer)  # as mixed_float16 wraps it
        averages = optimizer.averages(trained.trainable_variables)
        for source, target in zip(trained.weights, self.evaluated.weights, strict=True):
            target.assign(averages.get(source.path, source))
        if self.statistics is not None:
            drift = self.statistics.take()
            if drift > DRIFT:
                self.console.line(
                    f"BatchNorm's running mean was {drift:.1f} deviations off that of the averaged weights: "
                    "taken again over training pictures."
                )

    def publish(self, name: str) -> None:
        """Saves the evaluated model as it is, and its processor, into the run's directory of that name."""
        self.evaluated.save_pretrained(self.run / name)  # first: a disk that is full refuses this one
        self.processor.save_pretrained(self.run / name)

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Inside, the first Ctrl-C lets the step end and the state be saved; the second one stops at once.

        So do SIGTERM and SIGHUP where Python answers them, as under `segformer-tf train`; who answered before is asked
        too. With several workers, who wait for each other in every step, the first one stops at once as well.
        """
        if self.workers.count > 1 or threading.current_thread() is not threading.main_thread():
            yield
            return

        numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {number: signal.getsignal(number) for number in numbers}
        answered = [number for number in numbers if number == signal.SIGINT or callable(before[number])]

        def stop(number, frame):
            self.interrupted = True
            for each in answered:
                signal.signal(each, signal.default_int_handler)
            if callable(asked := before[number]):
                with suppress(KeyboardInterrupt):
                    asked(number, frame)

        for number in answered:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number in answered:
                signal.signal(number, before[number])
