"""Files -> tensors, and a first look at all files of a split: what is broken, how often each class is."""

import dataclasses
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from segformer_tf.images import open_image
from segformer_tf.training.splits import Split

IGNORE = 255
PNG = b"\x89PNG\r\n\x1a\n"
GREY, PALETTE = 0, 3


def decode_picture(data: tf.Tensor) -> tf.Tensor:
    """JPEG or PNG bytes -> (H, W, 3) uint8, the bytes that Pillow decodes; EXIF rotation is not applied."""
    picture = tf.cond(
        tf.strings.substr(data, 0, 2) == b"\xff\xd8",
        lambda: tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_png(data, 3),
    )
    return tf.ensure_shape(picture, (None, None, 3))


class MaskReader:
    """Reads the masks of a split: file name -> (H, W) int32 ids, `IGNORE` where a pixel is not labelled.

    8- and 16-bit grey PNGs are decoded by TensorFlow; palette pictures, whose indices are the ids, by Pillow.
    """

    def __init__(self, files: Sequence[Path], reduce_labels: bool = False):
        kinds = {png_kind(file) for file in files} - {None}
        self.reduce_labels = reduce_labels
        self.depth = kinds.pop()[1] if len(kinds) == 1 and kinds <= {(GREY, 8), (GREY, 16)} else None

    def __call__(self, file: tf.Tensor) -> tf.Tensor:
        if self.depth is None:
            ids = tf.numpy_function(_read_with_pillow, [file], tf.int32, stateful=False)
        else:
            dtype = tf.uint8 if self.depth == 8 else tf.uint16
            ids = tf.cast(tf.io.decode_png(tf.io.read_file(file), 1, dtype=dtype)[..., 0], tf.int32)
        ids = tf.ensure_shape(ids, (None, None))
        if self.reduce_labels:  # the one place where labels are shifted
            ids = tf.where(ids == 0, IGNORE, ids - 1)
        return ids


def png_kind(file: Path) -> tuple[int, int] | None:
    """Colour type and bit depth of a PNG by its header, or None if it is not one.

    Raises:
        ValueError: The file is an RGB picture, so not a mask of class ids.
    """
    with open(file, "rb") as stream:
        head = stream.read(26)
    if len(head) < 26 or not head.startswith(PNG):
        return None
    depth, colour = struct.unpack("BB", head[24:26])
    if colour not in (GREY, PALETTE):
        raise ValueError(
            f"{file} is an RGB picture (PNG colour type {colour}), expected a mask of class ids in grey or with "
            "a palette: replace each colour by its class id."
        )
    return colour, depth


def _read_with_pillow(file: bytes) -> np.ndarray:
    with Image.open(os.fsdecode(np.asarray(file).item())) as image:  # bytes in a graph, an array in eager code
        return np.asarray(image).astype(np.int32)


def load_pair(split: Split):
    """The function (image file, mask file or class id) -> (H, W, 3) uint8 and (H, W) int32 ids or the class id."""
    read = MaskReader(split.targets, split.reduce_labels) if split.has_masks else lambda target: target

    def load(image_file, target):
        image, target = decode_picture(tf.io.read_file(image_file)), read(target)
        if split.has_masks:
            same = tf.reduce_all(tf.shape(image)[:2] == tf.shape(target))
            told = ["the mask of", image_file, "has another size than the picture:", tf.shape(target)]
            with tf.control_dependencies([tf.debugging.Assert(same, told)]):
                target = tf.identity(target)
        return image, target

    return load


def tensors_of(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    """The split's image files and its targets, as tensors to take elements from."""
    targets = [str(file) for file in split.targets] if split.has_masks else list(split.targets)
    return tf.constant([str(file) for file in split.images]), tf.constant(targets)


def inspect(split: Split, num_labels: int, broken: str = "stop") -> tuple[Split, list[int]]:
    """Reads every file once: the split without its broken pairs, and the number of pixels (or pictures) of each class.

    Args:
        broken: "stop" raises at the first file that cannot be read, "skip" prints its name and goes on without it.

    Raises:
        OSError: A file that cannot be read.
        ValueError: A mask of another size than its picture, or a class id that the model does not have.
    """
    load = load_pair(split)

    def counter(target):
        if split.has_masks:
            return tf.math.bincount(target, minlength=65536, maxlength=65536, dtype=tf.int64)
        return tf.one_hot(target, num_labels, dtype=tf.int64)

    def count(number, files):
        return number, counter(load(*files)[1])

    pairs = tf.data.Dataset.from_tensor_slices(tensors_of(split)).enumerate()
    counts = np.zeros(65536 if split.has_masks else num_labels, np.int64)
    read = set()
    for number, found in pairs.map(count, num_parallel_calls=tf.data.AUTOTUNE).ignore_errors().as_numpy_iterator():
        read.add(int(number))
        counts += found
        _check_ids(split, int(number), found, num_labels)
    unreadable = [number for number in range(len(split)) if number not in read]
    for number in unreadable:
        error = _reason(split, number)
        if broken == "stop":
            raise error
        print(f"left out: {error}")
    if len(unreadable) == len(split):
        raise ValueError(f"the split {split.name!r} is empty after leaving out what cannot be read: mend the files.")
    kept = sorted(read)
    split = dataclasses.replace(split, images=[split.images[i] for i in kept], targets=[split.targets[i] for i in kept])
    return split, counts[:num_labels].tolist()


def _check_ids(split: Split, number: int, counts, num_labels: int) -> None:
    if not split.has_masks:
        return
    file = split.targets[number]
    strange = [int(i) for i in np.flatnonzero(counts) if i >= num_labels and i != IGNORE]
    if split.reduce_labels and IGNORE - 1 in strange:
        raise ValueError(
            f"{file} has the value {IGNORE}, expected none where 0 stands for unlabelled: its labels seem to be "
            "reduced already, so move the masks into another layout than ADE20K's."
        )
    if strange:
        raise ValueError(
            f"{file} has the class id {strange[0]}, expected 0 to {num_labels - 1} or {IGNORE} for unlabelled: correct "
            "the mask, or train a model with more classes."
        )


def _reason(split: Split, number: int) -> Exception:
    """Why the pair cannot be used, in one sentence that names the file."""
    image_file, target = split.images[number], split.targets[number]
    try:
        image = open_image(image_file)
        mask = open_image(target) if split.has_masks else image
    except (OSError, ValueError) as error:
        return OSError(str(error))
    if image.size != mask.size:
        return ValueError(
            f"{target} is {mask.height} x {mask.width} pixels, expected {image.height} x {image.width} as its picture "
            f"{image_file.name}: resize one of them."
        )
    return OSError(f"{image_file} or its mask cannot be decoded by TensorFlow: save them again as plain JPEG and PNG.")


def highest_id(split: Split) -> int:
    """The highest class id of the split's masks, for data sets without a `classes.json`."""
    if split.shards or not split.has_masks:
        raise ValueError(f"the split {split.name!r} does not say its classes, expected names: write a classes.json.")
    read = MaskReader(split.targets, split.reduce_labels)
    masks = (read(str(file)).numpy() for file in split.targets)
    highest = max(int(mask[mask != IGNORE].max(initial=-1)) for mask in masks)
    if highest < 0:
        raise ValueError(f"no mask of the split {split.name!r} has a class, expected ids from 0 on: label some pixels.")
    return highest
