"""Draws the tables of docs/benchmarks.md as pictures beside it; no measuring. Needs the extra `report` (matplotlib).

    python benchmarks/speed/plots.py

`docs/benchmarks-models.png`: time of one picture in each library, of each model;
`docs/benchmarks-cost.png`: time by side.
"""

import re
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
TITLE = "512x512, batch 1, float32"


def rows_of(text: str) -> list[list[str]]:
    """The cells of every line of the tables in `text`."""
    return [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and not line.startswith("| ---")
    ]


def milliseconds(cell: str) -> float | None:
    found = re.match(r"([\d.]+) ms \(", cell)
    return float(found[1]) if found else None


def library_times(page: str) -> dict[str, dict[str, float]]:
    """Milliseconds a picture by model and library, of the first table."""
    head, *rows = rows_of(page.split("<!-- models -->")[1].split(f"**{TITLE}**")[1].split("\n**")[0])
    models = [cell for cell in head if cell]
    times = {model: {row[0]: milliseconds(row[i]) for row in rows} for i, model in enumerate(models, start=1)}
    return {model: {name: ms for name, ms in of.items() if ms is not None} for model, of in times.items()}


def side_times(page: str) -> dict[str, dict[int, float]]:
    """Milliseconds a picture by model and side, of the models that have several sides."""
    times: dict[str, dict[int, float]] = {}
    for row in rows_of(page.split("<!-- cost -->")[1]):
        if found := re.match(r"(b\d), (\d+)x", row[0]):
            times.setdefault(found[1], {})[int(found[2])] = milliseconds(row[3])
    return {model: dict(sorted(of.items())) for model, of in times.items() if len(of) > 1}


def bars(times: dict[str, dict[str, float]]):
    chosen = [model for model in ("b0", "b2", "b5") if model in times]
    figure, axes = pyplot.subplots(1, len(chosen), sharey=True, figsize=(12, 4.5), layout="constrained")
    for ax, model in zip(axes, chosen, strict=True):
        names = list(reversed(times[model]))
        colours = ["#1b6ca8" if name.startswith("segformer_tf") else "#9aa0a6" for name in names]
        ax.bar_label(ax.barh(names, [times[model][name] for name in names], color=colours), fmt="%.0f", padding=2)
        ax.set(title=model, xlabel="ms a picture")
        ax.margins(x=0.15)
    figure.suptitle(f"{TITLE}, two cores: shorter is faster")
    return figure


def lines(times: dict[str, dict[int, float]]):
    figure, ax = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for model, of in times.items():
        ax.plot(list(of), list(of.values()), marker="o", label=model)
    sides = sorted({side for of in times.values() for side in of})
    ax.set(xscale="log", yscale="log", xlabel="side in pixels", ylabel="ms a picture", title="float32, two threads")
    ax.set_xticks(sides, [str(side) for side in sides], minor=False)
    ax.minorticks_off()
    ax.grid(alpha=0.3)
    ax.legend()
    return figure


def figures() -> dict[Path, tuple]:
    """The files, each with what it shows and the figure."""
    page = PAGE.read_text("utf-8")
    by_library, by_side = library_times(page), side_times(page)
    return {
        PAGE.with_name("benchmarks-models.png"): (by_library, bars(by_library)),
        PAGE.with_name("benchmarks-cost.png"): (by_side, lines(by_side)),
    }


if __name__ == "__main__":
    for file, (shown, figure) in figures().items():
        figure.savefig(file, dpi=110, metadata={"Software": None, "Description": repr(shown)})
