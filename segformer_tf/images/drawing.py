"""Label maps as pictures: colours, an overlay with its legend, a palette PNG, and the table of classes."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segformer_tf.images.opening import to_pixels
from segformer_tf.storage.keywords import spell_checked

Names = Mapping[Any, str] | Sequence[str] | None


def colorize(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Class ids (H, W) and colours (C, 3) -> RGB (H, W, 3) uint8. Ids without a colour, such as 255, are black."""
    palette = np.asarray(palette, np.uint8)
    return np.concatenate([palette, np.zeros((1, 3), np.uint8)])[_known(labels, len(palette))]


def _known(labels: np.ndarray, count: int) -> np.ndarray:
    """The ids, with `count` for every id outside [0, count)."""
    labels = _check(labels)
    return np.where((labels >= 0) & (labels < count), labels, count)


def _check(labels: np.ndarray) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}; expected integers (H, W).")
    return labels


def label_image(labels: np.ndarray, palette: np.ndarray) -> Image.Image:
    """Class ids (H, W) -> a palette picture whose indices are the ids; over 256 classes 16-bit grey values.

    Id 255 has no colour of its own (black) unless there are 256 classes. Raises ValueError for ids that do not fit.
    """
    labels, count = _check(labels), len(palette)
    limit = 255 if count <= 256 else 65535
    if labels.size and (labels.min() < 0 or labels.max() > limit):
        raise ValueError(f"labels reach from {labels.min()} to {labels.max()}; expected 0 to {limit}.")
    if count > 256:
        return Image.fromarray(labels.astype(np.uint16))
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(np.asarray(palette, np.uint8).tobytes().ljust(768, b"\0"))
    return image


@spell_checked
def class_table(labels: np.ndarray, id2label: Names = None, scores: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Class ids (H, W) -> [{"id", "name", "pixels", "share", "score"}], largest first.

    `share` is of all pixels, 0 to 1; `score` the mean of `scores` (H, W) over the class's pixels, None without them.
    Ids that `id2label` does not have, such as 255, are left out.
    """
    labels = _check(labels)
    names = class_names(id2label)
    flat = labels.ravel()
    if flat.size and flat.min() >= 0 and flat.max() <= 65535:  # counting is much faster than sorting
        counts = np.bincount(flat)
        ids = np.flatnonzero(counts)
        counts = counts[ids]
    else:
        ids, counts = np.unique(flat, return_counts=True)
    rows = [
        {"id": i, "name": names.get(i, f"class {i}"), "pixels": n, "share": n / labels.size, "score": None}
        for i, n in zip(ids.tolist(), counts.tolist(), strict=True)
        if i in names or (id2label is None and i != 255)
    ]
    for row in rows if scores is not None else ():
        row["score"] = float(scores[labels == row["id"]].mean(dtype=np.float64))
    return sorted(rows, key=lambda row: -row["pixels"])


def class_names(id2label: Names) -> dict[int, str]:
    """The names by class id, of a mapping (whose keys may be texts, as in JSON) or of a list."""
    items = id2label.items() if isinstance(id2label, Mapping) else enumerate(id2label or [])
    return {int(key): str(name) for key, name in items}


@spell_checked
def overlay(
    image: Any,
    labels: np.ndarray,
    palette: np.ndarray,
    names: Names = None,
    alpha: float = 0.5,
    legend: bool = True,
    skip: Sequence[str] = (),
) -> Image.Image:
    """A picture with the classes (H, W) blended over it by `alpha` (0 to 1), and a legend beside or below it.

    `image` is anything `open_image` takes, of the labels' size. Pixels without a class (255), and those of the classes
    named in `skip`, stay as they are. The legend lists the other classes found, largest first, with their share of the
    picture.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}; expected 0 to 1.")
    pixels = to_pixels(image, 3, None, strict=True)
    labels = _check(labels)
    if pixels.shape[:2] != labels.shape:
        raise ValueError(f"labels have size {labels.shape}; expected the image's, {pixels.shape[:2]}.")
    if pixels.dtype != np.uint8:
        raise ValueError(f"image has dtype {pixels.dtype}; expected 8-bit pixels.")
    palette = np.asarray(palette, np.uint8)
    names = class_names(names) or {index: f"class {index}" for index in range(len(palette))}
    skipped = {index for index, name in names.items() if name in skip}
    ids = _known(labels, len(palette))
    # Both parts are looked up, which is ten times as fast as computing them; rounded like this, they end at most
    # at 255.
    shares = np.floor(np.arange(256) * (1 - alpha)).astype(np.uint8)
    colours = np.rint(np.concatenate([palette, np.zeros((1, 3))]) * alpha).astype(np.uint8)
    mixed = shares.take(pixels) + colours.take(ids, axis=0)
    plain = np.isin(np.arange(len(colours)), [*skipped, len(palette)]).take(ids)
    if plain.any():
        mixed[plain] = pixels[plain]
    picture = Image.fromarray(mixed)
    rows = [row for row in class_table(labels, names) if row["id"] < len(palette) and row["id"] not in skipped]
    return _with_legend(picture, rows, palette) if legend and rows else picture


def _with_legend(picture: Image.Image, rows: list[dict[str, Any]], palette: np.ndarray) -> Image.Image:
    """Below a wide picture, beside a tall one, in as many columns as it takes, read column by column."""
    width, height = picture.size
    text = min(max(round((width * height) ** 0.5 / 34), 11), 64)
    font = _font(text)
    shares = [f"{row['share']:.1%}" if row["share"] >= 0.001 else "<0.1%" for row in rows]
    line, gap, swatch = round(text * 1.55), round(text * 1.3), round(text * 1.05)
    name_width = max(round(font.getlength(row["name"])) for row in rows)
    column = swatch + text // 2 + name_width + gap + round(font.getlength("100.0%"))
    if width >= height:
        columns = min(max((width - gap) // (column + gap), 1), len(rows))
        deep = -(-len(rows) // columns)
        columns = -(-len(rows) // deep)
        size = max(width, columns * (column + gap) + gap), height + deep * line + 2 * gap
        left, top = gap, height + gap
    else:
        deep = min(max((height - 2 * gap) // line, 1), len(rows))
        columns = -(-len(rows) // deep)
        deep = -(-len(rows) // columns)
        size = width + columns * (column + gap) + gap, max(height, deep * line + 2 * gap)
        left, top = width + gap, gap
    canvas = Image.new("RGB", size, (250, 250, 250))
    canvas.paste(picture, (0, 0))
    draw = ImageDraw.Draw(canvas)
    for index, (row, share) in enumerate(zip(rows, shares, strict=True)):
        x, middle = left + index // deep * (column + gap), top + index % deep * line + line // 2
        color = tuple(int(value) for value in palette[row["id"]])
        box = (x, middle - swatch // 2, x + swatch, middle + (swatch + 1) // 2)
        draw.rectangle(box, fill=color, outline=(90, 90, 90), width=max(1, text // 16))
        draw.text((x + swatch + text // 2, middle), row["name"], (25, 25, 25), font, anchor="lm")
        draw.text((x + column, middle), share, (105, 105, 105), font, anchor="rm")
    return canvas


@functools.lru_cache(maxsize=8)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)
