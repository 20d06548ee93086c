"""Whole pictures of a data set in their order, from a split's files, its shards, or a `tf.data` set of pairs."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.data.inspection import Inspection
from segformer_tf.data.layouts import read_split
from segformer_tf.data.pictures import pair_of
from segformer_tf.data.splits import UNLABELLED, Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.training import shards
from segformer_tf.training.augment import IMAGENET_MEAN
from segformer_tf.training.reading import load_pair

MEAN_PIXEL = np.rint(np.array(IMAGENET_MEAN) * 255).astype(np.int32)  # 0 after normalising, but for the rounding
Source = Split | tf.data.Dataset


def open_split(data: str | Path | Source | Inspection, split: str) -> Source:
    """A directory's or an inspection's split, or what is one already: a `Split`, a data set of (image, mask) pairs.

    Raises ValueError where an inspection has not read that split.
    """
    if isinstance(data, Inspection):
        if split not in data.splits:
            raise ValueError(
                f"the inspection has the splits {', '.join(data.splits) or 'none'}, expected {split!r} too: inspect "
                f"the data set with it, or give another split as {'validation' if split == 'val' else 'data'}."
            )
        return data.splits[split]
    return read_split(data, split) if isinstance(data, (str, Path)) else data


def reading_of(processor: SegformerImageProcessor | None) -> dict[str, Any]:
    """How files of pictures are read, as `inspect` takes it: as the processor reads them, by default without one."""
    if processor is None:
        return {}
    return {"value_range": processor.value_range, "turn": processor.do_exif_transpose is not False}


def as_read_by(source: Source, processor: SegformerImageProcessor | None) -> Source:
    """A split whose pictures are read as the processor reads files; what the split says itself holds, too."""
    if not isinstance(source, Split) or processor is None:
        return source
    how = reading_of(processor)
    return dataclasses.replace(
        source, value_range=source.value_range or how["value_range"], turn=source.turn and how["turn"]
    )


def identity(source: Source) -> dict[str, Any] | None:
    """What a split is known by wherever it lies: how many pictures, a hash of their names, the size of their files.

    Names are without suffix, in any order, with class ids where these are the targets. None for a `tf.data` set.
    """
    if not isinstance(source, Split):
        return None
    files = source.shards or source.images
    classes = ["" if source.has_masks else target for target in source.targets] or [""] * len(files)
    names = sorted(f"{file.stem} {target}" for file, target in zip(files, classes, strict=True))
    hashed = hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()
    return {"pictures": len(source), "names": hashed, "bytes": sum(file.stat().st_size for file in files)}


def untuned(data: tf.data.Dataset) -> tf.data.Dataset:
    """The same without `tf.data`'s tuner, which sleeps twice as long each time, a minute at most.

    Where an iterator ends, the program may wait until it wakes: up to as long as the iterator was there. Without it all
    cores read.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


def pictures(source: Source, ignore_index: int = UNLABELLED, least: int = SMALLEST_SIDE) -> tf.data.Dataset:
    """The pictures as they are, in order: (H, W, 3) uint8 and (H, W) int32 or a class id.

    A picture under `least` pixels high or wide, which the model does not take, is padded, its mask with `ignore_index`.
    """
    if isinstance(source, tf.data.Dataset):
        pairs = source.map(checked_pair)
    elif source.shards:
        pairs = shards.elements(source)
    else:
        pairs = tf.data.Dataset.range(len(source)).map(load_pair(source), num_parallel_calls=tf.data.AUTOTUNE)
    if not (isinstance(source, Split) and not source.has_masks):
        pairs = pairs.map(
            lambda image, mask: _padded(image, mask, ignore_index, least) if mask.shape.rank == 2 else (image, mask)
        )
    return untuned(pairs)


def chosen(source: Source, numbers: Collection[int], ignore_index: int = UNLABELLED) -> Source:
    """The pictures of these numbers, smallest first; those that are not there are left out."""
    numbers = sorted(set(numbers))
    if isinstance(source, Split) and not source.shards:
        some = [i for i in numbers if i < len(source)]
        images, targets = [source.images[i] for i in some], [source.targets[i] for i in some]
        return dataclasses.replace(source, images=images, targets=targets)
    wanted = tf.constant(numbers, tf.int64)
    pairs = pictures(source, ignore_index).take(max(numbers, default=-1) + 1).enumerate()
    return pairs.filter(lambda i, _: tf.reduce_any(wanted == i)).map(lambda _, pair: pair)


def readers(
    source: Source, ignore_index: int = UNLABELLED, least: int = SMALLEST_SIDE
) -> Iterator[Callable[[], tuple[np.ndarray, Any]]]:
    """Functions that read the pictures and masks of `pictures` as arrays, each in whatever thread calls it.

    A split's files are decoded there and then by Pillow, to the same values. `tf.data` would decode them in threads
    that have no priority of their own, and hold up the model's.
    """
    if isinstance(source, tf.data.Dataset) or source.shards:
        return (
            lambda pair=pair: tuple(part.numpy() for part in pair) for pair in pictures(source, ignore_index, least)
        )
    return (functools.partial(_read_pair, source, number, ignore_index, least) for number in range(len(source)))


@dataclasses.dataclass
class Item:
    """A picture of a data set, and its mask or class id once it is read."""

    number: int
    read: Callable[[], tuple[np.ndarray, Any]]
    target: Any = None


def items(source: Source, ignore_index: int = UNLABELLED) -> Iterator[Item]:
    """The pictures of `readers`, with their numbers."""
    return (Item(number, read) for number, read in enumerate(readers(source, ignore_index)))


def _read_pair(split: Split, number: int, ignore_index: int, least: int) -> tuple[np.ndarray, Any]:
    image, target = pair_of(split, number)
    if isinstance(target, int):
        return image, target
    around = _around(target.shape, least)
    target = np.pad(target, around, constant_values=UNLABELLED) if around else target
    return filled(image, least), for_the_model(target, ignore_index)


def filled(image: np.ndarray, least: int = SMALLEST_SIDE) -> np.ndarray:
    """(H, W, 3) uint8 as a model takes it: below and right of a smaller picture the mean pixel, to `least` a side."""
    if not (around := _around(image.shape[:2], least)):
        return image
    return np.stack([np.pad(image[..., i], around, constant_values=MEAN_PIXEL[i]) for i in range(3)], -1)


def _around(size: tuple[int, ...], least: int) -> tuple[tuple[int, int], ...]:
    """Rows and columns that are put around a picture of this (height, width); () where it is large enough."""
    return tuple((0, max(least - side, 0)) for side in size) if min(size) < least else ()


def for_the_model(labels: Any, ignore_index: int) -> Any:
    """The one place where what is unlabelled on disk becomes what the model ignores, in arrays and tensors."""
    where = np.where if isinstance(labels, np.ndarray) else tf.where
    return labels if ignore_index == UNLABELLED else where(labels == UNLABELLED, ignore_index, labels)


def _padded(image: tf.Tensor, mask: tf.Tensor, ignore_index: int, least: int):
    below, right = tf.unstack(tf.maximum(least - tf.shape(mask), 0))
    around = ((0, below), (0, right))

    def pad():
        wide = tf.pad(tf.cast(image, tf.int32) - MEAN_PIXEL, (*around, (0, 0))) + MEAN_PIXEL
        return tf.cast(wide, tf.uint8), tf.pad(mask, around, constant_values=UNLABELLED)

    image, mask = tf.cond(below + right > 0, pad, lambda: (image, mask))
    return tf.ensure_shape(image, (None, None, 3)), for_the_model(tf.ensure_shape(mask, (None, None)), ignore_index)


def checked_pair(*pair: Any):
    """A user's element as (image, target), with an error in place of a shape that means something else."""
    if len(pair) == 1 and isinstance(pair[0], dict):
        if lacking := [key for key in ("pixel_values", "labels") if key not in pair[0]]:
            raise ValueError(
                f"the data set's elements have the keys {', '.join(map(str, pair[0]))}, expected pixel_values and "
                f"labels: add {' and '.join(lacking)}."
            )
        pair = (pair[0]["pixel_values"], pair[0]["labels"])
    if len(pair) != 2 or pair[0].shape.rank != 3 or pair[0].dtype != tf.uint8:
        raise ValueError(
            f"the data set's elements are {pair}, expected single pairs of an image (H, W, 3) uint8 and a mask "
            "(H, W) or a class id: unbatch it, and leave normalising to the training."
        )
    image, target = pair
    if target.shape.rank == 3 and target.shape[-1] == 1:
        target = target[..., 0]
    if target.shape.rank == 2:
        told = "a mask has another height or width than its picture, expected the same: correct the data set."
        if not image.shape[:2].is_compatible_with(target.shape):
            raise ValueError(f"{tuple(target.shape)} and {tuple(image.shape)}: {told}")
        with tf.control_dependencies([tf.debugging.assert_equal(tf.shape(target), tf.shape(image)[:2], told)]):
            target = tf.identity(target)
    return image, tf.cast(target, tf.int32)
