"""Pictures to look at: a batch with its masks, and a picture beside truth, prediction and their differences."""

import math
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images import colorize, palette_for, views
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.evaluate import Prediction

PICTURES_OF_A_BATCH = 8


@spell_checked
def draw_batch(
    pixel_values, labels, classes, how: Augmentation | None = None, columns: int = 2, palette: Any = None
) -> Image.Image:
    """A batch as the network sees it, each picture beside its mask: (B, h, w, 3) normalised and (B, h, w) ids.

    Args:
        classes: `id2label`, names, or a number of classes, which choose the masks' colours.
        how: Of which mean and standard deviation are undone.
        palette: Other colours of the classes, (C, 3) uint8.
    """
    palette = palette_for(classes) if palette is None else palette
    pairs = [
        np.concatenate([image, colorize(ids, palette)], axis=1)
        for image, ids in zip(_pixels(pixel_values, how), np.asarray(labels), strict=True)
    ]
    return views.grid(pairs, columns)


def batch_sheet(pixel_values, targets, id2label: dict[int, str], how: Augmentation, palette: Any = None) -> Image.Image:
    """Some pictures of a batch with their masks and a legend, or with the names of their classes."""
    pixel_values, targets = np.asarray(pixel_values)[:PICTURES_OF_A_BATCH], np.asarray(targets)[:PICTURES_OF_A_BATCH]
    if targets.ndim == 3:
        ids = np.unique(targets)
        drawn = draw_batch(pixel_values, targets, id2label, how, palette=palette)
        zoom = math.ceil(views.PANEL[0] / targets.shape[2])
        drawn = drawn.resize((drawn.width * zoom, drawn.height * zoom), Image.Resampling.NEAREST)
        unlabelled = [("unlabelled or padding", views.BLACK)]
        return views.below(drawn, views.key(ids, id2label, unlabelled, drawn.width, palette))
    if targets.ndim == 2:  # shares of mixed labels
        names = [" + ".join(f"{id2label[i]} {row[i]:.0%}" for i in np.flatnonzero(row > 0.01)) for row in targets]
    else:
        names = [id2label[int(i)] for i in targets]
    panels = [
        np.asarray(views.titled(image, name)) for image, name in zip(_pixels(pixel_values, how), names, strict=True)
    ]
    return views.grid(panels, 4)


@spell_checked
def side_by_side(
    found: Prediction, id2label: dict[int, str], ignore_index: int = 255, title: str = "", palette: Any = None
) -> Image.Image:
    """Picture, truth, prediction and their differences in a row, with titles and a legend.

    `palette`: the classes' colours, (C, 3) uint8; None: those that `palette_for` gives them.
    """
    return views.compare(found.image, found.labels, found.predicted, id2label, palette, ignore_index, title)


def _pixels(pixel_values, how: Augmentation | None) -> np.ndarray:
    how = how or Augmentation()
    pixels = (np.asarray(pixel_values) * how.image_std + how.image_mean) * 255
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)
