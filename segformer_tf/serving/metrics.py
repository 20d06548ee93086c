"""Counts and times under the names that TF Serving gives them, as Prometheus reads them."""

import threading
from bisect import bisect_left
from collections import defaultdict

BUCKETS = [10 * 1.8**power for power in range(33)]  # microseconds, up to about 20 minutes; TF Serving's own
REQUESTS = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"
RUNS = ":tensorflow:serving:runtime_latency"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
HELP = {
    REQUESTS: "The total number of requests.",
    LATENCY: "Distribution of wall time (in microseconds) of a request.",
    RUNS: "Distribution of wall time (in microseconds) from the queue to the answer.",
    LOADS: "The number of times a SavedModel load was attempted.",
}


class Metrics:
    """Counters and histograms, by name and labels."""

    def __init__(self):
        self._lock = threading.Lock()
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._times: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(lambda: [0.0, [0] * 34]))

    def count(self, name: str, **labels: str) -> None:
        with self._lock:
            self._counts[name][_labels(labels)] += 1

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """One time, told in microseconds."""
        with self._lock:
            row = self._times[name][_labels(labels)]
            row[0] += seconds * 1e6
            row[1][bisect_left(BUCKETS, seconds * 1e6)] += 1

    def text(self) -> str:
        """Prometheus' text format."""
        lines = []
        with self._lock:
            for name, rows in self._counts.items():
                lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} counter"]
                lines += [f"{name}{{{labels}}} {count}" for labels, count in rows.items()]
            for name, rows in self._times.items():
                lines += [f"# HELP {name} {HELP[name]}", f"# TYPE {name} histogram"]
                for labels, (total, counts) in rows.items():
                    below = 0
                    for edge, count in zip([f"{edge:.10g}" for edge in BUCKETS] + ["+Inf"], counts, strict=True):
                        below += count
                        lines.append(f'{name}_bucket{{{labels},le="{edge}"}} {below}')
                    lines += [f"{name}_sum{{{labels}}} {total:.10g}", f"{name}_count{{{labels}}} {below}"]
        return "\n".join(lines) + "\n"


def _labels(labels: dict[str, str]) -> str:
    escaped = {
        key: value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") for key, value in labels.items()
    }
    return ",".join(f'{key}="{value}"' for key, value in escaped.items())
