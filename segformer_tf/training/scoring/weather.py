"""Snow, spatter, fog and frost over pictures; `corruptions` says how they are called."""

import functools
import importlib.util
import os
from pathlib import Path

import numpy as np
from PIL import Image

from segformer_tf.training.scoring.filters import around, distances, edges, enlarged, equalized, gaussian, moved, zoomed

FROST = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")  # a sixth is never taken there
FROST_VARIABLE = "SEGFORMER_TF_FROST"


def snow(x: np.ndarray, severity: int, random: np.random.RandomState) -> np.ndarray:
    """Flakes blown across, and everything paler."""
    mean, deviation, size, threshold, radius, sigma, clear = (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    )[severity - 1]
    pixels = x.astype(np.float32) / np.float32(255)
    height, width = x.shape[:2]
    flakes = zoomed(random.normal(size=(height, width), loc=mean, scale=deviation), size)
    flakes[flakes < threshold] = 0
    flakes = moved(np.clip(flakes, 0, 1), 2 * radius + 1, sigma, random.uniform(-135, -45))
    flakes = (np.round(flakes * 255).astype(np.uint8) / 255.0)[:height, :width, np.newaxis]
    grey = pixels @ np.array([0.299, 0.587, 0.114], np.float32)
    pale = np.maximum(pixels, grey[..., np.newaxis] * np.float32(1.5) + np.float32(0.5))
    pixels = np.float32(clear) * pixels + np.float32(1 - clear) * pale
    return np.clip(pixels + flakes + np.rot90(flakes, k=2), 0, 1) * 255


def spatter(x: np.ndarray, severity: int, random: np.random.RandomState) -> np.ndarray:
    """Drops of water on the lens (strengths 1 to 3), or mud."""
    mean, deviation, sigma, threshold, strength = (
        (0.65, 0.3, 4, 0.69, 0.6),
        (0.65, 0.3, 3, 0.68, 0.6),
        (0.65, 0.3, 2, 0.68, 0.5),
        (0.65, 0.3, 1, 0.65, 1.5),
        (0.67, 0.4, 1, 0.65, 1.5),
    )[severity - 1]
    pixels = x.astype(np.float32) / np.float32(255)
    liquid = gaussian(random.normal(size=x.shape[:2], loc=mean, scale=deviation), sigma)
    liquid[liquid < threshold] = 0
    if severity > 3:
        mud = gaussian((liquid > threshold).astype(np.float32), strength)
        mud[mud < 0.8] = 0
        colour = np.array([63, 42, 20]) / 255.0 * mud[..., np.newaxis]
        return np.clip(pixels * (1 - mud[..., np.newaxis]) + colour, 0, 1) * 255
    drops = (liquid * 255).astype(np.uint8)
    far = np.minimum(distances(edges(drops, 50, 150)), np.float32(20))
    far = (around(far.astype(np.float64), np.ones((3, 3))) * (1 / 9)).astype(np.float32).astype(np.uint8)
    light = around(equalized(far).astype(np.int64), np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]))
    light = np.rint(around(np.clip(light, 0, 255), np.ones((3, 3), np.int64)) / 9).astype(np.float32)
    glow = drops * light
    if glow.max() > 0:
        glow = glow / glow.max() * np.float32(strength)
    colour = np.array([175, 238, 238], np.float32) / np.float32(255)
    return np.clip(pixels + glow[..., np.newaxis] * colour, 0, 1) * np.float32(255)


def fog(x: np.ndarray, severity: int, random: np.random.RandomState) -> np.ndarray:
    """A fractal haze, and less contrast."""
    thick, decay = ((1.5, 2), (2.0, 2), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))[severity - 1]
    pixels = x / 255.0
    brightest = pixels.max()
    haze = _plasma(1 << (max(x.shape) - 1).bit_length(), decay, random)[: x.shape[0], : x.shape[1], np.newaxis]
    return np.clip((pixels + thick * haze) * brightest / (brightest + thick), 0, 1) * 255


def _plasma(side: int, decay: float, random: np.random.RandomState) -> np.ndarray:
    """(side, side) from 0 to 1 by diamonds and squares, joined at its ends; `side` is a power of two."""
    heights = np.empty((side, side))
    heights[0, 0] = 0
    wobble, step = 100.0, side

    def between(sums: np.ndarray) -> np.ndarray:
        return sums / 4 + wobble * random.uniform(-wobble, wobble, sums.shape)

    while step >= 2:
        half = step // 2
        corners = heights[::step, ::step]
        sums = corners + np.roll(corners, -1, 0)
        heights[half::step, half::step] = between(sums + np.roll(sums, -1, 1))
        middles = heights[half::step, half::step]
        heights[::step, half::step] = between(middles + np.roll(middles, 1, 0) + (corners + np.roll(corners, -1, 1)))
        heights[half::step, ::step] = between(middles + np.roll(middles, 1, 1) + (corners + np.roll(corners, -1, 0)))
        step, wobble = half, wobble / decay
    heights -= heights.min()
    return heights / heights.max()


def frost(x: np.ndarray, severity: int, random: np.random.RandomState) -> np.ndarray:
    """A photograph of frost over a darker picture."""
    clear, strength = ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))[severity - 1]
    picture = _frost(frost_pictures()[random.randint(5)])
    height, width = x.shape[:2]
    factor = 1.1 * max(height / picture.shape[0], width / picture.shape[1], 1)
    size = int(np.ceil(picture.shape[0] * factor)), int(np.ceil(picture.shape[1] * factor))
    picture = enlarged(picture, size)
    top, left = random.randint(0, size[0] - height), random.randint(0, size[1] - width)
    return np.clip(clear * x + strength * picture[top : top + height, left : left + width], 0, 255)


@functools.lru_cache(5)
def _frost(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file).convert("RGB"))


def frost_pictures() -> list[Path]:
    """The five photographs, which nobody may hand on: those of an installed `imagecorruptions`, or of a directory.

    Raises:
        FileNotFoundError: Neither is there.
    """
    if given := os.environ.get(FROST_VARIABLE):
        directory = Path(given)
    else:
        found = importlib.util.find_spec("imagecorruptions")  # found, not imported: it needs an old numpy
        directory = Path(found.origin or ".").parent / "frost" if found else Path("imagecorruptions", "frost")
    files = [directory / name for name in FROST]
    if missing := [file.name for file in files if not file.is_file()]:
        raise FileNotFoundError(
            f"frost needs the photographs of the package imagecorruptions, and {directory} has no {missing[0]}: "
            f"`pip install --no-deps imagecorruptions`, or name their directory in {FROST_VARIABLE}."
        )
    return files
