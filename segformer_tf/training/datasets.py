"""Splits -> `tf.data` batches, in an order and with changes that are a function of seed and step only."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.data.splits import UNLABELLED, Split
from segformer_tf.models.private import parts_of
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training import shards
from segformer_tf.training.augment import Augmentation, augment, augment_for_classes
from segformer_tf.training.reading import load_pair
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.regions import lay_over
from segformer_tf.training.sources import Source, checked_pair, for_the_model, untuned

STEPS_APART = 1_000_003  # a layer draws several times a step, and must not meet the next step's numbers
ENDLESS = np.iinfo(np.int64).max


class Share(NamedTuple):
    """Which pictures of a step's `batch` are a worker's: the next `batch / workers` for each of them."""

    batch: int
    worker: int = 0
    workers: int = 1

    @property
    def count(self) -> int:
        """Pictures of one worker and step."""
        return self.batch // self.workers

    def numbers(self, start: int) -> tf.data.Dataset:
        """The worker's pictures from step `start` on, counted over all workers."""
        if self.workers == 1:
            return tf.data.Dataset.range(start * self.batch, ENDLESS)
        own = tf.data.Dataset.range(start * self.count, ENDLESS // self.workers)
        return own.map(lambda n: n // self.count * self.batch + self.worker * self.count + n % self.count)

    def of(self, elements: tf.data.Dataset, start: int) -> tf.data.Dataset:
        """(number, the worker's elements) of all that follow step `start`."""
        numbered = tf.data.Dataset.zip(tf.data.Dataset.range(start * self.batch, ENDLESS), elements)
        if self.workers == 1:
            return numbered
        return numbered.filter(lambda n, *_: n % self.batch // self.count == self.worker)


@spell_checked
def training_data(
    source: Source,
    how: Augmentation,
    batch_size: int,
    seed: int = 0,
    start: int = 0,
    ignore_index: int = UNLABELLED,
    share: Share | None = None,
) -> tf.data.Dataset:
    """Endless batches: pixel values (B, h, w, 3) float32 and labels (B, h, w) int32, or class ids (B,).

    Every picture once an epoch, shuffled anew. Which picture comes at a step and how it is changed depend on seed and
    step only, so a run that goes on at step `start` sees what it would have seen.

    Args:
        source: A split, or a `tf.data.Dataset` of single (image uint8, mask or class id) pairs, which is repeated in
            its own order: shuffle it yourself.
        ignore_index: The model's label of pixels that do not count: unlabelled ones and those beside the picture.
        share: The part of each step's pictures that this worker learns from; `batch_size` is then a device's, and
            regions are laid over within the worker's part.

    Raises:
        ValueError: Regions are to be laid over each other in class ids, or in batches of one picture.
    """
    share = share or Share(batch_size)
    elements = _numbered_elements(source, seed, start, share)
    by_class = isinstance(source, Split) and not source.has_masks
    change = augment_for_classes if by_class else augment
    mixes = check_mixing(how, by_class, share.count)

    def prepare(number, image, target):
        image, target = change(image, target, tf.stack([tf.constant(seed, tf.int64), number]), how)
        return image, target if by_class else for_the_model(target, ignore_index)

    elements = elements.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)
    batches = elements.batch(share.count if mixes else batch_size, drop_remainder=True)
    if mixes:
        batches = tf.data.Dataset.zip(tf.data.Dataset.range(start, ENDLESS), batches)

        def change_batch(step, batch):
            step_seed = tf.stack([tf.constant(seed, tf.int64), step * STEPS_APART])
            return lay_over(*batch, step_seed, how.cut_rate, how.paste_rate, ignore_index)

        batches = batches.map(change_batch, num_parallel_calls=tf.data.AUTOTUNE)
        if batch_size != share.count:  # all devices' pictures were mixed together, as one device would
            batches = batches.rebatch(batch_size, drop_remainder=True)
    return untuned(batches.prefetch(2))


def check_mixing(how: Augmentation, by_class: bool, batch_size: int) -> bool:
    """Whether an augmentation lays regions over each other; ValueError where there are no masks or no other picture."""
    mixes = how.cut_rate > 0 or how.paste_rate > 0
    if by_class and mixes:
        raise ValueError(
            f"the augmentation's cut_rate and paste_rate are {how.cut_rate} and {how.paste_rate}, expected 0 for class "
            "ids: they lay regions of masks over each other; the recipe's mixup_alpha is for classification."
        )
    if mixes and batch_size < 2:
        raise ValueError(
            f"the augmentation's cut_rate and paste_rate are {how.cut_rate} and {how.paste_rate}, expected 0 for "
            "batches of one picture: they lay regions of another picture of the batch over it; take a larger batch."
        )
    return mixes


def check_masks(recipe: Recipe) -> None:
    """Raises ValueError where a recipe for masks has what changes pictures and leaves their masks as they are."""
    if recipe.mixup_alpha or recipe.rand_augment:
        raise ValueError(
            f"the recipe's mixup_alpha and rand_augment are {recipe.mixup_alpha} and {recipe.rand_augment}, expected 0 "
            "and False for masks: they move or mix pictures without their masks; the augmentation's cut_rate and "
            "paste_rate are for segmentation."
        )


def _numbered_elements(source: Source, seed: int, start: int, share: Share) -> tf.data.Dataset:
    """(number, image, target) from step `start` on, for ever."""
    if isinstance(source, tf.data.Dataset):
        pairs = source.map(checked_pair).repeat().skip(start * share.batch)
        return share.of(pairs, start).map(lambda number, pair: (number, *pair))
    if source.shards:
        records = share.of(shards.shuffled_records(source.shards, seed).skip(start * share.batch), start)
        return records.map(lambda n, record: (n, *shards.decode(record, source)), tf.data.AUTOTUNE)
    load, count = load_pair(source), len(source)

    def element(number):
        return number, *load(_picture_number(count, seed, number))

    return share.numbers(start).map(element, num_parallel_calls=tf.data.AUTOTUNE)


def _picture_number(count: int, seed: int, number: tf.Tensor) -> tf.Tensor:
    """Which of so many pictures comes as element `number` of all epochs."""
    place, epoch = tf.cast(number % count, tf.int32), number // count
    shuffle: Any = tf.random.experimental  # pyright: ignore[reportAttributeAccessIssue]
    return shuffle.index_shuffle(place, tf.stack([tf.constant(seed, tf.int64), epoch]), count - 1)


def picture_numbers(count: int, seed: int, elements: Iterable[int]) -> list[int]:
    """The numbers of the pictures that come as these elements of `training_data`."""
    return [int(_picture_number(count, seed, tf.constant(int(number), tf.int64))) for number in elements]


def mixed(batches: tf.data.Dataset, recipe: Recipe, num_labels: int, seed: int, start: int) -> tf.data.Dataset:
    """(images (B, h, w, 3), ids (B,)) -> the same, or images and label shares (B, num_labels) if the recipe mixes.

    Keras' layers draw from a state that counts up; it is set anew at every step, so that a resumed run draws the same.
    """
    if not (recipe.mixup_alpha or recipe.rand_augment):
        return batches
    spec: Any = batches.element_spec
    if spec[1].shape.rank != 1:
        check_masks(recipe)
    how = recipe.augmentation
    mean, std = tf.constant(how.image_mean), tf.constant(how.image_std)
    augment = keras.layers.RandAugment(value_range=(0, 255), seed=seed, data_format="channels_last")
    mix = keras.layers.MixUp(alpha=recipe.mixup_alpha or 1.0, seed=seed, data_format="channels_last")
    generators = [layer for layer in (*parts_of(augment), *parts_of(mix)) if hasattr(layer, "generator")]

    def change(step, batch):
        images, ids = batch
        for number, layer in enumerate(generators):
            layer.generator.state.assign(
                tf.cast(tf.stack([seed + number, step * STEPS_APART]), layer.generator.state.dtype)
            )
        if recipe.rand_augment:
            pixels = tf.clip_by_value((images * std + mean) * 255.0, 0.0, 255.0)
            images = (augment(pixels, training=True) / 255.0 - mean) / std
        if not recipe.mixup_alpha:
            return images, ids
        both = mix({"images": images, "labels": tf.one_hot(ids, num_labels)}, training=True)
        return both["images"], both["labels"]

    numbered = tf.data.Dataset.zip(tf.data.Dataset.range(start, tf.int64.max), batches)
    return numbered.map(change).prefetch(2)  # one after the other: the layers' state is shared
