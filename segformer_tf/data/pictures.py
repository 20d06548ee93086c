"""A picture as training sees it: upright, three channels, 8 bits."""

from pathlib import Path

import numpy as np

from segformer_tf.images.opening import name_of, to_pixels


def read_picture(source: Path | bytes, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """(H, W, 3) uint8, turned as its EXIF tag says; alpha is left out, grey repeated.

    Args:
        value_range: Values of pictures of over 8 bits that become 0 and 255; None: 0 and 65535 of 16-bit ones.

    Raises:
        OSError: The file cannot be decoded.
        ValueError: It has other channels, or values of over 16 bits and no range for them.
    """
    pixels = to_pixels(source, 3, "channels_last", strict=True, value_range=value_range)
    if pixels.dtype != np.uint8:
        raise ValueError(
            f"{name_of(source)} holds {pixels.dtype} values, expected 8 or 16 bits: give value_range, the values of "
            "black and white, or save it as PNG."
        )
    return pixels
