"""A page made of blocks, written as Markdown beside its pictures and as one HTML file that holds them."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from segformer_tf.storage.markdown import in_cell, in_text

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2em auto; padding: 0 1em; color: #222 }
img { max-width: 100%; height: auto }
table { border-collapse: collapse } td, th { padding: 2px 12px; border-bottom: 1px solid #ddd; text-align: right }
td:first-child, th:first-child { text-align: left }
pre { background: #f5f5f5; padding: 1em; overflow-x: auto }
"""


@dataclass(frozen=True)
class Heading:
    """A line that names what follows; level 1 is the page's title."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Table:
    """Names of the columns, and rows of cells."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG in the page's directory, with what it shows."""

    file: str
    shows: str


@dataclass(frozen=True)
class Code:
    """Text as it is."""

    text: str


Block = Heading | Text | Table | Picture | Code


def write_page(directory: Path, name: str, blocks: Sequence[Block]) -> None:
    """Writes `<name>.md` and `<name>.html` into the draft of a directory where the pictures are."""
    (directory / f"{name}.md").write_text("\n\n".join(map(_markdown, blocks)) + "\n", "utf-8")
    title = html.escape(next(block.text for block in blocks if isinstance(block, Heading)))
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = "\n".join(_html(block, directory) for block in blocks)
    page = f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n{body}\n</body></html>\n'
    (directory / f"{name}.html").write_text(page, "utf-8")


def _markdown(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {in_text(block.text)}"
        case Text():
            return in_text(block.text)
        case Table():
            lines = [block.columns, ["---", *["--:"] * (len(block.columns) - 1)], *block.rows]
            return "\n".join(f"| {' | '.join(map(in_cell, line))} |" for line in lines)
        case Picture():
            return f"![{in_text(block.shows)}]({block.file})"
        case Code():
            return f"```\n{block.text}\n```"


def _html(block: Block, directory: Path) -> str:
    match block:
        case Heading():
            return f"<h{block.level}>{html.escape(block.text)}</h{block.level}>"
        case Text():
            return f"<p>{html.escape(block.text)}</p>"
        case Table():
            head, *body = [
                "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
                for tag, row in [("th", block.columns), *(("td", row) for row in block.rows)]
            ]
            rows = "\n".join(f"<tr>{row}</tr>" for row in body)
            return f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
        case Picture():
            data = base64.b64encode((directory / block.file).read_bytes()).decode()
            return f'<p><img alt="{html.escape(block.shows)}" src="data:image/png;base64,{data}"></p>'
        case Code():
            return f"<pre>{html.escape(block.text)}</pre>"
