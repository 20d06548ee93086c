"""Pictures to look at: a batch with its masks, and a picture beside truth, prediction and their differences."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segformer_tf.images import colorize, palette_for
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.evaluate import Prediction

WHITE, BLACK, GREY, RED = (255, 255, 255), (20, 20, 20), (110, 110, 110), (225, 30, 30)
GAP, TEXT = 8, 14  # pixels
PANEL = (240, 520)  # smallest and largest width of a picture on a sheet
PICTURES_OF_A_BATCH = 8


@spell_checked
def draw_batch(pixel_values, labels, classes, how: Augmentation | None = None, columns: int = 2) -> Image.Image:
    """A batch as the network sees it, each picture beside its mask: (B, h, w, 3) normalised and (B, h, w) ids.

    Args:
        classes: `id2label`, names, or a number of classes, which choose the masks' colours.
        how: Of which mean and standard deviation are undone.
    """
    palette = palette_for(classes)
    pairs = [
        np.concatenate([image, colorize(ids, palette)], axis=1)
        for image, ids in zip(_pixels(pixel_values, how), np.asarray(labels), strict=True)
    ]
    return _grid(pairs, columns)


def batch_sheet(pixel_values, targets, id2label: dict[int, str], how: Augmentation) -> Image.Image:
    """Some pictures of a batch with their masks and a legend, or with the names of their classes."""
    pixel_values, targets = np.asarray(pixel_values)[:PICTURES_OF_A_BATCH], np.asarray(targets)[:PICTURES_OF_A_BATCH]
    if targets.ndim == 3:
        ids = np.unique(targets)
        drawn = draw_batch(pixel_values, targets, id2label, how)
        zoom = math.ceil(PANEL[0] / targets.shape[2])
        drawn = drawn.resize((drawn.width * zoom, drawn.height * zoom), Image.Resampling.NEAREST)
        return _below(drawn, _legend(ids, id2label, [("unlabelled or padding", BLACK)], drawn.width))
    if targets.ndim == 2:  # shares of mixed labels
        names = [" + ".join(f"{id2label[i]} {row[i]:.0%}" for i in np.flatnonzero(row > 0.01)) for row in targets]
    else:
        names = [id2label[int(i)] for i in targets]
    panels = [np.asarray(_titled(image, name)) for image, name in zip(_pixels(pixel_values, how), names, strict=True)]
    return _grid(panels, 4)


@spell_checked
def side_by_side(found: Prediction, id2label: dict[int, str], ignore_index: int = 255, title: str = "") -> Image.Image:
    """Picture, truth, prediction and their differences in a row, with titles and a legend.

    The prediction is shown everywhere, also where the truth is not labelled.
    """
    palette = palette_for(id2label)
    labelled = found.labels != ignore_index
    panels = {
        "picture": found.image,
        "truth": colorize(np.where(labelled, found.labels, -1), palette),
        "prediction": colorize(found.predicted, palette),
        "wrong pixels in red": _differences(found, labelled),  # in the title: a class may be red as well
    }
    titled = [np.asarray(_titled(panel, name)) for name, panel in panels.items()]
    row = _grid([np.pad(panel, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for panel in titled], 4)
    ids = np.union1d(found.labels[labelled], found.predicted)
    extra = [] if labelled.all() else [("unlabelled", BLACK)]
    sheet = _below(row, _legend(ids, id2label, extra, row.width))
    return _below(_caption(title, sheet.width), sheet) if title else sheet


def _pixels(pixel_values, how: Augmentation | None) -> np.ndarray:
    how = how or Augmentation()
    pixels = (np.asarray(pixel_values) * how.image_std + how.image_mean) * 255
    return np.clip(pixels + 0.5, 0, 255).astype(np.uint8)


def _differences(found: Prediction, labelled: np.ndarray) -> np.ndarray:
    """The picture in pale grey, red where the prediction is wrong, dark where nothing is labelled."""
    grey = np.asarray(Image.fromarray(found.image).convert("L"), np.float32) * 0.5 + 115
    shown = np.repeat(grey[..., None], 3, axis=-1)
    wrong = labelled & (found.predicted != found.labels)
    shown[wrong] = 0.25 * shown[wrong] + 0.75 * np.array(RED)
    shown[~labelled] = 0.25 * shown[~labelled]
    return shown.astype(np.uint8)


def _titled(panel: np.ndarray, title: str) -> Image.Image:
    """A picture at a size that can be looked at, under its title."""
    height, width = panel.shape[:2]
    factor = math.ceil(PANEL[0] / width) if width < PANEL[0] else min(PANEL[1] / width, 1.0)
    size = round(width * factor), max(round(height * factor), 1)
    picture = Image.fromarray(panel).resize(size, Image.Resampling.NEAREST)
    return _below(_caption(title, size[0]), picture)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT)


def _caption(text: str, width: int) -> Image.Image:
    strip = Image.new("RGB", (width, TEXT + GAP), WHITE)
    ImageDraw.Draw(strip).text((2, GAP // 2), text, BLACK, _font())
    return strip


def _legend(
    ids, id2label: dict[int, str], extra: Sequence[tuple[str, tuple[int, int, int]]], width: int
) -> Image.Image:
    """The classes' colours and names, in as many lines as it takes."""
    palette, font = palette_for(id2label), _font()
    entries = [(id2label[int(i)], tuple(map(int, palette[int(i)]))) for i in ids if int(i) in id2label]
    places, x, line = [], GAP, 0
    for name, color in [*entries, *extra]:
        wide = TEXT + GAP // 2 + math.ceil(font.getlength(name)) + 2 * GAP
        if x > GAP and x + wide > width:
            x, line = GAP, line + 1
        places.append((x, line, name, color))
        x += wide
    legend = Image.new("RGB", (width, (line + 1) * (TEXT + GAP) + GAP), WHITE)
    draw = ImageDraw.Draw(legend)
    for x, line, name, color in places:
        y = GAP // 2 + line * (TEXT + GAP)
        draw.rectangle((x, y + 2, x + TEXT, y + 2 + TEXT), fill=color, outline=GREY)
        draw.text((x + TEXT + GAP // 2, y), name, BLACK, font)
    return legend


def _below(upper: Image.Image, lower: Image.Image) -> Image.Image:
    both = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), WHITE)
    both.paste(upper, (0, 0))
    both.paste(lower, (0, upper.height))
    return both


def _grid(pictures: list[np.ndarray], columns: int) -> Image.Image:
    rows = math.ceil(len(pictures) / columns)
    height, width = pictures[0].shape[:2]
    grid = np.zeros((rows * height, min(columns, len(pictures)) * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        grid[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return Image.fromarray(grid)
