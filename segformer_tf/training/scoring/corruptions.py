"""The sixteen corruptions of Cityscapes-C (Kamann & Rother 2020) at five strengths, as `imagecorruptions` makes them.

Each is `f(x, severity, random)`: x (H, W, 3) uint8 -> floats 0 to 255, whose fractions are cut. `random` is numpy's old
generator, whose numbers never change.
"""

import io
import numbers
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.training.scoring import weather
from segformer_tf.training.scoring.filters import gaussian, moved, with_disk

Random = np.random.RandomState
STRENGTHS = (1, 2, 3, 4, 5)


def _gaussian_noise(x, severity: int, random: Random) -> np.ndarray:
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[severity - 1]
    return np.clip(x / 255 + random.normal(size=x.shape, scale=deviation), 0, 1) * 255


def _shot_noise(x, severity: int, random: Random) -> np.ndarray:
    photons = (60, 25, 12, 5, 3)[severity - 1]
    return np.clip(random.poisson(x / 255 * photons) / photons, 0, 1) * 255


def _impulse_noise(x, severity: int, random: Random) -> np.ndarray:
    share = (0.03, 0.06, 0.09, 0.17, 0.27)[severity - 1]
    struck, white = random.random_sample(x.shape) <= share, random.random_sample(x.shape) <= 0.5
    return np.where(struck, np.where(white, 1.0, 0.0), x / 255) * 255


def _speckle_noise(x, severity: int, random: Random) -> np.ndarray:
    deviation = (0.15, 0.2, 0.35, 0.45, 0.6)[severity - 1]
    x = x / 255
    return np.clip(x + x * random.normal(size=x.shape, scale=deviation), 0, 1) * 255


def _gaussian_blur(x, severity: int, random: Random) -> np.ndarray:
    return np.clip(gaussian(x / 255, (1, 2, 3, 4, 6)[severity - 1]), 0, 1) * 255


def _glass_blur(x, severity: int, random: Random) -> np.ndarray:
    sigma, reach, rounds = ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2))[severity - 1]
    x = (gaussian(x / 255, sigma) * 255).astype(np.uint8)
    height, width = x.shape[:2]
    rows, columns = np.meshgrid(
        np.arange(height - reach, reach, -1), np.arange(width - reach, reach, -1), indexing="ij"
    )
    here = (rows * width + columns).ravel()
    for _ in range(rounds):
        # One pixel after the other, from the last to the first, takes the colour of one nearby: where that pixel was
        # earlier it has its new colour already, so chains of them are followed to their end.
        shift = random.randint(-reach, reach, size=(len(here), 2))
        there = here + shift[:, 1] * width + shift[:, 0]
        earlier = there > here
        earlier &= (there % width > reach) & (there % width <= width - reach) & (there // width <= height - reach)
        source = np.arange(height * width)
        source[here[earlier]] = there[earlier]
        while (source[source] != source).any():
            source = source[source]
        late = np.arange(height * width)
        late[here] = np.where(earlier, here, there)  # what is not earlier has its old colour still
        x = x.reshape(-1, 3)[late[source]].reshape(x.shape)
    return np.clip(gaussian(x / 255, sigma), 0, 1) * 255


def _defocus_blur(x, severity: int, random: Random) -> np.ndarray:
    radius, soft = ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5))[severity - 1]
    return np.clip(np.stack([with_disk(plane, radius, soft) for plane in np.moveaxis(x / 255, -1, 0)], -1), 0, 1) * 255


def _motion_blur(x, severity: int, random: Random) -> np.ndarray:
    radius, sigma = ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15))[severity - 1]
    return np.clip(moved(x, 2 * radius + 1, sigma, random.uniform(-45, 45)), 0, 255)


def _contrast(x, severity: int, random: Random) -> np.ndarray:
    x = x / 255
    mean = x.mean((0, 1), keepdims=True)
    return np.clip((x - mean) * (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1] + mean, 0, 1) * 255


def _brightness(x, severity: int, random: Random) -> np.ndarray:
    hue, saturation, value = _to_hsv(x / 255)
    value = np.clip(value + (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1], 0, 1)
    return np.clip(_from_hsv(hue, saturation, value), 0, 1) * 255


def _saturate(x, severity: int, random: Random) -> np.ndarray:
    factor, more = ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2))[severity - 1]
    hue, saturation, value = _to_hsv(x / 255)
    return np.clip(_from_hsv(hue, np.clip(saturation * factor + more, 0, 1), value), 0, 1) * 255


def _to_hsv(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    value = x.max(-1)
    spread = value - x.min(-1)
    red, green, blue = np.moveaxis(x, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        saturation = np.where(spread == 0, 0, spread / value)
        hue = np.where(value == red, (green - blue) / spread, 0)
        hue = np.where(value == green, 2 + (blue - red) / spread, hue)
        hue = np.where(value == blue, 4 + (red - green) / spread, hue)
    return np.where(spread == 0, 0, (hue / 6) % 1), saturation, value


def _from_hsv(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    sixth = np.floor(hue * 6)
    rest = hue * 6 - sixth
    low, fall, rise = (value * (1 - part * saturation) for part in (1, rest, 1 - rest))
    faces = (value, rise, low), (fall, value, low), (low, value, rise), (low, fall, value), (rise, low, value)
    faces = [np.stack(face, -1) for face in (*faces, (value, low, fall))]
    return np.choose((sixth.astype(np.uint8) % 6)[..., np.newaxis], faces)


def _jpeg_compression(x, severity: int, random: Random) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(x).save(data, "JPEG", quality=(25, 18, 15, 10, 7)[severity - 1])
    return np.asarray(Image.open(data))


class Corruption(NamedTuple):
    """The kind that the paper's table has it under, its heading there, and what makes it."""

    kind: str
    short: str
    make: Callable[[np.ndarray, int, Random], np.ndarray]


CORRUPTIONS = {
    "motion_blur": Corruption("Blur", "Motion", _motion_blur),
    "defocus_blur": Corruption("Blur", "Defoc", _defocus_blur),
    "glass_blur": Corruption("Blur", "Glass", _glass_blur),
    "gaussian_blur": Corruption("Blur", "Gauss", _gaussian_blur),
    "gaussian_noise": Corruption("Noise", "Gauss", _gaussian_noise),
    "impulse_noise": Corruption("Noise", "Impul", _impulse_noise),
    "shot_noise": Corruption("Noise", "Shot", _shot_noise),
    "speckle_noise": Corruption("Noise", "Speck", _speckle_noise),
    "brightness": Corruption("Digital", "Bright", _brightness),
    "contrast": Corruption("Digital", "Contr", _contrast),
    "saturate": Corruption("Digital", "Satur", _saturate),
    "jpeg_compression": Corruption("Digital", "JPEG", _jpeg_compression),
    "snow": Corruption("Weather", "Snow", weather.snow),
    "spatter": Corruption("Weather", "Spatt", weather.spatter),
    "fog": Corruption("Weather", "Fog", weather.fog),
    "frost": Corruption("Weather", "Frost", weather.frost),
}


def corrupt(image: np.ndarray, name: str, severity: int, random: Random | int = 0) -> np.ndarray:
    """(H, W, 3) uint8 -> the same, corrupted.

    Args:
        name: One of `CORRUPTIONS`.
        severity: 1 (slight) to 5.
        random: numpy's old generator, or the number of the picture: the same number gives the same corruption.

    Raises:
        ValueError: An unknown name, a severity out of range, a picture under 32 pixels high or wide.
        FileNotFoundError: "frost" without its photographs.
    """
    check([name], [severity])
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"the picture is {image.shape} {image.dtype}, expected (H, W, 3) uint8: corrupt colour pictures only."
        )
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(
            f"the picture is {image.shape[0]} x {image.shape[1]}, expected {SMALLEST_SIDE} pixels a side or more: pad "
            "it first, as `evaluate` does."
        )
    if not isinstance(random, Random):
        random = Random([zlib.crc32(name.encode()), severity, int(random)])
    return CORRUPTIONS[name].make(image, severity, random).astype(np.uint8)


def check(names, severities) -> None:
    """ValueError for a name that is none, or a severity out of range; FileNotFoundError for frost without pictures."""
    for name in names:
        if name not in CORRUPTIONS:
            raise ValueError(f"corruption is {name!r}, expected one of {', '.join(CORRUPTIONS)}: choose one of these.")
    for severity in severities:
        if not isinstance(severity, numbers.Integral) or isinstance(severity, bool) or severity not in STRENGTHS:
            raise ValueError(f"severity is {severity!r}, expected 1, 2, 3, 4 or 5: choose one of these.")
    if "frost" in names:
        weather.frost_pictures()
