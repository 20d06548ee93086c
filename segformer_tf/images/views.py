"""Pictures to understand a result by: beside its truth, and as maps of probability, uncertainty or attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segformer_tf.images.arrays import to_array
from segformer_tf.images.drawing import check_alpha, colorize
from segformer_tf.images.fonts import font_for
from segformer_tf.images.palettes import palette_for

WHITE, BLACK, GREY, RED = (255, 255, 255), (20, 20, 20), (110, 110, 110), (225, 30, 30)
GAP, TEXT = 8, 14  # pixels
LEAST_BAR = 4  # heights of a line that a scale's bar is long at least
PANEL = (240, 520)  # smallest and largest width of a picture on a sheet
# From nothing to everything: dark blue, green, yellow. Its lightness rises evenly, so it reads in grey as well, and
# for people who do not tell red from green.
HEAT = np.array([[18, 12, 60], [45, 62, 138], [32, 122, 140], [70, 178, 108], [190, 216, 60], [255, 244, 150]], float)


def heat(
    image: np.ndarray, values: np.ndarray, title: str, alpha: float = 0.7, span: tuple[float, float] = (0.0, 1.0)
) -> Image.Image:
    """A map (H, W) as colours over the picture (H, W, 3) uint8 in grey, with its scale from `span[0]` to `span[1]`.

    `alpha`: 0 the picture, 1 the colours, else ValueError.
    """
    check_alpha(alpha)
    values = to_array(values).astype(np.float32, copy=False)
    low, high = span
    grey = np.asarray(Image.fromarray(np.asarray(image)).convert("L"))
    steps = np.clip((values - low) / max(high - low, 1e-12) * 255 + 0.5, 0, 255).astype(np.uint8)
    table = _heat_table()
    shown = table[steps].astype(np.float32) * alpha + grey[..., np.newaxis].astype(np.float32) * (1 - alpha)
    return below(Image.fromarray(shown.astype(np.uint8)), _scale(title, low, high, grey.shape[1], table))


def ring(picture: Image.Image, point: Sequence[int]) -> Image.Image:
    """A white ring with a dark rim around (x, y)."""
    radius = max(min(picture.size) // 40, 4)
    draw, (x, y) = ImageDraw.Draw(picture), point
    for grown, color in ((1, BLACK), (0, WHITE)):
        reach = radius + grown
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), outline=color, width=max(radius // 4, 1) + 2 * grown)
    return picture


def _heat_table() -> np.ndarray:
    """(256, 3) uint8."""
    places = np.linspace(0, 255, len(HEAT))
    return np.stack([np.interp(np.arange(256), places, channel) for channel in HEAT.T], -1).astype(np.uint8)


def _scale(title: str, low: float, high: float, width: int, table: np.ndarray) -> Image.Image:
    """What the colours mean: a bar between its two numbers, the title before it, or above where that is too wide."""
    size = min(max(round(width / 45), TEXT), 48)
    font = font_for([title], size)
    numbers = [f"{value:.3g}" for value in (low, high)]
    wide = [math.ceil(font.getlength(text)) for text in (title, *numbers)]
    left, after = wide[0] + wide[1] + 5 * size // 2, wide[2] + size
    beside = left + LEAST_BAR * size + after <= width
    if not beside:  # the bar stands below the title, and what is narrower still gets a white rim
        left = wide[1] + size
        width = max(width, wide[0] + size, left + LEAST_BAR * size + after)
    middle = size if beside else 5 * size // 2
    strip = Image.new("RGB", (width, middle + size), WHITE)
    draw = ImageDraw.Draw(strip)
    draw.text((size // 2, size), title, BLACK, font, anchor="lm")
    draw.text((left - size // 3, middle), numbers[0], GREY, font, anchor="rm")
    draw.text((width - after + size // 3, middle), numbers[1], GREY, font, anchor="lm")
    bar = Image.fromarray(np.repeat(table[np.newaxis], size, 0)).resize((width - after - left, size))
    strip.paste(bar, (left, middle - size // 2))
    return strip


def compare(
    image: np.ndarray,
    truth: np.ndarray,
    predicted: np.ndarray,
    id2label: dict[int, str],
    palette: Any = None,
    ignore_index: int = 255,
    title: str = "",
) -> Image.Image:
    """Picture (H, W, 3), truth, prediction (H, W) and their differences in a row, with titles and a legend.

    The prediction is shown everywhere, also where the truth is not labelled.
    """
    palette = palette_for(id2label) if palette is None else palette
    labelled = truth != ignore_index
    panels = {
        "picture": image,
        "truth": colorize(np.where(labelled, truth, -1), palette),
        "prediction": colorize(predicted, palette),
        "wrong pixels in red": _differences(image, labelled, predicted != truth),  # in the title: a class may be red
    }
    columns = [np.asarray(titled(panel, name)) for name, panel in panels.items()]
    row = grid([np.pad(panel, ((0, 0), (0, GAP), (0, 0)), constant_values=255) for panel in columns], 4)
    ids = np.union1d(truth[labelled], predicted)
    sheet = below(row, key(ids, id2label, [] if labelled.all() else [("unlabelled", BLACK)], row.width, palette))
    return below(_caption(title, sheet.width), sheet) if title else sheet


def _differences(image: np.ndarray, labelled: np.ndarray, differs: np.ndarray) -> np.ndarray:
    """The picture in pale grey, red where the prediction is wrong, dark where nothing is labelled."""
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32) * 0.5 + 115
    shown = np.repeat(grey[..., None], 3, axis=-1)
    wrong = labelled & differs
    shown[wrong] = 0.25 * shown[wrong] + 0.75 * np.array(RED)
    shown[~labelled] = 0.25 * shown[~labelled]
    return shown.astype(np.uint8)


def titled(panel: np.ndarray, title: str) -> Image.Image:
    """A picture at a size that can be looked at, under its title."""
    height, width = panel.shape[:2]
    factor = math.ceil(PANEL[0] / width) if width < PANEL[0] else min(PANEL[1] / width, 1.0)
    size = round(width * factor), max(round(height * factor), 1)
    picture = Image.fromarray(panel).resize(size, Image.Resampling.NEAREST)
    return below(_caption(title, size[0]), picture)


def _caption(text: str, width: int) -> Image.Image:
    strip = Image.new("RGB", (width, TEXT + GAP), WHITE)
    ImageDraw.Draw(strip).text((2, GAP // 2), text, BLACK, font_for([text], TEXT))
    return strip


def key(
    ids, id2label: dict[int, str], extra: Sequence[tuple[str, tuple]], width: int, palette: Any = None
) -> Image.Image:
    """The classes' colours and names, in as many lines as it takes."""
    palette, font = palette_for(id2label) if palette is None else palette, font_for(id2label.values(), TEXT)
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


def below(upper: Image.Image, lower: Image.Image) -> Image.Image:
    """One picture of two, the second below the first."""
    both = Image.new("RGB", (max(upper.width, lower.width), upper.height + lower.height), WHITE)
    both.paste(upper, (0, 0))
    both.paste(lower, (0, upper.height))
    return both


def grid(pictures: list[np.ndarray], columns: int) -> Image.Image:
    """Pictures (H, W, 3) uint8 of one size, row by row."""
    rows = math.ceil(len(pictures) / columns)
    height, width = pictures[0].shape[:2]
    sheet = np.zeros((rows * height, min(columns, len(pictures)) * width, 3), np.uint8)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
    return Image.fromarray(sheet)
