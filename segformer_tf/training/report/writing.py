"""The report of a run: how good its best weights are, in `report.md` and in one file, `report.html`."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.data.splits import Split
from segformer_tf.images import SegformerImageProcessor
from segformer_tf.models.metrics import confusion, scores
from segformer_tf.pipelines.runtimes.description import class_names, class_palette
from segformer_tf.storage.whole import staged
from segformer_tf.training.augment import Augmentation
from segformer_tf.training.console import Console, duration
from segformer_tf.training.evaluate import Prediction, predictions
from segformer_tf.training.plan import Plan
from segformer_tf.training.report.charts import can_draw, draw_confusion, draw_curves
from segformer_tf.training.report.classification import classification
from segformer_tf.training.report.page import Block, Code, Heading, Picture, Table, Text, write_page
from segformer_tf.training.report.sheets import side_by_side
from segformer_tf.training.scoring.protocols import Protocol
from segformer_tf.training.scoring.tally import summary
from segformer_tf.training.sources import Source, chosen
from segformer_tf.training.statistics import BOTH_PICTURES, both_scores

SHOWN = 3  # best, typical and worst pictures, of each
APART = 0.02  # mIoU by which BatchNorm's statistics may matter before it is told


def write_report(
    run: Path,
    model,
    source: Source,
    processor: SegformerImageProcessor,
    plan: Plan,
    rows: Sequence[dict[str, Any]],
    console: Console,
) -> None:
    """Writes the report of a model that has the run's best weights, and the pictures that it shows, all in one step."""
    with staged(run, lambda: [old.name for old in run.glob("picture_*.png")]) as draft:
        _write(draft, run, model, source, processor, plan, rows, console)


def _write(draft: Path, run: Path, model, source: Source, processor, plan: Plan, rows, console: Console) -> None:
    best = max(rows, key=lambda row: row["score"])
    score = "mIoU" if "mIoU" in best else "accuracy"
    blocks: list[Block] = [
        Heading(f"Training run {run.resolve().name}", 1),
        Text(
            f"Recipe {plan.recipe.name}, {rows[-1]['step']} of {plan.recipe.counted(plan.steps)}, "
            f"{duration(rows[-1]['seconds'])}. Best {score} {best['score']:.4f} at step {best['step']} (`best/`), last "
            f"{rows[-1]['score']:.4f} (`last/`). What follows is about the best weights."
        ),
    ]
    with_charts = can_draw()
    if with_charts:
        draw_curves(rows, draft / "curves.png")
        blocks.append(Picture("curves.png", "loss, score and the classes' scores over the steps"))
    else:
        console.line("report without curves and drawn matrix: pip install 'segformer-tf[report]' for matplotlib")
    if isinstance(source, Split) and not source.has_masks:
        blocks += classification(draft, model, source, processor, with_charts)
    else:
        blocks += _segmentation(draft, model, source, processor, plan.recipe.augmentation, with_charts, console)
    blocks += [Heading("Recipe"), Code(str(plan.recipe).strip())]
    write_page(draft, "report", blocks)


def _segmentation(
    draft: Path, model, source: Source, processor, how: Augmentation, with_charts: bool, console: Console
) -> Iterator[Block]:
    names_by_id = class_names(model.config)
    total, of_pictures = _counted(model, source, processor)
    result = summary(total, names_by_id, str(Protocol()), len(of_pictures))
    yield Heading("Classes")
    yield Text(f"{len(of_pictures)} validation pictures; {result['protocol']}.")
    means = {"name": "mean", **{key: result[f"m{key}"] for key in ("IoU", "Acc", "Dice")}}
    true, predicted = total.sum(1), total.sum(0)
    counts = [
        (share, found) for share, found in zip(true / max(total.sum(), 1), predicted / max(total.sum(), 1), strict=True)
    ]
    yield Table(
        ("class", "IoU", "accuracy", "Dice", "of the truth", "of the prediction"),
        [
            [
                row["name"],
                *(_number(row[key]) for key in ("IoU", "Acc", "Dice")),
                *(f"{100 * part:.2f} %" for part in parts),
            ]
            for row, parts in [*zip(result["per_class"], counts, strict=True), (means, (1.0, 1.0))]
        ],
    )
    yield Text(f"Pixels right: {_number(result['aAcc'])}.")
    if both := both_scores(model, source, processor, how):
        running, own = both
        told = "they agree" if abs(running - own) <= APART else "they do not agree, so look at the training pictures"
        yield Text(
            f"BatchNorm: mIoU {running:.4f} on {min(BOTH_PICTURES, len(of_pictures))} pictures with its running "
            f"statistics, {own:.4f} with statistics of these pictures: {told}."
        )
        if abs(running - own) > APART:
            console.line(f"BatchNorm: mIoU {running:.4f} with running statistics, {own:.4f} with the pictures' own")
    names = list(names_by_id.values())
    yield Heading("Confusion")
    if with_charts:
        draw_confusion(total, names, draft / "confusion.png")
        yield Picture("confusion.png", "confusion matrix: each row a true class, each column a predicted one")
    shares = 100 * total / np.maximum(total.sum(1, keepdims=True), 1)
    if len(names) <= 30:
        yield Table(
            ("true \\ predicted, %", *names),
            [[n, *(f"{v:.1f}" for v in row)] for n, row in zip(names, shares, strict=True)],
        )
    yield from _examples(draft, model, source, processor, of_pictures)


def _counted(model, source: Source, processor) -> tuple[np.ndarray, list[float]]:
    """The confusion matrix over all pictures, and each picture's own mIoU, NaN where nothing is labelled."""
    ignored, count = model.config.semantic_loss_ignore_index, len(class_names(model.config))
    total = np.zeros((count, count), np.int64)
    of_pictures = []
    for found in predictions(model, source, processor=processor):
        one = np.asarray(confusion(found.labels, found.predicted, count, ignored))
        total += one
        of_pictures.append(scores(one)["mIoU"] if one.sum() else float("nan"))
    return total, of_pictures


def _examples(draft: Path, model, source: Source, processor, of_pictures: list[float]) -> Iterator[Block]:
    """Best, typical and worst pictures beside truth, prediction and differences."""
    ranked = [int(i) for i in np.argsort(of_pictures) if np.isfinite(of_pictures[i])]
    middle = max(len(ranked) // 2 - SHOWN // 2, 0)
    kinds = {"worst": ranked[:SHOWN], "best": ranked[::-1][:SHOWN], "typical": ranked[middle : middle + SHOWN]}
    found = _predicted(model, source, processor, {number for chosen in kinds.values() for number in chosen})
    for kind in ("best", "typical", "worst"):
        yield Heading(f"{kind.capitalize()} pictures")
        for place, number in enumerate(kinds[kind], 1):
            named = isinstance(source, Split) and not source.shards
            name = source.images[number].name if named else f"picture {number}"
            title = f"{name}, mIoU {of_pictures[number]:.3f}"
            file = f"picture_{kind}_{place}.png"
            ignored, palette = model.config.semantic_loss_ignore_index, class_palette(model.config)
            side_by_side(found[number], class_names(model.config), ignored, title, palette).save(draft / file)
            yield Picture(file, f"{title}: picture, truth, prediction, differences")


def _predicted(model, source: Source, processor, numbers: Collection[int]) -> dict[int, Prediction]:
    some = chosen(source, numbers, model.config.semantic_loss_ignore_index)
    return dict(zip(sorted(numbers), predictions(model, some, processor=processor), strict=True))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
