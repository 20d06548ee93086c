"""How far the work is: a bar on a terminal, one line in a notebook, nothing elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

SECONDS = 0.2  # between two looks of the line


def in_notebook() -> bool:
    """Whether what is printed goes to a notebook's page."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None  # type: ignore[attr-defined]
    return hasattr(shell, "kernel")


class Line:
    """One line of a notebook's output that is written anew, a few times a second at most."""

    def __init__(self) -> None:
        self.shown: Any = None
        self.last = 0.0

    def show(self, text: str, at_once: bool = False) -> None:
        """Writes the text in the place of what stood there; `at_once`: even if that was a moment ago."""
        now = time.monotonic()
        if self.shown is not None and not at_once and now - self.last < SECONDS:
            return
        self.last = now
        if self.shown is None:
            from IPython.display import display  # type: ignore[import-not-found]

            self.shown = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self.shown.update({"text/plain": text}, raw=True)


@contextmanager
def progress(total: int | None, what: str = "pictures") -> Iterator[Callable[[], None]]:
    """How many are done, how many a second, and the time left, where there are several; call what it gives for each."""
    if total == 1 or not (in_notebook() or sys.stderr.isatty()):
        yield lambda: None
    elif in_notebook():
        counted = _Counted(total, what)
        yield counted.advance
        counted.show(at_once=True)
    else:
        with _bar(total, what) as bar:
            task = bar.add_task("", total=total)
            yield lambda: bar.advance(task)


def tracked(answers: Iterable[Any], total: int | None) -> Iterator[Any]:
    """The answers, while it is shown how many there were."""
    with progress(total) as advance:
        for answer in answers:
            advance()
            yield answer


class _Counted:
    def __init__(self, total: int | None, what: str):
        self.total, self.what, self.done = total, what, 0
        self.line, self.begin = Line(), time.monotonic()

    def advance(self) -> None:
        self.done += 1
        self.show()

    def show(self, at_once: bool = False) -> None:
        seconds = max(time.monotonic() - self.begin, 1e-6)
        rate = self.done / seconds
        of = "" if self.total is None else f" of {self.total}"
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and 0 < self.done < self.total else ""
        self.line.show(f"{self.done}{of} {self.what}, {rate:.1f} {self.what}/s{left}", at_once)


def _bar(total: int | None, what: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f} {what}/s" if task.speed else "")

    console = Console(stderr=True)
    columns = what.capitalize(), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
