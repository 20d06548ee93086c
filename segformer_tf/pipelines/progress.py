"""How far the work is: a bar on a terminal, one line in a notebook, nothing elsewhere."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

SECONDS = 0.2  # between two looks of the line
MINUTES = 120  # seconds from which on they are hours, minutes and seconds


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
        of = "" if self.total is None else f" of {self.total}"
        rest = _rate_and_rest(self.done, self.total, time.monotonic() - self.begin, self.what)
        self.line.show(f"{self.done}{of} {self.what}, {rest}", at_once)


def _rate_and_rest(done: int, total: float | None, seconds: float, what: str) -> str:
    """Since the start: pictures come in batches, so that the last few seconds say little."""
    if not done:
        return ""
    rate = done / max(seconds, 1e-6)
    if not total or done >= total:
        return f"{rate:.1f} {what}/s"
    left = round((total - done) / rate)
    return f"{rate:.1f} {what}/s, {f'{left} s' if left < MINUTES else timedelta(seconds=left)} left"


def _bar(total: int | None, what: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(_rate_and_rest(int(task.completed), task.total, task.elapsed or 0.0, what))

    console = Console(stderr=True)
    columns = what.capitalize(), BarColumn(), MofNCompleteColumn(), Rate()
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
