"""A sheet of pictures with their masks over them, to see before a run that they belong together."""

import numpy as np
from PIL import Image, ImageDraw

from segformer_tf.data.inspection import Inspection
from segformer_tf.data.pictures import ids_of, picture_of
from segformer_tf.images.drawing import colorize
from segformer_tf.images.fonts import font_for
from segformer_tf.images.palettes import palette_with

WIDTH, HEIGHT, MARGIN, LINE = 320, 240, 10, 18
MOST = 12  # pictures on a sheet, evenly from all splits


def draw_sheet(found: Inspection) -> Image.Image:
    """Pictures left, with their masks over them right, two pairs a row, and the classes' colours below.

    Pictures without masks have the name of their class above.

    Pixels that are not labelled stay as they are. A data set that cannot be read gives a sheet that says so.
    """
    wanted = [(split, number) for split in found.splits.values() for number in range(len(split.images))]
    chosen = [wanted[i] for i in np.unique(np.linspace(0, len(wanted) - 1, MOST).astype(int))] if wanted else []
    palette = palette_with(found.id2label, found.colours)
    rows = -(-len(chosen) // 2)
    legend = _legend([(row["name"], tuple(palette[row["id"]].tolist())) for row in found.classes])
    width = 4 * WIDTH + 5 * MARGIN
    sheet = Image.new("RGB", (width, rows * (HEIGHT + LINE + MARGIN) + legend.height + MARGIN), "white")
    draw, font = ImageDraw.Draw(sheet), font_for((split.images[number].name for split, number in chosen), 12)
    for place, (split, number) in enumerate(chosen):
        left = MARGIN + place % 2 * 2 * (WIDTH + MARGIN)
        top = MARGIN + place // 2 * (HEIGHT + LINE + MARGIN)
        name = split.images[number].name
        if not split.has_masks:
            name = f"{split.id2label[int(split.targets[number])]}: {name}"
        draw.text((left, top), f"{split.name}: {name if len(name) < 70 else name[:67] + '...'}", "black", font)
        for column, part in enumerate(_pair(split, number, palette)):
            sheet.paste(part, (left + column * (WIDTH + MARGIN), top + LINE))
    if not chosen:
        draw.text((MARGIN, MARGIN), "no picture could be read", "black", font)
    sheet.paste(legend, (0, sheet.height - legend.height))
    return sheet


def _pair(split, number: int, palette: np.ndarray) -> list[Image.Image]:
    parts = [image := picture_of(split, number)]
    if split.has_masks:
        ids = ids_of(split, number)
        labelled = (ids < len(palette))[..., None]
        parts.append(np.where(labelled, 0.4 * image + 0.6 * colorize(ids, palette), image).round().astype(np.uint8))
    factor = min(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    size = max(round(image.shape[1] * factor), 1), max(round(image.shape[0] * factor), 1)
    how = Image.Resampling.NEAREST if factor > 1 else Image.Resampling.BICUBIC
    return [Image.fromarray(part).resize(size, how) for part in parts]


def _legend(classes: list[tuple[str, tuple[int, ...]]]) -> Image.Image:
    columns = 6
    width = 4 * WIDTH + 5 * MARGIN
    step = width // columns
    legend = Image.new("RGB", (width, LINE * -(-len(classes) // columns) + 2 * MARGIN), "white")
    draw, font = ImageDraw.Draw(legend), font_for((name for name, _ in classes), 12)
    for place, (name, colour) in enumerate(classes):
        left, top = MARGIN + place % columns * step, MARGIN + place // columns * LINE
        draw.rectangle((left, top, left + 12, top + 12), colour, "grey")
        draw.text((left + 18, top), name[:26], "black", font)
    return legend
