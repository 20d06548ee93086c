"""How fast a runtime is here and how much memory its process takes."""

import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from segformer_tf.pipelines.runtimes.runtime import BATCH_PIXELS, Runtime

LEAST_RUNS = 3
BATCH = 8


class Measured(NamedTuple):
    """Milliseconds of one picture (the median), pictures/s in batches of `batch`, peak MB of the process, if known."""

    ms: float
    rate: float
    batch: int
    memory: float | None


def measure(runtime: Runtime, size: tuple[int, int], seconds: float = 2.0) -> Measured:
    """Of pictures (height, width) that are ready, for about `seconds` each by themselves and in batches.

    Batches are of `BATCH`, or of as many such pictures as a pipeline would compute together.
    """
    channels = runtime.description.config.get("num_channels", 3)
    batch = min(BATCH, max(BATCH_PIXELS // (size[0] * size[1]), 1))
    pictures = np.random.default_rng(0).normal(size=(batch, *size, channels)).astype(np.float32)
    alone = _times(runtime, pictures[:1], seconds)
    together = _times(runtime, pictures, seconds)
    return Measured(1000 * statistics.median(alone), batch / statistics.median(together), batch, peak_memory())


def _times(runtime: Runtime, pixel_values: np.ndarray, seconds: float) -> list[float]:
    """Seconds of each run, after two that plan or trace."""
    for _ in range(2):
        runtime(pixel_values)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        runtime(pixel_values)
        times.append(time.perf_counter() - start)
    return times


def least_seconds(runtime: Runtime, pixel_values: np.ndarray, runs: int) -> float:
    """Seconds of the fastest of so many runs: the first may plan."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        runtime(pixel_values)
        times.append(time.perf_counter() - start)
    return min(times)


def peak_memory() -> float | None:
    """MB of this process at its largest; None on Windows."""
    try:
        import resource
    except ImportError:
        return None
    status = Path("/proc/self/status")
    if status.exists():  # Linux starts a new process's `ru_maxrss` at that of the process that made it
        lines = status.read_text("utf-8").splitlines()
        if found := [int(line.split()[1]) for line in lines if line.startswith("VmHWM")]:
            return found[0] / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes, on macOS bytes
    return peak / (1024**2 if sys.platform == "darwin" else 1024)
