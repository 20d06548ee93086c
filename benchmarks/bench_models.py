"""Times this package beside its peers, interleaved (A B A B ...), each in a process and an environment of its own.

    make bench            # makes the peers' environments, then: python benchmarks/bench_models.py --write
    python benchmarks/bench_models.py --variants b0 --runs 5 --peers segformer_tf_predict transformers_torch

Median milliseconds of one picture, 512x512, float32, batch 1, 150 classes, two threads; the ratio is to
`segformer_tf_saved_model`; memory is the process's peak. A peer that is not installed or fails is reported so.
`--write` puts the table into docs/benchmarks.md.
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = {
    "segformer_tf_eager": ".venv",
    "segformer_tf_predict": ".venv",
    "segformer_tf_saved_model": ".venv",
    "transformers_tf": ".venv-hf4",
    "transformers_torch": ".venv-parity",
    "transformers_torch_compiled": ".venv-parity",
    "keras_hub": ".venv-keras-hub",
}
WHAT = {
    "segformer_tf_eager": "segformer_tf, eager call",
    "segformer_tf_predict": "segformer_tf, predict_on_batch",
    "segformer_tf_saved_model": "segformer_tf, exported SavedModel",
    "transformers_tf": "transformers 4.57 TF, tf.function",
    "transformers_torch": "transformers 5 PyTorch, eager",
    "transformers_torch_compiled": "transformers 5 PyTorch, compiled",
    "keras_hub": "keras-hub, tf.function",
}
BASE = "segformer_tf_saved_model"
MARK = "<!-- bench_models -->"


class Peer:
    """A worker process; `milliseconds()` asks it for one run."""

    def __init__(self, name, variant, size):
        python = ROOT / ENVIRONMENTS[name] / "bin" / "python"
        self.failure = None
        if not python.exists():
            self.failure = f"not installed ({ENVIRONMENTS[name]})"
            return
        command = [str(python), str(ROOT / "benchmarks" / "peers.py"), name, variant, str(size)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if not self._line().startswith("ready"):
            error = self.process.communicate()[1].strip().splitlines()
            self.failure = f"failed: {error[-1] if error else 'no message'}"

    def _line(self):
        while line := self.process.stdout.readline():
            if line.split()[:1] == ["ready"] or line.strip().replace(".", "", 1).isdigit():
                return line.strip()
        return ""

    def ask(self, text=""):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return float(self._line())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure(names, variant, size, runs):
    """{peer: {"ms": median, "spread": (least, most), "memory_mb": peak}} or {"failure": why}."""
    peers = {name: Peer(name, variant, size) for name in names}
    running = {name: peer for name, peer in peers.items() if not peer.failure}
    times = {name: [] for name in running}
    for _ in range(runs):
        for name, peer in running.items():
            times[name].append(peer.ask("run"))
    rows = {name: {"failure": peer.failure} for name, peer in peers.items() if peer.failure}
    for name, peer in running.items():
        rows[name] = {
            "ms": statistics.median(times[name]),
            "spread": [min(times[name]), max(times[name])],
            "memory_mb": peer.ask(),
        }
        peer.end()
    return rows


def table(results):
    variants = list(results)
    lines = ["| | " + " | ".join(variants) + " |", "|---" * (len(variants) + 1) + "|"]
    for name, text in WHAT.items():
        cells = []
        for variant in variants:
            row = results[variant].get(name)
            if row is None:
                cells.append("not run")
            elif "failure" in row:
                cells.append(row["failure"])
            else:
                base = results[variant].get(BASE, {}).get("ms")
                ratio = f", {row['ms'] / base:.2f}x" if base else ""
                cells.append(
                    f"{row['ms']:.0f} ms ({row['spread'][0]:.0f} to {row['spread'][1]:.0f}){ratio}, {row['memory_mb']:.0f} MB"
                )
        lines.append(f"| {text} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def machine():
    """Processor, cores and versions, for the table's caption."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return f"{model or platform.processor()}, {text.count('processor	:') or '?'} cores, Python {platform.python_version()}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", default=["b0", "b2", "b5"])
    parser.add_argument("--peers", nargs="+", default=list(ENVIRONMENTS), choices=list(ENVIRONMENTS))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    arguments = parser.parse_args()
    results = {}
    for variant in arguments.variants:
        results[variant] = measure(arguments.peers, variant, arguments.size, arguments.runs)
        print(f"{variant}: done", file=sys.stderr)
    caption = (
        f"{machine()}; {arguments.size}x{arguments.size}, float32, batch 1, 150 classes, medians of {arguments.runs}."
    )
    text = f"{caption}\n\n{table(results)}\n"
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine(), "results": results}, indent=2))
    if arguments.write:
        page = ROOT / "docs" / "benchmarks.md"
        before, _, rest = page.read_text("utf-8").partition(MARK)
        after = rest.partition(MARK)[2]
        page.write_text(f"{before}{MARK}\n{text}{MARK}{after}", "utf-8")


if __name__ == "__main__":
    main()
