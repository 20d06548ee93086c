"""The legend of an overlay: beside or below the picture, or on it where it hides least."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segformer_tf.images.fonts import font_of, lacking

PLACES = ("outside", "inside")
MOST_HIDDEN = 1 / 4  # of a picture; a larger legend goes outside
STEPS = 24  # places down and across where a legend on the picture may lie
PAPER, INK, PALE, RIM = (250, 250, 250), (25, 25, 25), (105, 105, 105), (90, 90, 90)

Rows = list[dict[str, Any]]


def canvas(width: int, height: int, rows: Rows, palette: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 for a picture of (width, height), still empty, with the legend of `rows` (of `class_table`)
    beside it.

    Below a wide picture, right of a tall one, in as many columns as it takes, read column by column.
    """
    drawer = _Drawer(width, height, rows, palette)
    panel = np.asarray(drawer.panel(*drawer.shape(width, height, 1.0)))
    top, left = (0, width) if width < height else (height, 0)
    size = max(height, top + panel.shape[0]), max(width, left + panel.shape[1])
    made = np.empty((*size, 3), np.uint8)
    made[height:] = made[:, width:] = PAPER  # the rest is the picture's
    made[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
    return made


def with_legend(pixels: np.ndarray, rows: Rows, palette: np.ndarray) -> np.ndarray:
    """Draws the legend into pixels (H, W, 3) uint8, where it covers the fewest details, and returns them.

    Where it would take over a quarter of them, returned are new ones that have it beside the picture.
    """
    height, width = pixels.shape[:2]
    drawer = _Drawer(width, height, rows, palette)
    panel = drawer.panel(*drawer.shape(width, height, 0.6))
    if panel.width <= width and panel.height <= height and panel.width * panel.height <= MOST_HIDDEN * width * height:
        grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
        left, top = _quietest(grey, panel.height, panel.width)
        place = slice(top, top + panel.height), slice(left, left + panel.width)
        below = Image.fromarray(pixels[place])
        below.paste(panel, (0, 0), Image.new("L", panel.size, 225))
        pixels[place] = np.asarray(below)
        return pixels
    made = canvas(width, height, rows, palette)
    made[:height, :width] = pixels
    return made


class _Drawer:
    """Sizes and drawing; text grows with the picture."""

    def __init__(self, width: int, height: int, rows: Rows, palette: np.ndarray):
        self.rows, self.palette = rows, palette
        self.text = min(max(round((width * height) ** 0.5 / 34), 11), 64)
        self.lacks = lacking(row["name"] for row in rows)
        self.font = font_of(self.lacks, self.text)
        self.line, self.gap, self.swatch = round(self.text * 1.55), round(self.text * 1.3), round(self.text * 1.05)
        names = max(round(self.font.getlength(row["name"])) for row in rows)
        self.column = self.swatch + self.text // 2 + names + self.gap + round(self.font.getlength("100.0%"))

    def shape(self, width: int, height: int, most: float) -> tuple[int, int]:
        """(lines, columns) of the legend of a picture: few lines below a wide one, few columns beside a tall one;
        of `most` of the side that it lies along."""
        count = len(self.rows)
        if width >= height and most == 1:
            columns = min(max((width - self.gap) // (self.column + self.gap), 1), count)
            lines = -(-count // columns)
            return lines, -(-count // lines)
        lines = min(max((int(height * most) - 2 * self.gap) // self.line, 1), count)
        columns = -(-count // lines)
        return -(-count // columns), columns

    def panel(self, lines: int, columns: int) -> Image.Image:
        gap, line, swatch = self.gap, self.line, self.swatch
        size = columns * (self.column + gap) + gap, lines * line + 2 * gap
        panel = Image.new("RGB", size, PAPER)
        draw = ImageDraw.Draw(panel)
        for index, row in enumerate(self.rows):
            x, middle = gap + index // lines * (self.column + gap), gap + index % lines * line + line // 2
            color = tuple(int(value) for value in self.palette[row["id"]])
            box = (x, middle - swatch // 2, x + swatch, middle + (swatch + 1) // 2)
            draw.rectangle(box, fill=color, outline=RIM, width=max(1, self.text // 16))
            share = f"{row['share']:.1%}" if row["share"] >= 0.001 else "<0.1%"
            name, number = self.word(row["name"], INK, "lm"), self.word(share, PALE, "rm")
            top = middle - name.height // 2
            panel.paste(name, (x + swatch + self.text // 2 - 1, top))
            panel.paste(number, (x + self.column - number.width + 1, top))
        return panel

    def word(self, text: str, color: tuple[int, int, int], anchor: str) -> Image.Image:
        return _word(text, self.text, color, anchor, self.lacks)


@functools.lru_cache(maxsize=2048)  # the legends of a folder's pictures repeat their words
def _word(text: str, size: int, color: tuple[int, int, int], anchor: str, lacks: frozenset[str]) -> Image.Image:
    """A word on the panel's paper; `anchor` "lm" begins a pixel from its left edge, "rm" ends one from its right."""
    font = font_of(lacks, size)
    word = Image.new("RGB", (math.ceil(font.getlength(text)) + 3, 2 * (round(size * 1.55) // 2)), PAPER)
    place = (1 if anchor == "lm" else word.width - 1, word.height // 2)
    ImageDraw.Draw(word).text(place, text, color, font, anchor=anchor)
    return word


def _quietest(grey: np.ndarray, height: int, width: int) -> tuple[int, int]:
    """(left, top) of the rectangle with the fewest edges in it, a little off the picture's rim."""
    detail = np.zeros_like(grey)
    detail[:-1] += np.abs(np.diff(grey, axis=0))
    detail[:, :-1] += np.abs(np.diff(grey, axis=1))
    sums = np.pad(detail.cumsum(0, np.float64).cumsum(1), ((1, 0), (1, 0)))
    rim = max(min(grey.shape) // 60, 1)
    tops = np.linspace(min(rim, grey.shape[0] - height), max(grey.shape[0] - height - rim, 0), STEPS).astype(int)
    lefts = np.linspace(min(rim, grey.shape[1] - width), max(grey.shape[1] - width - rim, 0), STEPS).astype(int)
    top, left = np.meshgrid(tops, lefts, indexing="ij")
    hidden = sums[top + height, left + width] - sums[top, left + width] - sums[top + height, left] + sums[top, left]
    row, column = np.unravel_index(hidden.argmin(), hidden.shape)
    return int(lefts[column]), int(tops[row])
