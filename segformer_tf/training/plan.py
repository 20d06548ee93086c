"""What a recipe comes to on a data set: how many steps, how often to evaluate and save, the size of the pictures."""

import dataclasses
import itertools
import math
import os
from dataclasses import dataclass
from statistics import median

import tensorflow as tf

from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.training.datasets import Source, pictures
from segformer_tf.training.recipe import Recipe

LOOKED_AT = 16  # pictures whose sizes are read
EVALUATIONS = 50  # at most, where the interval is not given
EVALUATION_SHARE = 0.1  # of a run's time, at most, where the interval is not given
EVALUATION_COST = 0.5  # of a validation pixel, in those of a training step
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
        ValueError: The recipe counts epochs and the data set does not say its length.
    """
    count, validation_count = length(train), length(validation)
    steps = recipe.total_steps(count)
    notes = []
    made = max(steps // recipe.accumulation_steps, 1)
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
        notes.append(f"evaluation every {min(every, steps)} steps, so that it takes about a tenth of the time at most")
    every = min(every, steps)
    save = recipe.save_every or math.ceil(every / math.ceil(every / SAVE_STEPS))
    return Plan(recipe, steps, every, min(save, every), count, validation_count, _typical(sizes), tuple(notes))


def length(source: Source) -> int | None:
    """How many pictures a split has; None where a `tf.data.Dataset` does not say."""
    if isinstance(source, Split):
        return len(source)
    cardinality = int(source.cardinality())
    return cardinality if cardinality >= 0 else None


def picture_sizes(source: Source) -> list[tuple[int, int]]:
    """Height and width of some of the pictures, evenly spread where they are files."""
    if isinstance(source, Split) and not source.shards:
        every = math.ceil(len(source) / LOOKED_AT)
        source = dataclasses.replace(source, images=source.images[::every], targets=source.targets[::every])
    return [(int(image.shape[0]), int(image.shape[1])) for image, _ in itertools.islice(pictures(source), LOOKED_AT)]


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
    mean_std = {"image_mean": list(how.image_mean), "image_std": list(how.image_std)}
    return SegformerImageProcessor(size=how.crop if by_class else plan.size, **mean_std)


def device() -> str:
    """What TensorFlow computes on, in words."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"CPU, {cores} cores"
    name = tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")
    return name if len(gpus) == 1 else f"{name} (the first of {len(gpus)})"
