"""A picture as training sees it: upright, three channels, 8 bits."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from segformer_tf.images.opening import open_image, to_pixels

DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def read_picture(source: Path | bytes, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """(H, W, 3) uint8, turned as its EXIF tag says; alpha is left out, grey repeated.

    Args:
        value_range: Values of 16-bit pictures that become 0 and 255; None: 0 and 65535.
    """
    image = open_image(source)
    assert isinstance(image, Image.Image)
    image = ImageOps.exif_transpose(image)
    if value_range is not None and image.mode in DEEP:
        low, high = value_range
        scaled = (np.asarray(image).astype(np.float64) - low) * (255.0 / (high - low))
        return np.repeat(np.clip(np.rint(scaled), 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    return to_pixels(image, 3, "channels_last", strict=True, exif=False)
