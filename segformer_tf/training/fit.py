"""A training run in a directory: fit, evaluate, keep the best, stop at any moment and go on."""

import math
import time
from pathlib import Path
from typing import Any

import keras

from segformer_tf.config import SegformerConfig
from segformer_tf.data.inspection import Inspection, inspect
from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training import state
from segformer_tf.training.datasets import Source, open_split, training_data
from segformer_tf.training.evaluate import evaluate
from segformer_tf.training.losses import SegmentationLoss, class_weights
from segformer_tf.training.mixing import mixed
from segformer_tf.training.recipe import RECIPES, Recipe
from segformer_tf.training.report import write_report
from segformer_tf.training.watch import TensorBoard


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
) -> dict[str, Any]:
    """Trains a segmentation model or classifier, which then has the last weights; returns the best row of the log.

    `run/best` and `run/last` are directories that `from_pretrained` reads; `run/log.csv` has one row an evaluation,
    `run/report.md` the curves, scores and worst pictures. Started again with `resume=True` after a stop at any moment,
    the run goes on from its last checkpoint as if it had not stopped.

    Args:
        data: A directory whose "train" split is trained on and whose "val" split is validated on, its inspection, or a
            split.
        validation: Another directory or split to validate on.
        processor: Saved beside the model; None: one that does not resize, for segmentation.
        broken: "stop" at a file that cannot be read, or "skip" it with a message.
        tensorboard: Write scalars and pictures for TensorBoard into `run/tensorboard`.
        verbose: As in `keras.Model.fit`.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: The data does not fit the model, the recipe was changed on resume, or the loss is not a number.
    """
    run = Path(run)
    if validation is None and not isinstance(data, (str, Path, Inspection)):
        raise ValueError("validation is None, expected a split to validate on where data is not a directory: give one.")
    sources = {"train": data, "val": data if validation is None else validation}
    train_source, val_source, counts = _inspected(sources, model.config, broken)
    state.begin(run, recipe, seed, resume)

    keras.utils.set_random_seed(seed)
    trained = _twin(model, recipe.precision, recipe)
    plain = model.data_format == "channels_last" and model.dtype_policy.name == "float32"
    exact = model if plain else _twin(model, "float32")
    pictures = len(train_source) if isinstance(train_source, Split) else None
    batches = recipe.total_steps(pictures)
    _compile(trained, recipe, batches, _loss(recipe, train_source, counts, model.config))

    begun = resume and (run / "last" / state.STATE).is_file()
    about = state.restore(run, trained) if begun else {"step": 0, "seconds": 0.0, "rows": []}
    evaluate_every = min(recipe.evaluate_every or math.ceil((pictures or 1000) / recipe.batch_size), batches)
    every = min(recipe.save_every or evaluate_every, evaluate_every)
    processor = processor or _processor(recipe, val_source)
    keeper = Keeper(run, exact, val_source, recipe, batches, evaluate_every, about, processor)
    callbacks: list[keras.callbacks.Callback] = [keeper]
    if tensorboard:
        callbacks.append(TensorBoard(run / "tensorboard", exact, val_source, about["step"]))
    if not keeper.done():
        ignored = model.config.semantic_loss_ignore_index
        batches_of_data = training_data(
            train_source, recipe.augmentation, recipe.batch_size, seed, about["step"], ignored
        )
        trained.fit(
            mixed(batches_of_data, recipe, model.config.num_labels, seed, about["step"]),
            epochs=math.ceil(batches / every),
            initial_epoch=about["step"] // every,
            steps_per_epoch=every,
            callbacks=callbacks,
            shuffle=False,  # the data comes shuffled
            verbose=verbose,
        )
    keeper.copy_weights(trained)
    if exact is not model:
        model.set_weights(exact.get_weights())
    write_report(run, exact, val_source, recipe, keeper.rows)
    return keeper.best


def _inspected(data: dict[str, Any], config: SegformerConfig, broken: str) -> tuple[Source, Source, list[int] | None]:
    """The sources as they can be used, and the pixels of each training class where they can be counted.

    An `Inspection` is taken as it is, so that files are not read twice.
    """
    if isinstance(data["train"], Inspection):
        found = data["train"].check(config)
    else:
        splits = {name: open_split(source, name) for name, source in data.items()}
        data = splits
        found = inspect({k: v for k, v in splits.items() if isinstance(v, Split)}, config, broken=broken).check(config)
        for warning in found.warnings:
            print(warning)
    train_source, val_source = (found.splits.get(name) or open_split(data[name], name) for name in ("train", "val"))
    return train_source, val_source, found.counts("train") if "train" in found.splits else None


def _twin(model, dtype: str, recipe: Recipe | None = None):
    """A channels-last model with the same weights, in another precision and with the recipe's rates."""
    rates = {}
    if recipe is not None:
        rates = {"drop_path_rate": recipe.drop_path_rate, "classifier_dropout_prob": recipe.dropout_rate}
    config = SegformerConfig.from_dict(model.config.to_dict(), **rates)
    twin = type(model)(config, data_format="channels_last", dtype=dtype)
    twin.set_weights(model.get_weights())
    return twin


def _compile(trained, recipe: Recipe, batches: int, loss: keras.losses.Loss | None) -> None:
    optimizer = recipe.make_optimizer(batches)
    optimizer.set_groups(trained)
    optimizer.build(trained.trainable_variables)
    if isinstance(loss, SegmentationLoss):
        # Given to `compile`, it would see logits of full size; here it takes them as they are, which saves the memory.
        call, loss = loss, None
        trained._task_loss = lambda labels, logits, sample_weight: call(labels, logits)
    trained.compile(optimizer, loss=loss, metrics=[], jit_compile=False)


def _loss(recipe: Recipe, source: Source, counts: list[int] | None, config: SegformerConfig):
    """A Keras loss, or None for the model's own, which needs the least memory."""
    if recipe.mixup_alpha:
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    by_class = isinstance(source, Split) and not source.has_masks
    weighted = recipe.class_weight_power != 0
    if by_class or config.num_labels == 1 or (recipe.loss == {"cross_entropy": 1.0} and not weighted):
        return None
    if weighted and counts is None:
        raise ValueError(
            "class_weight_power needs the number of pixels of each class, which shards and tf.data do not tell: "
            "set it to 0."
        )
    weights = class_weights(counts, recipe.class_weight_power) if weighted and counts else None
    return SegmentationLoss(recipe.loss, weights, config.semantic_loss_ignore_index)


def _processor(recipe: Recipe, source: Source) -> SegformerImageProcessor:
    """What brings a picture to the model as in training: classifiers see the crop's size, others the picture's own."""
    how = recipe.augmentation
    by_class = isinstance(source, Split) and not source.has_masks
    mean_std = {"image_mean": list(how.image_mean), "image_std": list(how.image_std)}
    return SegformerImageProcessor(do_resize=by_class, size=how.crop, **mean_std)


class Keeper(keras.callbacks.Callback):
    """After every interval: saves the state; when it is time, evaluates, logs and keeps the best; says when to stop."""

    def __init__(self, run, exact, source, recipe, batches, evaluate_every, about, processor):
        super().__init__()
        self.run, self.exact, self.source, self.recipe = run, exact, source, recipe
        self.batches, self.evaluate_every, self.processor = batches, evaluate_every, processor
        self.step: int = about["step"]
        self.rows: list[dict[str, Any]] = about["rows"]
        self.earlier: float = about["seconds"]
        self.begin = time.monotonic()

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
        waited = (self.step - self.best["step"]) // self.evaluate_every if self.rows else 0
        return self.step >= self.batches or (self.recipe.patience is not None and waited >= self.recipe.patience)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.step >= self.batches:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        logs = {} if logs is None else logs
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"the loss is {loss} at step {self.step}, expected a number: lower the learning rate; "
                f"{self.run / 'last'} holds the weights before it."
            )
        if self.step % self.evaluate_every == 0 or self.step >= self.batches:
            self.copy_weights(self.model)
            row = {"step": self.step, "seconds": self.seconds, "loss": loss, **self._score()}
            logs |= {f"val_{key}": row[key] for key in ("mIoU", "accuracy") if key in row}
            self.rows.append(row)
            self._save()
            self._publish("last")
            if self.best is row:
                self._publish("best")
            state.write_log(self.run, self.rows)
        else:
            self._save()
        if self.done():
            self.model.stop_training = True

    def _save(self) -> None:
        state.save(self.run, self.model, {"step": self.step, "seconds": self.seconds, "rows": self.rows})

    def _score(self) -> dict[str, Any]:
        found = evaluate(self.exact, self.source, processor=self.processor)
        means = {key: found[key] for key in ("mIoU", "mAcc", "aAcc", "accuracy") if key in found}
        per_class = {
            f"{'IoU' if 'IoU' in row else 'Acc'} {row['name']}": row.get("IoU", row["Acc"])
            for row in found["per_class"]
        }
        return {"score": next(iter(means.values())), **means, **per_class}

    def copy_weights(self, trained) -> None:
        """Puts the trained weights, averaged if the recipe says so, into the model that is evaluated and saved."""
        averages = trained.optimizer.averages(trained.trainable_variables)
        for source, target in zip(trained.weights, self.exact.weights, strict=True):
            target.assign(averages.get(source.path, source))

    def _publish(self, name: str) -> None:
        self.exact.save_pretrained(self.run / name)
        self.processor.save_pretrained(self.run / name)
