"""Splits -> `tf.data` batches, in an order and with changes that are a function of seed and step only."""

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from segformer_tf.data.inspection import Inspection
from segformer_tf.data.layouts import read_split
from segformer_tf.data.pictures import pair_of
from segformer_tf.data.splits import UNLABELLED, Split
from segformer_tf.models.private import parts_of
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training import shards
from segformer_tf.training.augment import IMAGENET_MEAN, Augmentation, augment, augment_for_classes, normalize
from segformer_tf.training.reading import load_pair
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.regions import lay_over

STEPS_APART = 1_000_003  # a layer draws several times a step, and must not meet the next step's numbers
LEAST = 32  # pixels of a side that a model needs
ENDLESS = np.iinfo(np.int64).max
MEAN_PIXEL = np.rint(np.array(IMAGENET_MEAN) * 255).astype(np.int32)  # 0 after normalising, but for the rounding
Source = Split | tf.data.Dataset


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


def open_split(data: str | Path | Source | Inspection, split: str) -> Source:
    """A directory's or an inspection's split, or what is one already: a `Split`, a data set of (image, mask) pairs."""
    if isinstance(data, Inspection):
        return data.splits[split]
    return read_split(data, split) if isinstance(data, (str, Path)) else data


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
            regions are laid over within what a device sees.
    """
    elements = _numbered_elements(source, seed, start, share or Share(batch_size))
    by_class = isinstance(source, Split) and not source.has_masks
    change = augment_for_classes if by_class else augment
    mixes = how.cut_rate > 0 or how.paste_rate > 0
    if by_class and mixes:
        raise ValueError(
            f"the augmentation's cut_rate and paste_rate are {how.cut_rate} and {how.paste_rate}, expected 0 for class "
            "ids: they lay regions of masks over each other; the recipe's mixup_alpha is for classification."
        )

    def prepare(number, image, target):
        image, target = change(image, target, tf.stack([tf.constant(seed, tf.int64), number]), how)
        return image, target if by_class else _for_the_model(target, ignore_index)

    batches = elements.map(prepare, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    if mixes:
        batches = tf.data.Dataset.zip(tf.data.Dataset.range(start, ENDLESS), batches)

        def change_batch(step, batch):
            step_seed = tf.stack([tf.constant(seed, tf.int64), step * STEPS_APART])
            return lay_over(*batch, step_seed, how.cut_rate, how.paste_rate, ignore_index)

        batches = batches.map(change_batch, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(2)


@spell_checked
def evaluation_data(source: Source, how: Augmentation | None = None, ignore_index: int = UNLABELLED) -> tf.data.Dataset:
    """Whole pictures one by one, normalised, at their own size: (1, H, W, 3) float32 and (1, H, W) int32 or (1,)."""
    how = how or Augmentation()
    pairs = pictures(source, ignore_index)
    return pairs.map(lambda image, target: (normalize(tf.cast(image, tf.float32), how), target)).batch(1).prefetch(2)


def pictures(source: Source, ignore_index: int = UNLABELLED) -> tf.data.Dataset:
    """The pictures as they are, in order: (H, W, 3) uint8 and (H, W) int32 or a class id.

    Beside a picture under 32 pixels high or wide, which no model takes, they are padded: the mask with `ignore_index`.
    """
    if isinstance(source, tf.data.Dataset):
        pairs = source.map(_checked_pair)
    elif source.shards:
        pairs = shards.elements(source)
    else:
        pairs = tf.data.Dataset.range(len(source)).map(load_pair(source), num_parallel_calls=tf.data.AUTOTUNE)
    if isinstance(source, Split) and not source.has_masks:
        return pairs
    return pairs.map(lambda image, mask: _padded(image, mask, ignore_index) if mask.shape.rank == 2 else (image, mask))


def readers(source: Source, ignore_index: int = UNLABELLED) -> Iterator[Callable[[], tuple[np.ndarray, Any]]]:
    """Functions that read the pictures and masks of `pictures` as arrays, each in whatever thread calls it.

    A split's files are decoded there and then by Pillow, to the same values. `tf.data` would decode them in threads
    that have no priority of their own, and hold up the model's.
    """
    if isinstance(source, tf.data.Dataset) or source.shards:
        return (lambda pair=pair: tuple(part.numpy() for part in pair) for pair in pictures(source, ignore_index))
    return (functools.partial(_read_pair, source, number, ignore_index) for number in range(len(source)))


def _read_pair(split: Split, number: int, ignore_index: int) -> tuple[np.ndarray, Any]:
    image, target = pair_of(split, number)
    if isinstance(target, int):
        return image, target
    below, right = (max(LEAST - side, 0) for side in target.shape)
    if below or right:
        around = ((0, below), (0, right))
        filled = [np.pad(image[..., i], around, constant_values=MEAN_PIXEL[i]) for i in range(3)]
        image, target = np.stack(filled, -1), np.pad(target, around, constant_values=UNLABELLED)
    return image, target if ignore_index == UNLABELLED else np.where(target == UNLABELLED, ignore_index, target)


def _for_the_model(labels: tf.Tensor, ignore_index: int) -> tf.Tensor:
    """The one place where what is unlabelled on disk becomes what the model ignores."""
    return labels if ignore_index == UNLABELLED else tf.where(labels == UNLABELLED, ignore_index, labels)


def _padded(image: tf.Tensor, mask: tf.Tensor, ignore_index: int):
    below, right = tf.unstack(tf.maximum(LEAST - tf.shape(mask), 0))
    around = ((0, below), (0, right))

    def pad():
        wide = tf.pad(tf.cast(image, tf.int32) - MEAN_PIXEL, (*around, (0, 0))) + MEAN_PIXEL
        return tf.cast(wide, tf.uint8), tf.pad(mask, around, constant_values=UNLABELLED)

    image, mask = tf.cond(below + right > 0, pad, lambda: (image, mask))
    return tf.ensure_shape(image, (None, None, 3)), _for_the_model(tf.ensure_shape(mask, (None, None)), ignore_index)


def _numbered_elements(source: Source, seed: int, start: int, share: Share) -> tf.data.Dataset:
    """(number, image, target) from step `start` on, for ever."""
    if isinstance(source, tf.data.Dataset):
        pairs = source.map(_checked_pair).repeat().skip(start * share.batch)
        return share.of(pairs, start).map(lambda number, pair: (number, *pair))
    if source.shards:
        records = share.of(shards.shuffled_records(source.shards, seed).skip(start * share.batch), start)
        return records.map(lambda n, record: (n, *shards.decode(record, source.value_range)), tf.data.AUTOTUNE)
    load, count = load_pair(source), len(source)

    def element(number):
        return number, *load(_picture_number(count, seed, number))

    return share.numbers(start).map(element, num_parallel_calls=tf.data.AUTOTUNE)


def _picture_number(count: int, seed: int, number: tf.Tensor) -> tf.Tensor:
    """Which of so many pictures comes as element `number` of all epochs."""
    place, epoch = tf.cast(number % count, tf.int32), number // count
    return tf.random.experimental.index_shuffle(place, tf.stack([tf.constant(seed, tf.int64), epoch]), count - 1)


def picture_numbers(count: int, seed: int, elements: Iterable[int]) -> list[int]:
    """The numbers of the pictures that come as these elements of `training_data`."""
    return [int(_picture_number(count, seed, tf.constant(int(number), tf.int64))) for number in elements]


def _checked_pair(*pair: Any):
    """A user's element as (image, target), with an error in place of a shape that means something else."""
    if len(pair) == 1 and isinstance(pair[0], dict):
        pair = (pair[0]["pixel_values"], pair[0]["labels"])
    if len(pair) != 2 or pair[0].shape.rank != 3 or pair[0].dtype != tf.uint8:
        raise ValueError(
            f"the data set's elements are {pair}, expected single pairs of an image (H, W, 3) uint8 and a mask "
            "(H, W) or a class id: unbatch it, and leave normalising to the training."
        )
    image, target = pair
    if target.shape.rank == 3 and target.shape[-1] == 1:
        target = target[..., 0]
    return image, tf.cast(target, tf.int32)


def mixed(batches: tf.data.Dataset, recipe: Recipe, num_labels: int, seed: int, start: int) -> tf.data.Dataset:
    """(images (B, h, w, 3), ids (B,)) -> the same, or images and label shares (B, num_labels) if the recipe mixes.

    Keras' layers draw from a state that counts up; it is set anew at every step, so that a resumed run draws the same.
    """
    if not (recipe.mixup_alpha or recipe.rand_augment):
        return batches
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
