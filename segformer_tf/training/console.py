"""What a run says on a terminal or in a notebook: its beginning, one bar, a line an evaluation, its end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from segformer_tf.pipelines.progress import Line, in_notebook


class Console:
    """Lines and one bar on stderr, or nothing with `speaks=False`. The bar is for terminals; lines go anywhere.

    A notebook paints what is on stderr as an error, so there all goes to stdout, and one line stands for the bar.
    """

    def __init__(self, speaks: bool = True):
        self.speaks = speaks
        self.terminal = rich.console.Console(
            stderr=not in_notebook(), highlight=False, soft_wrap=True, force_jupyter=False
        )
        self.bar: Progress | None = None
        self.shown: Line | None = None

    def line(self, text: str) -> None:
        """One line, as it is: names in square brackets are no markup."""
        if self.speaks:
            (self.bar.console if self.bar else self.terminal).print(text, markup=False)

    def table(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and what they are, below each other."""
        wide = max(len(name) for name, _ in rows)
        for name, text in rows:
            self.line(f"{name:{wide}}  {text}")

    @contextmanager
    def running(self, step: int, steps: int) -> Iterator[None]:
        """Shows the bar meanwhile."""
        if self.speaks and in_notebook():
            self.shown, self.steps, self.begin = Line(), steps, (time.monotonic(), step)
            yield
            self.shown = None
            return
        if not (self.speaks and self.terminal.is_terminal):
            yield
            return
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
        )
        with Progress(*columns, console=self.terminal, transient=True, speed_estimate_period=600) as self.bar:
            self.task = self.bar.add_task("", total=steps, completed=step)
            yield
        self.bar = None

    def step(self, step: int, loss: float, rate: float, score: float | None) -> None:
        """Moves the bar."""
        known = "" if score is None else f"  score {score:.4f}"
        told = f"loss {loss:.4f}  rate {rate:.2e}{known}"
        if self.bar:
            self.bar.update(self.task, completed=step, description=told)
        elif self.shown:
            begin, first = self.begin
            left = (time.monotonic() - begin) * (self.steps - step) / max(step - first, 1)
            more = f"  {duration(left)} left" if step < self.steps else ""
            self.shown.show(f"step {step} of {self.steps}  {told}{more}", at_once=step >= self.steps)

    def evaluated(self, row: dict[str, Any], best: bool) -> None:
        """A line of one evaluation."""
        name = "mIoU" if "mIoU" in row else "accuracy"
        parts = [f"step {row['step']}", f"loss {row['loss']:.4f}"]
        if row.get("val_loss") is not None:
            parts.append(f"validation loss {row['val_loss']:.4f}")
        parts += [f"{name} {row['score']:.4f}{' (best)' if best else ''}", duration(row["seconds"])]
        self.line("  ".join(parts))


def duration(seconds: float) -> str:
    """As a person says it: 40 s, 12 min, 3 h 20 min."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
