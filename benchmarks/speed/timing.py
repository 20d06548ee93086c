"""What the benchmarks share: processes timed in turns, their memory, command lines, tables in the documents."""

import argparse
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUT = ROOT / "out" / "bench"
PAGE = ROOT / "docs" / "benchmarks.md"
ELSEWHERE = {"before": ROOT / "docs" / "notes" / "benchmarks.md"}  # tables that do not stand on that page
THREADS = int(os.environ.get("BENCH_THREADS", "2"))
# Of processes in any environment: this tree is timed, though the environment may have another one installed.
PYTHONPATH = os.pathsep.join([str(ROOT / "benchmarks" / "speed"), str(ROOT)])
FEWEST_SECONDS = 0.05  # a run that is shorter is repeated and divided
COLD_SECONDS = 1.0  # a run that is shorter has one before it that is not timed: another's data are in the caches


def _status(key: str) -> float:
    """A line of the process's /proc/self/status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"/proc/self/status has no {key}: the benchmarks need Linux.")


def serve(make: Callable[[], Callable[[], object]], save=None, steps: int = 1) -> None:
    """The worker's side: makes the thing to be timed, warms it up, answers the driver's lines on stdin.

    "run" is answered with milliseconds, "memory" with the peak of the resident set in MB, and how much of it came after
    `make` (the model is loaded then, and has not run). What `make` gives is called twice before that; the first result
    goes to `save`. A run of several `steps` is answered with the time of one.
    """
    run = make()
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    result = run()
    if save is not None:
        save(result)
    del result
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    repeat = max(1, round(FEWEST_SECONDS / seconds))
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            peak = _status("VmHWM")
            print(f"answer {peak} {peak - before}", flush=True)
            continue
        if seconds < COLD_SECONDS:
            run()
        start = time.perf_counter()
        for _ in range(repeat):
            run()
        print(f"answer {1000 * (time.perf_counter() - start) / repeat / steps}", flush=True)


class Worker:
    """A process in an environment of its own; `failure` says why it could not be made."""

    def __init__(self, environment: str, *arguments: object):
        python = ROOT / environment / "bin" / "python"
        self.failure: str | None = None
        if not python.exists():
            self.failure = f"not installed ({environment})"
            return
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        threads = dict.fromkeys(names, str(THREADS))
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                **threads,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONPATH": PYTHONPATH,
            },
            cwd=ROOT,
        )
        if self._line("ready") is None:
            error = [line for line in self.process.communicate()[1].splitlines() if line.strip()]
            self.failure = f"failed: {error[-1] if error else f'exit {self.process.returncode}'}"

    def _line(self, word: str) -> list[str] | None:
        for line in self.process.stdout:
            if line.split()[:1] == [word]:
                return line.split()[1:]
        return None

    def ask(self, text: str) -> list[float]:
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        answer = self._line("answer")
        if answer is None:
            raise RuntimeError(f"a worker stopped: {self.process.stderr.read()[-2000:]}")
        return [float(value) for value in answer]

    def end(self) -> None:
        self.process.communicate()


def measure(make: dict[str, Callable[[], Worker]], runs: int) -> dict[str, dict]:
    """Workers by name, timed in turns (A B A B ...): medians and spread in ms, memory in MB, or why one failed."""
    with ThreadPoolExecutor(THREADS) as threads:  # only starting and compiling, which is not timed
        workers = dict(zip(make, threads.map(lambda start: start(), make.values()), strict=True))
    running = {name: worker for name, worker in workers.items() if worker.failure is None}
    times: dict[str, list[float]] = {name: [] for name in running}
    for _ in range(runs):
        for name, worker in running.items():
            times[name].append(worker.ask("run")[0])
    rows: dict[str, dict] = {name: {"failure": worker.failure} for name, worker in workers.items() if worker.failure}
    for name, worker in running.items():
        peak, added = worker.ask("memory")
        spread = [min(times[name]), max(times[name])]
        median = statistics.median(times[name])
        rows[name] = {"ms": median, "spread": spread, "peak_mb": peak, "added_mb": added, "turns": times[name]}
        worker.end()
    return {name: rows[name] for name in make}


def alone(runtime: Callable, values, count: int) -> None:
    """Lets the model compute so many pictures in batches of `values`, the last as small as what is left."""
    for first in range(0, count, len(values)):
        runtime(values[: count - first])


def in_turns(row: dict, base: dict) -> tuple[float, float, float]:
    """How many times the base's milliseconds a row takes in the same turn: the median, the least, the most.

    Where the machine's speed moves from minute to minute this moves less than the ratio of two medians.
    """
    ratios = [one / other for one, other in zip(row["turns"], base["turns"], strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def cell(row: dict | None, base: dict | None, memory: str = "added_mb", digits: int = 0) -> str:
    """A row as text: milliseconds, spread, how many times the base's, memory if it was measured."""
    if row is None:
        return "not run"
    if "failure" in row:
        return row["failure"]
    ratio = f", {row['ms'] / base['ms']:.2f}x" if base and "ms" in base else ""
    median, least, most = (f"{ms:.{digits}f}" for ms in (row["ms"], *row["spread"]))
    return f"{median} ms ({least} to {most}){ratio}" + (f", {row[memory]:.0f} MB" if memory in row else "")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))


def machine() -> str:
    """Processor, cores and Python, for a table's caption."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return f"{model or platform.processor()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def around(page: Path, marks: tuple[str, str]) -> tuple[str, str]:
    """A page up to the first mark and from the second on; what stands between them is a script's table."""
    before, _, rest = page.read_text("utf-8").partition(marks[0])
    _, found, after = rest.partition(marks[1])
    if not found or any(mark in after for mark in marks):
        raise ValueError(f"{page} must have the lines {marks[0]} and {marks[1]} around one table: add them.")
    return before + marks[0], marks[1] + after


def put(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replaces what stands between the marks."""
    before, after = around(page, marks)
    page.write_text(f"{before}\n{text.strip()}\n{after}", "utf-8")


def write_option(parser: argparse.ArgumentParser, page: Path, marks: tuple[str, str]) -> None:
    """Adds `--write`, which looks for the marks at once: not after an hour of measuring."""

    class Write(argparse.Action):
        def __call__(self, parser, namespace, values, option_string=None):
            try:
                around(page, marks)
            except ValueError as error:
                parser.error(str(error))
            namespace.write = functools.partial(put, page, marks)

    help = f"put the tables into {page.relative_to(ROOT)}"
    parser.add_argument("--write", action=Write, nargs=0, default=lambda text: None, help=help)


def command_line(doc: str, name: str, runs: int | None) -> argparse.ArgumentParser:
    """The options that every benchmark has; the figures go to `--json`, out/bench/NAME.json if not given."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=runs)
    parser.add_argument("--json", type=Path, default=OUT / f"{name}.json", help="where the figures are kept")
    write_option(parser, ELSEWHERE.get(name, PAGE), (f"<!-- {name} -->",) * 2)
    OUT.mkdir(parents=True, exist_ok=True)
    return parser


def keep(arguments: argparse.Namespace, results: dict, **more: object) -> None:
    """Writes the figures so far."""
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"machine": machine(), **more, "results": results}, indent=2))


def show(arguments: argparse.Namespace, text: str) -> None:
    """Prints the tables, and puts them into the page if asked to."""
    print(text)
    arguments.write(text)
