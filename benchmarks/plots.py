"""Draws the tables of docs/benchmarks.md as pictures beside it: `python benchmarks/plots.py`; no measuring.

`docs/benchmarks-models.svg`: time of one picture in each library, of each model; `docs/benchmarks-cost.svg`: time by area.
"""

import html
import math
import re
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
COLOURS = ("#1b6ca8", "#c8553d", "#588157", "#7a5195", "#c9a227", "#6c757d")
TITLE = "512x512, batch 1, float32"
WIDTH, ROW, LEFT, BAR = 900, 20, 330, 470


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


def svg(height: int, parts: list[str]) -> str:
    style = 'font-family="sans-serif" font-size="12" fill="#222"'
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" {style}>'
    return "\n".join([frame, f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *parts, "</svg>"]) + "\n"


def text(x: float, y: float, content: str, anchor: str = "start") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{html.escape(content)}</text>'


def bars(page: str) -> str:
    """A bar for every library in each model's group, in parts of the longest bar of the group."""
    section = page.split("<!-- bench_models -->")[1].split(f"**{TITLE}**")[1].split("\n**")[0]
    head, *rows = rows_of(section)
    parts, y = [text(10, 18, f"Milliseconds a picture, {TITLE} (shorter is faster)")], 30
    for column, model in enumerate(head[1:] if head[0] == "" else head, start=1):
        timed = [(row[0], value) for row in rows if (value := milliseconds(row[column])) is not None]
        longest = max(value for _, value in timed)
        parts.append(text(10, y + ROW, model))
        for name, value in timed:
            y += ROW
            colour = COLOURS[0] if name.startswith("segformer_tf") else COLOURS[5]
            length = BAR * value / longest
            parts.append(text(LEFT - 10, y, name, "end"))
            parts.append(f'<rect x="{LEFT}" y="{y - 11}" width="{length:.1f}" height="14" fill="{colour}"/>')
            parts.append(text(LEFT + length + 6, y, f"{value:.0f}"))
        y += ROW
    return svg(y + 10, parts)


def lines(page: str) -> str:
    """Time of a picture by its side, both axes logarithmic: a line for each model that has several sizes."""
    points: dict[str, dict[int, float]] = {}
    for row in rows_of(page.split("## What a picture costs")[1].split("\n## ")[0]):
        found, time = re.match(r"(b\d), (\d+)x\d+", row[0]), milliseconds(row[3]) if len(row) > 3 else None
        if found and time:
            points.setdefault(found[1], {})[int(found[2])] = time
    points = {model: dict(sorted(times.items())) for model, times in points.items() if len(times) > 1}
    sides = sorted({side for times in points.values() for side in times})
    slowest = max(time for times in points.values() for time in times.values())
    ticks = [10.0**power for power in range(1, math.ceil(math.log10(slowest)) + 1)]

    def place(side: float, time: float) -> tuple[float, float]:
        x = 70 + 700 * math.log(side / sides[0]) / math.log(sides[-1] / sides[0])
        return x, 360 - 310 * math.log(time / ticks[0]) / math.log(ticks[-1] / ticks[0])

    parts = [text(10, 18, "Milliseconds a picture by its side in pixels, float32, two threads (both axes logarithmic)")]
    for tick in ticks:
        _, y = place(sides[0], tick)
        parts.append(f'<line x1="70" x2="770" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(62, y + 4, f"{tick:.0f}", "end"))
    parts += [text(place(side, ticks[0])[0], 380, str(side), "middle") for side in sides]
    for colour, (model, times) in zip(COLOURS, points.items(), strict=False):
        places = [place(side, time) for side, time in times.items()]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in places]
        parts.append(text(places[-1][0] + 10, places[-1][1] + 4, model))
    return svg(400, parts)


def pictures() -> dict[Path, str]:
    """The files, and what the page's tables say should be in them."""
    page = PAGE.read_text("utf-8")
    return {PAGE.with_name("benchmarks-models.svg"): bars(page), PAGE.with_name("benchmarks-cost.svg"): lines(page)}


if __name__ == "__main__":
    for file, content in pictures().items():
        file.write_text(content, "utf-8")
