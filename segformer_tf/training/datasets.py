"""Splits -> `tf.data` batches, in an order and with changes that are a function of seed and step only."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training import shards
from segformer_tf.training.augment import Augmentation, augment, augment_for_classes, normalize
from segformer_tf.training.reading import load_pair, tensors_of
from segformer_tf.training.splits import Split, read_split

ENDLESS = np.iinfo(np.int64).max
Source = Split | tf.data.Dataset


def open_split(data: str | Path | Source, split: str) -> Source:
    """A directory's split, or what is one already: a `Split`, or a data set of (image, mask) pairs."""
    return read_split(data, split) if isinstance(data, (str, Path)) else data


@spell_checked
def training_data(source: Source, how: Augmentation, batch_size: int, seed: int = 0, start: int = 0) -> tf.data.Dataset:
    """Endless batches: pixel values (B, h, w, 3) float32 and labels (B, h, w) int32, or class ids (B,).

    Every picture once an epoch, shuffled anew. Which picture comes at a step and how it is changed depend on seed and
    step only, so a run that goes on at step `start` sees what it would have seen.

    Args:
        source: A split, or a `tf.data.Dataset` of single (image uint8, mask or class id) pairs, which is repeated in
            its own order: shuffle it yourself.
    """
    elements = _numbered_elements(source, seed, start * batch_size)
    by_class = isinstance(source, Split) and not source.has_masks
    change = augment_for_classes if by_class else augment

    def prepare(number, image, target):
        return change(image, target, tf.stack([tf.constant(seed, tf.int64), number]), how)

    batches = elements.map(prepare, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    return batches.prefetch(2)


@spell_checked
def evaluation_data(source: Source, how: Augmentation | None = None) -> tf.data.Dataset:
    """Whole pictures one by one, normalised, at their own size: (1, H, W, 3) float32 and (1, H, W) int32 or (1,)."""
    how = how or Augmentation()
    pairs = pictures(source).map(lambda image, target: (normalize(tf.cast(image, tf.float32), how), target))
    return pairs.batch(1).prefetch(2)


def pictures(source: Source) -> tf.data.Dataset:
    """The pictures as they are, in order: (H, W, 3) uint8 and (H, W) int32 or a class id."""
    if isinstance(source, tf.data.Dataset):
        return source.map(_checked_pair)
    if source.shards:
        return shards.elements(source.shards)
    files = tf.data.Dataset.from_tensor_slices(tensors_of(source))
    return files.map(load_pair(source), num_parallel_calls=tf.data.AUTOTUNE)


def _numbered_elements(source: Source, seed: int, start: int) -> tf.data.Dataset:
    """(number, image, target) from element `start` on, for ever."""
    numbers = tf.data.Dataset.range(start, ENDLESS)
    if isinstance(source, tf.data.Dataset):
        pairs = source.map(_checked_pair).repeat().skip(start)
        return tf.data.Dataset.zip(numbers, pairs).map(lambda number, pair: (number, *pair))
    if source.shards:
        pairs = shards.shuffled_elements(source.shards, seed).skip(start).map(shards.decode, tf.data.AUTOTUNE)
        return tf.data.Dataset.zip(numbers, pairs).map(lambda number, pair: (number, *pair))
    images, targets = tensors_of(source)
    load, count = load_pair(source), len(source)

    def element(number):
        place = tf.cast(number % count, tf.int32)
        index = tf.random.experimental.index_shuffle(
            place, tf.stack([tf.constant(seed, tf.int64), number // count]), count - 1
        )
        return number, *load(images[index], targets[index])

    return numbers.map(element, num_parallel_calls=tf.data.AUTOTUNE)


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
