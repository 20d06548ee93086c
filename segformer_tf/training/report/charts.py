"""Charts of a run, drawn by matplotlib (extra `[report]`), which is loaded only here."""

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.images.fonts import file_of

NUMBERED = 40  # classes up to which the confusion matrix has numbers in its cells


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def draw_curves(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Loss, score and the classes' scores over the steps of the log's rows, each with its axes."""
    classes = [key for key in rows[0] if key.startswith(("IoU ", "Acc "))]
    with _fonts(classes):
        _draw_curves(rows, classes, file)


def _draw_curves(rows: Sequence[dict[str, Any]], classes: list[str], file: Path) -> None:
    from matplotlib.figure import Figure

    steps = [row["step"] for row in rows]
    score = "mIoU" if "mIoU" in rows[0] else "accuracy"
    figure = Figure(figsize=(14, 4.5), layout="constrained")
    losses, scores, per_class = figure.subplots(1, 3)
    for key, name in (("loss", "training"), ("val_loss", "validation")):
        if key in rows[0]:
            losses.plot(steps, _column(rows, key), marker=".", label=name)
    losses.set(title="Loss", ylabel="loss")
    losses.set_ylim(0, 1.05 * losses.get_ylim()[1])
    losses.legend()
    best = max(rows, key=lambda row: row["score"])
    scores.plot(steps, _column(rows, score), marker=".", color="tab:green")
    scores.plot(best["step"], best["score"], "o", color="tab:red", label=f"best: {best['score']:.4f}")
    scores.set(title=score, ylabel=score, ylim=(0, 1))
    scores.legend(loc="lower right")
    for number, key in enumerate(classes):
        style = ("-", "--", ":")[number // 10 % 3]
        per_class.plot(steps, _column(rows, key), style, label=_plain(key.partition(" ")[2]), marker=".")
    per_class.set(title="Classes", ylabel="IoU" if score == "mIoU" else score, ylim=(0, 1))
    if 0 < len(classes) <= 30:
        numbers = [str(number) for number in range(len(classes))]  # matplotlib leaves out labels that begin with _
        legend = per_class.legend(
            per_class.lines, numbers, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize="small"
        )
        for text, line in zip(legend.get_texts(), per_class.lines, strict=True):
            text.set_text(line.get_label())
    for axes in (losses, scores, per_class):
        axes.set_xlabel("step")
        axes.set_xlim(left=0)
        axes.grid(alpha=0.3)
    figure.savefig(file, dpi=110)


@contextlib.contextmanager
def _fonts(names: Sequence[str]) -> Iterator[None]:
    """What is drawn inside has the characters of the names, where a font that is installed here has them."""
    import matplotlib
    from matplotlib import font_manager

    families = ["DejaVu Sans"]  # matplotlib brings it
    own = font_manager.get_font(font_manager.findfont(families[0])).get_charmap()
    if file := file_of(frozenset(c for c in "".join(names) if ord(c) not in own)):
        font_manager.fontManager.addfont(file)
        families.append(font_manager.FontProperties(fname=file).get_name())
    with matplotlib.rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # `file_of` has told of it
        yield


def _plain(name: str) -> str:
    """As matplotlib draws it letter by letter: between two $ it would read mathematics."""
    return name.replace("$", r"\$")


def _column(rows: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [float("nan") if row.get(key) is None else row[key] for row in rows]


def draw_confusion(matrix, names: Sequence[str], file: Path, what: str = "pixels") -> None:
    """Each row a true class, each cell the percentage of its pixels (or `what`) that were given the column's class."""
    with _fonts(names):
        _draw_confusion(matrix, names, file, what)


def _draw_confusion(matrix, names: Sequence[str], file: Path, what: str) -> None:
    from matplotlib.figure import Figure

    matrix = np.asarray(matrix, np.float64)
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = min(3.5 + 0.5 * len(names), 24)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    names = [_plain(name) for name in names]
    axes.set_xticks(range(len(names)), names, rotation=90 if len(names) > 6 else 0)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=f"Of each true class, % of its {what}")
    figure.colorbar(image, ax=axes, shrink=0.8, label="%")
    if len(names) <= NUMBERED:
        for (row, column), share in np.ndenumerate(shares):
            color = "white" if share > 55 else "black" if share >= 0.5 else "0.7"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=color, fontsize="small")
    figure.savefig(file, dpi=110)
