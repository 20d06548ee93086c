"""The report of a run: curves, scores of the classes, confusion matrix, worst pictures, in `report.md`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from segformer_tf.data.splits import Split
from segformer_tf.models.metrics import confusion, scores
from segformer_tf.storage.whole import staged
from segformer_tf.training.datasets import Source
from segformer_tf.training.evaluate import Protocol, predictions, summary
from segformer_tf.training.recipe import Recipe
from segformer_tf.training.watch import side_by_side

WORST = 4
WIDTH, HEIGHT, MARGIN = 640, 240, 40  # of a curve's drawing
CELL, NAMES = 40, 110  # pixels of a cell and of a class name in the confusion matrix


def write_report(run: Path, model, source: Source, recipe: Recipe, rows: Sequence[dict[str, Any]]) -> None:
    """Writes `report.md`, `curves.svg` and, for segmentation, `confusion.png` and `worst_*.png` into the run."""
    best = max(rows, key=lambda row: row["score"])
    score = "mIoU" if "mIoU" in best else "accuracy"
    lines = [
        f"# Training run {run.name}",
        "",
        f"Recipe {recipe.name}, {rows[-1]['step']} steps, {rows[-1]['seconds'] / 60:.0f} minutes. "
        f"Best {score} {best['score']:.4f} at step {best['step']} (`best/`), last {rows[-1]['score']:.4f} (`last/`).",
        "",
        "![loss and score](curves.svg)",
        "",
    ]
    with staged(run) as stage:
        (stage / "curves.svg").write_text(curves(rows, ("loss", score)), "utf-8")
        if not (isinstance(source, Split) and not source.has_masks):
            lines += _segmentation(stage, model, source)
        lines += ["## Recipe", "", "```json", str(recipe).strip(), "```", ""]
        (stage / "report.md").write_text("\n".join(lines), "utf-8")


def _segmentation(stage: Path, model, source: Source) -> list[str]:
    config = model.config
    total = np.zeros((config.num_labels, config.num_labels), np.int64)
    worst: list[tuple[float, int, Any]] = []
    images = 0
    for found in predictions(model, source):
        one = confusion(found.labels, found.predicted, config.num_labels, config.semantic_loss_ignore_index)
        total += one
        if one.sum():
            worst = sorted([*worst, (scores(one)["mIoU"], images, found)], key=lambda entry: entry[:2])[:WORST]
        images += 1
    protocol = str(Protocol())
    result = summary(total, config.id2label, protocol, images)
    draw_confusion(total, list(config.id2label.values())).save(stage / "confusion.png")
    lines = [f"## Classes of the last weights, {images} validation pictures, {protocol}", ""]
    lines += ["| id | class | IoU | accuracy | Dice |", "|---|---|---|---|---|"]
    for row in [
        *result["per_class"],
        {"id": "", "name": "mean", "IoU": result["mIoU"], "Acc": result["mAcc"], "Dice": result["mDice"]},
    ]:
        cells = ["-" if row[key] is None else f"{row[key]:.4f}" for key in ("IoU", "Acc", "Dice")]
        lines.append(f"| {row['id']} | {row['name']} | {' | '.join(cells)} |")
    lines += ["", f"Pixels right: {result['aAcc']:.4f}" if result["aAcc"] is not None else "No labelled pixels.", ""]
    lines += ["![confusion matrix, each row a true class](confusion.png)", "", "## Worst pictures", ""]
    for place, (score, number, found) in enumerate(worst, 1):
        side_by_side(found, config.id2label, config.semantic_loss_ignore_index).save(stage / f"worst_{place}.png")
        named = isinstance(source, Split) and not source.shards
        name = source.images[number].name if named else f"picture {number}"
        lines += [f"{name}, mIoU {score:.4f}: picture, truth, prediction", "", f"![{name}](worst_{place}.png)", ""]
    return lines


def curves(rows: Sequence[dict[str, Any]], keys: Sequence[str]) -> str:
    """One line chart a key over the steps, below each other, as SVG."""
    charts = []
    for number, key in enumerate(keys):
        points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
        low, high = min(y for _, y in points), max(y for _, y in points)
        last = max(points[-1][0], 1)
        top = number * HEIGHT
        across = [MARGIN + x / last * (WIDTH - 2 * MARGIN) for x, _ in points]
        down = [top + HEIGHT - MARGIN - (y - low) / ((high - low) or 1.0) * (HEIGHT - 2 * MARGIN) for _, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
        charts += [
            f'<text x="{MARGIN}" y="{top + 24}">{key}: {low:.4g} to {high:.4g}, {last} steps</text>',
            f'<rect x="{MARGIN}" y="{top + MARGIN}" width="{WIDTH - 2 * MARGIN}" height="{HEIGHT - 2 * MARGIN}"/>',
            f'<polyline points="{line}"/>',
        ]
    style = "text{font:14px sans-serif}rect{fill:none;stroke:#bbb}polyline{fill:none;stroke:#06c;stroke-width:2}"
    size = f'width="{WIDTH}" height="{HEIGHT * len(keys)}"'
    body = "\n".join(charts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n<style>{style}</style>\n{body}\n</svg>\n'


def draw_confusion(matrix, names: Sequence[str]) -> Image.Image:
    """Each row a true class, each cell the percentage of its pixels that were given the column's class."""
    matrix = np.asarray(matrix, np.float64)
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = NAMES + CELL * len(names)
    picture = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(picture)
    for row, name in enumerate(names):
        start = NAMES + row * CELL
        draw.text((4, start + CELL // 3), name[:17], "black")
        draw.text((start + 4, NAMES - 14 - 12 * (row % 2)), name[:11], "black")
        for column in range(len(names)):
            share = shares[row, column]
            left, shade = NAMES + column * CELL, int(255 * (1 - share))
            draw.rectangle((left, start, left + CELL - 1, start + CELL - 1), (shade, shade, 255))
            draw.text((left + 10, start + CELL // 3), f"{100 * share:.0f}", "white" if share > 0.5 else "black")
    return picture
