"""What `segment` and `classify` show: a table for one picture or for many, JSON."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segformer_tf.cli.app import printable, say


@dataclass
class Report:
    """How many pictures there were, and what became of them."""

    todo: int
    failed: int = 0
    output: Path | None = None
    start: float = field(default_factory=time.monotonic)


def show(
    rows: list[dict[str, Any]],
    report: Report,
    as_json: bool,
    one: Callable[[list[dict[str, Any]]], None],
    many: Callable[[list[dict[str, Any]]], None],
) -> None:
    """Prints the answers and a line about the whole; ends with status 1 if a picture failed."""
    seconds = time.monotonic() - report.start
    if as_json:
        print_json(rows)
    elif rows:
        (one if report.todo == 1 else many)(rows)
        if report.todo > 1:
            where = f"; their files are in {report.output}" if report.output else ""
            print(f"{len(rows)} pictures in {seconds:.1f} s ({len(rows) / seconds:.1f} pictures/s){printable(where)}")
    if report.failed:
        if len(rows) + report.failed > 1:
            others = "; the others are done" if rows else ""
            say(f"{report.failed} of {len(rows) + report.failed} pictures failed{others}.")
        raise SystemExit(1)


def print_json(rows: list[dict[str, Any]]) -> None:
    """On stdout."""
    print(json.dumps(rows, indent=2))


def _table(*headings: str, title: str | None = None) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, title=Text(title) if title else None, box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True  # a number that is cut is another number
    return table


def _print(table: Any) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:  # a file or a pipe has no width that names would have to be cut to
        console = Console(width=200)
    if table.title:  # in a line of its own: above the table it would be broken at the table's width
        console.print(table.title, style="bold", soft_wrap=True)
        table.title = None
    console.print(table)


def classes_of_one(rows: list[dict[str, Any]]) -> None:
    """The classes of one picture, and the files that were written."""
    from rich.text import Text

    (row,) = rows
    scored = any(entry["score"] is not None for entry in row["classes"])
    title = f"{printable(row['path'])}  {row['size']['height']} x {row['size']['width']}"
    table = _table("class", "id", "pixels", "share", *(["score"] if scored else []), title=title)
    for entry in row["classes"]:
        score = [f"{entry['score']:.3f}"] if scored else []
        table.add_row(Text(entry["name"]), str(entry["id"]), f"{entry['pixels']:,}", f"{entry['share']:.1%}", *score)
    _print(table)
    for file in row["files"]:
        print(f"wrote {printable(file)}")


def classes_of_all(rows: list[dict[str, Any]]) -> None:
    """The classes over all pictures: in how many each was found, and its share of all pixels."""
    from rich.text import Text

    total = sum(row["size"]["height"] * row["size"]["width"] for row in rows)
    sums: dict[tuple[int, str], list[int]] = {}
    for row in rows:
        for entry in row["classes"]:
            found = sums.setdefault((entry["id"], entry["name"]), [0, 0])
            found[0] += 1
            found[1] += entry["pixels"]
    table = _table("class", "id", "pictures", "pixels", "share", title=f"{len(rows)} pictures")
    for (number, name), (pictures, pixels) in sorted(sums.items(), key=lambda item: -item[1][1]):
        table.add_row(Text(name), str(number), f"{pictures:,}", f"{pixels:,}", f"{pixels / total:.1%}")
    _print(table)


def likeliest(rows: list[dict[str, Any]]) -> None:
    """A line for each picture."""
    for row in rows:
        named = ", ".join(f"{entry['label']} {entry['score']:.1%}" for entry in row["classes"])
        print(f"{printable(row['path'])}: {printable(named)}")


def costs(rows: list[dict[str, Any]]) -> None:
    """The rows of `benchmark`; the one to take is marked."""
    from rich.text import Text

    scored = any("score" in row for row in rows)
    height, width = rows[0]["size"]
    batch = max((row["batch"] for row in rows if "batch" in row), default=1)
    heads = ("ms a picture", "pictures/s", "memory", "on disk", *(["score"] if scored else []))
    table = _table("", "runtime", "numbers", *heads, title=f"{height} x {width}, one picture and batches of {batch}")
    table.columns[1].justify = table.columns[2].justify = "left"
    for row in rows:
        mark = "->" if row["recommended"] else ""
        if "failure" in row:
            table.add_row(mark, row["runtime"], row["numbers"], Text("not run"))
            continue
        memory, disk = (f"{row[key]:.0f} MB" if row.get(key) else "" for key in ("memory_mb", "disk_mb"))
        score = [f"{row['score']:.2%}" if row.get("score") is not None else ""] if scored else []
        table.add_row(
            mark, row["runtime"], row["numbers"], f"{row['ms']:.1f}", f"{row['rate']:.1f}", memory, disk, *score
        )
    _print(table)
    for row in rows:
        if "failure" in row:
            print(f"not run: {row['runtime']}, {row['numbers']}: {printable(row['failure'])}")
    for row in rows:
        if row["recommended"] and row["runtime"] != "tensorflow" and row["numbers"] != "as exported":
            bound = "" if row["runtime"] == "litert" else " --batch 1"
            print(
                f"-> segformer-tf export MODEL DIRECTORY --format {row['runtime']} --weights {row['numbers']} --size "
                f"{height} {width}{bound}"
            )
