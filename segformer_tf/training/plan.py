"""What a recipe comes to on a data set, and what a run says of it before its first step."""

import dataclasses
import itertools
import math
import operator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import keras
import tensorflow as tf

from segformer_tf.config import SegformerConfig, variant_of
from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.models.private import parts_of, rate_of
from segformer_tf.pipelines.runtimes.description import class_names, class_palette
from segformer_tf.storage.cores import cores
from segformer_tf.storage.whole import whole
from segformer_tf.training.console import Console
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.report.sheets import batch_sheet
from segformer_tf.training.sources import Source, chosen, readers

BATCH_PICTURE = "train_batch.png"
LOOKED_AT = 16  # pictures whose sizes are read
EVALUATIONS = 50  # at most, where the interval is not given
EVALUATION_SHARE = 0.1  # of a run's time, at most, where the interval is not given
EVALUATION_COST = 0.5  # of a validation pixel, in those of a training step
# Fitted to b0 to b2 by benchmarks/speed/run_memory.py, in bytes: TensorFlow and the graphs; copies of the weights (two
# models, gradients, two moments, an average); a value of every block's map and its neighbours; a class's map.
BASE_BYTES, WEIGHT_BYTES, MAP_BYTES, CLASS_BYTES = 1.45e9, 4 * 6, 27, 2
SAVE_STEPS = 200  # between two checkpoints, at most, where the interval is not given


@dataclass(frozen=True)
class Plan:
    """A recipe with its open numbers filled in; `steps`, `evaluate_every`, `save_every` count batches.

    Args:
        recipe: Its warm-up fits the steps.
        size: Height and width of the validation pictures: the median, in multiples of 32 unless all are of that size.
        notes: What was changed, as sentences.
    """

    recipe: Recipe
    steps: int
    evaluate_every: int
    save_every: int
    pictures: int | None
    validation_pictures: int | None
    size: tuple[int, int]
    notes: tuple[str, ...] = ()

    @property
    def epochs(self) -> float | None:
        """Passes over the training pictures; None where their number is not known."""
        return self.steps * self.recipe.batch_size / self.pictures if self.pictures else None


def make_plan(recipe: Recipe, train: Source, validation: Source) -> Plan:
    """The plan of a run on these splits.

    Raises:
        ValueError: The recipe counts epochs and the data set does not say its length; or a data set is empty.
    """
    count, validation_count = length(train), length(validation)
    for name, source in (("training", train), ("validation", validation)):
        if length(source) == 0 or (isinstance(source, tf.data.Dataset) and _has_no_element(source)):
            raise ValueError(f"the {name} data set has no pictures, expected some: look at what makes it.")
    steps = recipe.total_steps(count)
    notes = [] if recipe.accumulation_steps == 1 else ["the bar, the log and every `step` below count batches"]
    made = steps // recipe.accumulation_steps
    if recipe.warmup_steps > made // 2:
        short = made // 10
        notes.append(f"the warm-up of {recipe.warmup_steps} steps is shortened to {short}, a tenth of the run's {made}")
        recipe = dataclasses.replace(recipe, warmup_steps=short)
    sizes = picture_sizes(validation)
    every = recipe.evaluate_every
    if every is None:
        crop = math.prod(recipe.augmentation.crop)
        pixels = (validation_count or LOOKED_AT) * sum(map(math.prod, sizes)) / len(sizes)
        cost = EVALUATION_COST * pixels / (recipe.batch_size * crop)  # in steps
        every = max(math.ceil(cost / EVALUATION_SHARE), math.ceil(steps / EVALUATIONS))
        every = math.ceil(every / (recipe.save_every or 1)) * (recipe.save_every or 1)
        told = recipe.counted(min(every, steps))
        notes.append(f"evaluation every {told}, so that it takes about a tenth of the time at most")
    every = min(every, steps)
    if recipe.patience is not None and recipe.patience < every:
        patience = recipe.counted(recipe.patience)
        notes.append(f"the patience of {patience} is lengthened to {every}, from evaluation to evaluation")
        recipe = dataclasses.replace(recipe, patience=every)
    save = recipe.save_every or math.ceil(every / math.ceil(every / SAVE_STEPS))
    return Plan(recipe, steps, every, min(save, every), count, validation_count, _typical(sizes), tuple(notes))


def length(source: Source) -> int | None:
    """How many pictures a split has; None where a `tf.data.Dataset` does not say."""
    if isinstance(source, Split):
        return len(source)
    cardinality = int(source.cardinality())
    return cardinality if cardinality >= 0 else None


def _has_no_element(data: tf.data.Dataset) -> bool:
    return length(data) is None and not any(True for _ in data)


def picture_sizes(source: Source) -> list[tuple[int, int]]:
    """Height and width of some of the pictures, evenly spread where they are files."""
    if isinstance(source, Split) and not source.shards:
        source = chosen(source, range(0, len(source), math.ceil(len(source) / LOOKED_AT)))
    return [read()[0].shape[:2] for read in itertools.islice(readers(source), LOOKED_AT)]


def _typical(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    if len(set(sizes)) == 1:
        return sizes[0]
    height, width = (math.ceil(median(sides) / 32) * 32 for sides in zip(*sizes, strict=True))
    return height, width


def processor_for(plan: Plan, validation: Source) -> SegformerImageProcessor:
    """What brings a picture to the model as in the evaluation, and gives its export a size.

    Classifiers see the crop's size. Segmentation models see the validation pictures' own size; where these differ,
    their typical one.
    """
    how = plan.recipe.augmentation
    by_class = isinstance(validation, Split) and not validation.has_masks
    reading: dict[str, Any] = {"image_mean": list(how.image_mean), "image_std": list(how.image_std)}
    if isinstance(validation, Split):
        reading |= {"value_range": validation.value_range, "do_exif_transpose": None if validation.turn else False}
    return SegformerImageProcessor(size=how.crop if by_class else plan.size, **reading)


def device() -> str:
    """What TensorFlow computes on, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"CPU, {cores()} cores"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return name if len(gpus) == 1 else f"{name} (the first of {len(gpus)})"


def tell_start(
    console: Console,
    run: Path,
    model: keras.Model,
    plan: Plan,
    step: int,
    batches: tf.data.Dataset,
    changed: str | None,
) -> None:
    """Draws the run's first batch into `train_batch.png`, and says what is going to happen."""
    if not console.speaks:
        return
    recipe, config = plan.recipe, model.config
    if step == 0 or not (run / BATCH_PICTURE).exists():
        sheet = batch_sheet(*next(iter(batches)), class_names(config), recipe.augmentation, class_palette(config))
        with whole(run / BATCH_PICTURE) as draft:
            sheet.save(draft)
    console.table(_rows(run, model, plan))
    for note in plan.notes:
        console.line(note)
    if step:
        console.line(f"goes on at step {step}")
    if changed:
        console.line(
            f"changed since the start: {changed}; the learning rate falls to 0 at step {plan.steps}, so at step {step} "
            f"it is {_rate(plan, step):.2e}"
        )


def _rows(run: Path, model: keras.Model, plan: Plan) -> list[tuple[str, str]]:
    """What is going to happen, as names and what they are."""
    recipe, config = plan.recipe, model.config
    names = list(class_names(config).values())
    shown = ", ".join(names[:12]) + (f", and {len(names) - 12} more" if len(names) > 12 else "")
    weights = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    size, parts = recipe.batch_size, recipe.accumulation_steps
    several = f" ({plan.steps} batches of {size}, {parts} to a step)"
    passes = "" if plan.epochs is None else f", {plan.epochs:.1f} times every picture"
    averaged = "" if recipe.ema_momentum is None else f", weights averaged ({recipe.ema_momentum})"
    frozen = ", encoder frozen" if recipe.freeze else ""
    if not all(part.trainable for part in parts_of(model)):
        frozen += ", some layers frozen"
    return [
        ("device", f"{device()}; {recipe.precision}"),
        ("memory", f"about {expected_memory(model, recipe) / 1e9:.1f} GB expected"),
        ("model", f"{variant_of(config) or 'SegFormer'}, {weights / 1e6:.1f} M weights{frozen}"),
        ("pictures", f"{plan.pictures or '?'} to train on, {plan.validation_pictures or '?'} to validate on"),
        ("classes", f"{len(names)}: {shown}"),
        (
            "steps",
            f"{plan.steps // parts}{several if parts > 1 else ''}{passes}; batch {size}, crop "
            f"{recipe.augmentation.crop[0]} x {recipe.augmentation.crop[1]}",
        ),
        (
            "recipe",
            f"{recipe.name}: {recipe.optimizer}, learning rate {recipe.learning_rate:g} after "
            f"{recipe.warmup_steps} steps of warm-up, weight decay {recipe.weight_decay:g}{averaged}",
        ),
        ("loss", _loss(recipe, config)),
        (
            "evaluation",
            f"every {recipe.counted(plan.evaluate_every)}; checkpoint every {plan.save_every}"
            + (f"; ends after {recipe.counted(recipe.patience)} without a better score" if recipe.patience else ""),
        ),
        ("output", f"{run}: {BATCH_PICTURE} (look at it), best/, last/, log.csv, report.html"),
    ]


def expected_memory(model: keras.Model, recipe: Recipe) -> float:
    """Bytes that a run's process takes at its peak, to about a quarter."""
    config = model.config
    strides = itertools.accumulate(config.strides, operator.mul)
    maps = sum(
        depth * size / stride**2
        for depth, size, stride in zip(config.depths, config.hidden_sizes, strides, strict=True)
    )
    pixels = recipe.batch_size * math.prod(recipe.augmentation.crop)
    weights = sum(math.prod(weight.shape) for weight in model.weights)
    return BASE_BYTES + WEIGHT_BYTES * weights + pixels * (MAP_BYTES * maps + CLASS_BYTES * config.num_labels)


def _loss(recipe: Recipe, config: SegformerConfig) -> str:
    if config.num_labels == 1:
        return "binary cross-entropy of one logit"
    weighted = f", class weights of power {recipe.class_weight_power:g}" if recipe.class_weight_power else ""
    return " + ".join(f"{share:g} {name}" for name, share in recipe.loss.items()) + weighted


def _rate(plan: Plan, step: int) -> float:
    schedule = rate_of(plan.recipe.make_optimizer(plan.steps))
    return float(keras.ops.convert_to_numpy(schedule(step)))
