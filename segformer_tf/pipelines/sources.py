"""What a pipeline is called with: one picture or several, what its files are called after, and the pixels it shows."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from segformer_tf.images.raster import Regions
from segformer_tf.images.scaling import stretch, to_eight_bits
from segformer_tf.pipelines import files, overlap


def is_one(pictures: Any) -> bool:
    """Whether it is one picture, not several. Raises TypeError for a dictionary, whose keys are none."""
    if isinstance(pictures, Mapping):
        raise TypeError(f"pictures is a {type(pictures).__name__}; expected a picture or a list of them: its values.")
    if isinstance(pictures, (str, bytes, bytearray, memoryview, os.PathLike)) or hasattr(pictures, "read"):
        return True
    return (
        hasattr(pictures, "__array__") or hasattr(pictures, "__array_interface__") or not isinstance(pictures, Iterable)
    )


def told(answers: Iterable[Any]) -> Iterator[Any]:
    """The answers; of each that failed a line on stderr."""
    for answer in answers:
        if isinstance(answer, overlap.Failed):
            print(f"segformer-tf: {answer.why}", file=sys.stderr)
        yield answer


def name_of(picture: Any) -> str:
    """What the files of a picture are called after."""
    return files.name_of(picture) if isinstance(picture, (str, os.PathLike)) else "image"


def shown(pixels: np.ndarray) -> np.ndarray:
    """The pixels (H, W, 3) uint8 that a result shows: of values beyond 0 to 255 the lowest black, the highest white."""
    if isinstance(pixels, Regions) and pixels.shape[-1] == 3:
        return pixels  # type: ignore[return-value]
    pixels = np.asarray(pixels)
    if pixels.shape[-1] != 3:
        pixels = np.repeat(pixels[..., :1], 3, -1)
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 255:
        return stretch(pixels, (low, high if high > low else low + max(abs(low), 1.0)))
    return to_eight_bits(pixels, rounded=True)[0]
