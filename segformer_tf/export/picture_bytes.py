"""Encoded pictures inside a graph: bytes -> pixels as Pillow reads them, with an error text in place of an exception.

A server runs a batch as one graph run, so a picture that cannot be read must not raise: it would take the others along.
"""

from collections.abc import Callable

import tensorflow as tf

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.export.arguments import MAX_PIXELS
from segformer_tf.export.orientation import orientation, upright
from segformer_tf.images.sizes import MAX_SIDE

MIN_SIDE = 8  # anything smaller is a placeholder, not a photograph

_DAMAGED = "The picture is damaged or cut short: send the whole file again."
_PNG_HEADER = 26  # bytes up to and including the colour type
_FORMATS = {
    b"GIF8": "a GIF",
    b"RIFF": "a WebP",
    b"BM": "a BMP",
    b"II*\x00": "a TIFF",
    b"MM\x00*": "a TIFF",
}


def read_picture(
    data: tf.Tensor,
    max_pixels: int = MAX_PIXELS,
    min_side: int = MIN_SIDE,
    turn: bool = True,
    shortest_edge: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """One JPEG or PNG, string () -> (uint8 (H, W, 3), error text ()); with an error the picture is black.

    Pixels are Pillow's to the last bit, as `SegformerImageProcessor` takes them from the same file: grey is repeated,
    palettes are looked up, alpha is dropped, 16-bit grey is divided by 257. The picture lies as its EXIF or XMP says,
    without `turn` as it is stored. The size is read from the header, so a picture of more than `max_pixels` is refused
    before it takes memory, and so is one that would be over `MAX_SIDE` long once its shortest edge is `shortest_edge`.
    """
    is_jpeg = _starts_with(data, b"\xff\xd8\xff")
    is_png = _starts_with(data, b"\x89PNG\r\n\x1a\n")
    header = tf.case(  # height, width, channels, 1 if each channel has 16 bits
        [(is_jpeg, lambda: _or_else(_jpeg_header, data, [0, 0, 0, 0])), (is_png, lambda: _png_header(data))],
        default=lambda: tf.constant([0, 0, 0, 0]),
    )
    known, nothing = is_jpeg | is_png, _nothing(min_side)
    error = tf.cond(
        known, lambda: _header_error(header, max_pixels, min_side, shortest_edge), lambda: _format_error(data)
    )

    def decode():
        grey_16 = is_png & (header[3] == 1) & (header[2] == 1)
        return tf.case(
            [
                (is_jpeg, lambda: _safely(_decode_jpeg, data, turn, nothing)),
                (grey_16, lambda: _safely(_decode_grey_16, data, turn, nothing)),
            ],
            default=lambda: _safely(_decode_png, data, turn, nothing),
        )

    picture, whole = tf.cond(error == "", decode, lambda: (nothing, True))
    return picture, tf.where(whole, error, _DAMAGED)


def _starts_with(data: tf.Tensor, start: bytes) -> tf.Tensor:
    return tf.strings.substr(data, 0, len(start)) == start


def _or_else(read: Callable, data: tf.Tensor, otherwise):
    """`read(data)`, or `otherwise` where that raises: a graph has no `try`, but a data set can leave errors out."""
    results = tf.data.Dataset.from_tensors(data).map(read).ignore_errors()
    return results.concatenate(tf.data.Dataset.from_tensors(otherwise)).take(1).get_single_element()


def _safely(decode: Callable, data: tf.Tensor, turn: bool, nothing: tf.Tensor):
    """(the picture, whether it could be read); `nothing` in place of what could not."""

    def read(data):
        picture = decode(data)
        return upright(picture, orientation(data)) if turn else picture, True

    return _or_else(read, data, (nothing, False))


def _nothing(min_side: int) -> tf.Tensor:
    """A picture that a model takes, which runs in place of one that cannot be read."""
    return tf.zeros((*2 * [max(min_side, SMALLEST_SIDE)], 3), tf.uint8)


def _jpeg_header(data: tf.Tensor) -> tf.Tensor:
    return tf.concat([tf.io.extract_jpeg_shape(data), [0]], 0)


def _png_header(data: tf.Tensor) -> tf.Tensor:
    data = tf.strings.join([data, b"\x00" * _PNG_HEADER])  # a file cut off inside its header reads as 0 x 0
    size = tf.io.decode_raw(tf.strings.substr(data, 16, 8), tf.int32, little_endian=False)  # width, height
    depth, colour = tf.unstack(tf.io.decode_raw(tf.strings.substr(data, 24, 2), tf.uint8), num=2)
    # Colour type 0 is grey; the others (RGB, palette, grey with alpha, RGBA) come out of the decoder as 3 channels.
    return tf.stack([size[1], size[0], tf.where(colour == 0, 1, 3), tf.cast(depth == 16, tf.int32)])


def _decode_jpeg(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")  # the default method is not Pillow's


def _decode_png(data: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_png(data, channels=3)


def _decode_grey_16(data: tf.Tensor) -> tf.Tensor:
    grey = tf.cast(tf.io.decode_png(data, channels=1, dtype=tf.uint16), tf.int32)
    return tf.repeat(tf.cast((grey * 255 + 32767) // 65535, tf.uint8), 3, axis=-1)


def _header_error(header: tf.Tensor, max_pixels: int, min_side: int, shortest_edge: int | None) -> tf.Tensor:
    height, width, channels, _ = tf.unstack(tf.cast(header, tf.int64))
    shortest, longest, pixels = tf.minimum(height, width), tf.maximum(height, width), height * width
    size = tf.strings.join([tf.strings.as_string(width), " x ", tf.strings.as_string(height)])
    limits = f" pixels, expected at least {min_side} a side and at most {max_pixels} in all: resize it."
    wrong_size = tf.strings.join(["The picture is ", size, limits])
    error = tf.where(channels == 4, "The picture is a CMYK JPEG, expected RGB or grey: convert it.", "")
    if shortest_edge:
        after = f" pixels, and a shortest edge of {shortest_edge} would make its longest over {MAX_SIDE} pixels: "
        too_long = tf.strings.join(["The picture is ", size, after, "crop it."])
        error = tf.where(shortest_edge * longest > MAX_SIDE * shortest, too_long, error)
    error = tf.where((shortest < min_side) | (pixels > max_pixels), wrong_size, error)
    return tf.where(shortest < 1, _DAMAGED, error)


def _format_error(data: tf.Tensor) -> tf.Tensor:
    found = tf.constant("not a picture")
    for start, name in _FORMATS.items():
        found = tf.where(_starts_with(data, start), name, found)
    found = tf.where(tf.strings.length(data) == 0, "empty", found)
    return tf.strings.join(["The data is ", found, ", expected the bytes of a JPEG or a PNG file: send one of these."])
