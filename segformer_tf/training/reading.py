"""Files -> tensors: pictures upright as Pillow decodes them, and their masks as class ids."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from segformer_tf.data.masks import UNKNOWN, coded, read_mask, value_table
from segformer_tf.data.pictures import may_turn, read_picture
from segformer_tf.data.splits import Coding, Split
from segformer_tf.images.opening import name_of

JPEG, PNG = b"\xff\xd8", b"\x89PNG"
SMALL = 1 << 17  # bytes of a file up to which TensorFlow looks for a word in less time than it takes to ask Python
SAYS_MORE = r"\C*(Exif|http://ns\.adobe\.com|eXIf|tEXt|zTXt|iTXt)\C*"  # where JPEG and PNG may say an orientation


def decode_picture(
    data: tf.Tensor,
    value_range: tuple[float, float] | None = None,
    turn: bool = True,
    file: tf.Tensor | str = "",
) -> tf.Tensor:
    """Bytes of a picture -> (H, W, 3) uint8, with the values that Pillow gives.

    Plain JPEGs and 8-bit PNGs are decoded by TensorFlow; TIFF, BMP, WebP, 16 bits, CMYK and turned ones by Pillow.

    Args:
        value_range: Values of 16-bit pictures that become 0 and 255; None: 0 and 65535.
        turn: Whether to turn it as its EXIF or XMP says.
        file: What an error calls the picture.
    """

    def by_pillow():
        def read(encoded, name):
            encoded, name = _bytes(encoded), os.fsdecode(_bytes(name))
            try:
                return read_picture(encoded, value_range, turn)
            except (OSError, ValueError) as error:
                told = str(error)
                kind = OSError if isinstance(error, OSError) else ValueError
                raise kind(told.replace(name_of(encoded), name, 1) if name else told) from None

        return tf.ensure_shape(tf.numpy_function(read, [data, file], tf.uint8, stateful=False), (None, None, 3))

    def as_it_lies():
        return ~_may_turn(data) if turn else tf.constant(True)

    def jpeg():
        plain = as_it_lies() & (tf.image.extract_jpeg_shape(data)[2] != 4)
        return tf.cond(plain, lambda: tf.io.decode_jpeg(data, 3, dct_method="INTEGER_ACCURATE"), by_pillow)

    def png():
        plain = (_depth(data) != 16) & as_it_lies()
        return tf.cond(plain, lambda: tf.io.decode_png(data, 3), by_pillow)

    is_jpeg, is_png = tf.strings.substr(data, 0, 2) == JPEG, tf.strings.substr(data, 0, 4) == PNG
    picture = tf.cond(is_jpeg, jpeg, lambda: tf.cond(is_png, png, by_pillow))
    return tf.ensure_shape(picture, (None, None, 3))


def _may_turn(data: tf.Tensor) -> tf.Tensor:
    """As `may_turn`, which is asked about large files and those with a word of an orientation: it takes longer."""

    def ask():
        def answer(encoded):
            return np.bool_(may_turn(_bytes(encoded)))

        return tf.ensure_shape(tf.numpy_function(answer, [data], tf.bool, stateful=False), ())

    def no():
        return tf.constant(False)

    small = tf.strings.length(data) < SMALL
    says_nothing = tf.cond(small, lambda: ~tf.strings.regex_full_match(data, SAYS_MORE), no)
    return tf.cond(says_nothing, no, ask)


def _depth(png: tf.Tensor) -> tf.Tensor:
    """Bits of a PNG's values, from its header."""
    return tf.cast(tf.io.decode_raw(tf.strings.substr(png, 24, 1), tf.uint8)[0], tf.int32)


def _bytes(encoded) -> bytes:
    return encoded if isinstance(encoded, bytes) else encoded.item()  # bytes in a graph, an array in eager code


def mask_reader(coding: Coding) -> Callable[[tf.Tensor], tf.Tensor]:
    """The function: name of a mask's file -> (H, W) int32 ids, `UNLABELLED` where a pixel is not labelled.

    8- and 16-bit grey PNGs of ids are decoded by TensorFlow, all others by Pillow.
    """

    def by_pillow(file):
        def read(name):
            return read_mask(os.fsdecode(_bytes(name)), coding)

        return tf.numpy_function(read, [file], tf.int32, stateful=False)

    def grey(data, dtype):
        values = tf.cast(tf.io.decode_png(data, 1, dtype=dtype)[..., 0], tf.int32)
        if not coding.values:
            return values
        table = tf.constant(value_table(tuple(coding.values.items())))
        ids = tf.gather(table, tf.minimum(values, tf.shape(table)[0] - 1))
        with tf.control_dependencies(
            [tf.debugging.assert_greater(ids, UNKNOWN, "a mask has a value without a meaning")]
        ):
            return tf.identity(ids)

    def read(file):
        if coding.greys:
            return tf.ensure_shape(by_pillow(file), (None, None))
        data = tf.io.read_file(file)
        head = tf.strings.substr(data, 24, 2)  # depth and colour type, where the file is a PNG
        of_ids = (head == b"\x08\x00") | (head == b"\x10\x00")
        is_plain = tf.cond(
            (tf.strings.substr(data, 0, 4) == PNG) & of_ids, lambda: ~_may_turn(data), lambda: tf.constant(False)
        )
        ids = tf.cond(
            is_plain & (head == b"\x08\x00"),
            lambda: grey(data, tf.uint8),
            lambda: tf.cond(is_plain, lambda: grey(data, tf.uint16), lambda: by_pillow(file)),
        )
        return tf.ensure_shape(ids, (None, None))

    return read


def load_pair(split: Split) -> Callable:
    """The function: number of a pair -> (H, W, 3) uint8 and (H, W) int32 ids or the class id."""
    images = tf.constant([str(file) for file in split.images])
    by_files = split.has_masks and all(isinstance(target, os.PathLike) for target in split.targets)
    targets = tf.constant([str(file) for file in split.targets]) if by_files else None
    if not split.has_masks:
        targets = tf.constant(list(split.targets), tf.int32)
    read = mask_reader(split.coding)

    def load(number):
        image = decode_picture(tf.io.read_file(images[number]), split.value_range, split.turn, images[number])
        if targets is None:
            return image, _drawn(split, number, tf.shape(image)[:2])
        if not split.has_masks:
            return image, targets[number]
        target = read(targets[number])
        same = tf.reduce_all(tf.shape(image)[:2] == tf.shape(target))
        told = ["the mask of", images[number], "has another size than the picture:", tf.shape(target)]
        with tf.control_dependencies([tf.debugging.Assert(same, told)]):
            return image, tf.identity(target)

    return load


def _drawn(split: Split, number: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """(H, W) int32 ids drawn from shapes, or read from a file where a split has both."""

    def draw(number, size):
        target = split.targets[int(number)]
        if isinstance(target, os.PathLike):
            return read_mask(target, split.coding)
        return coded(target.ids((int(size[0]), int(size[1]))), split.coding)

    return tf.ensure_shape(tf.numpy_function(draw, [number, size], tf.int32, stateful=False), (None, None))
