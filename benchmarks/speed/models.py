"""Times this package beside its peers, interleaved (A B A B ...), each in a process and an environment of its own.

    make bench                                      # makes the peers' environments, then all benchmarks
    python benchmarks/speed/models.py --quick        # b0 at 512x512 in float32 and bfloat16
    python benchmarks/speed/models.py --jobs b2-512-1-float32 --runs 5 --peers segformer_tf_saved_model openvino

A job is VARIANT-SIZE-BATCH-DTYPE. Medians of one batch, 150 classes, two threads; ratios are to
`segformer_tf_saved_model` in the same job: how many times as long the peer takes. Memory is the growth of the process
while it runs. Logits of all peers are compared before timing. A peer that is not installed or fails is reported so.
`--write` puts the tables into docs/benchmarks.md.
"""

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from timing import OUT, PYTHONPATH, ROOT, THREADS, Worker, cell, command_line, keep, machine, measure, show, table

OURS, TORCH, RUNTIMES = ".venv", ".venv-parity", ".venv-runtimes"
PEERS = {  # name: environment, what it is, whether it computes in bfloat16
    "segformer_tf_saved_model": (OURS, "segformer_tf, SavedModel", True),
    "segformer_tf_predict": (OURS, "segformer_tf, predict_on_batch", True),
    "segformer_tf_eager": (OURS, "segformer_tf, eager call", False),
    "segformer_tf_openvino": (RUNTIMES, "segformer_tf's export in OpenVINO", True),
    "segformer_tf_openvino_any": (RUNTIMES, "the same, of any batch", True),
    "segformer_tf_onnx": (RUNTIMES, "segformer_tf's export in ONNX Runtime", False),
    "segformer_tf_litert": (OURS, "segformer_tf's export in LiteRT", False),
    "transformers_tf": (".venv-hf4", "transformers 4.57 TF, tf.function", False),
    "transformers_torch": (TORCH, "transformers 5 PyTorch, eager", True),
    "transformers_torch_channels_last": (TORCH, "transformers 5 PyTorch, channels-last", True),
    "transformers_torch_compiled": (TORCH, "transformers 5 PyTorch, compiled", True),
    "openvino": (RUNTIMES, "transformers 5's export in OpenVINO", True),
    "onnx_runtime": (RUNTIMES, "transformers 5's export in ONNX Runtime", False),
    "keras_hub": (".venv-keras-hub", "keras-hub, tf.function", False),
}
BASE = "segformer_tf_saved_model"
MADE_FROM = {  # what a peer reads: the environment that makes it, and how
    "segformer_tf_saved_model": (OURS, "prepare-saved-model"),
    "segformer_tf_openvino": (OURS, "prepare-ours-openvino"),
    "segformer_tf_openvino_any": (OURS, "prepare-ours-openvino-any"),
    "segformer_tf_onnx": (OURS, "prepare-ours-onnx"),
    "segformer_tf_litert": (OURS, "prepare-ours-litert"),
    "openvino": (RUNTIMES, "prepare-torch-openvino"),
    "onnx_runtime": (RUNTIMES, "prepare-torch-onnx"),
}
ALL = [name for name in PEERS if name != "segformer_tf_openvino_any"]  # that one by --peers
FEW = [BASE, "segformer_tf_openvino", "transformers_torch_compiled", "openvino"]
JOBS = {  # job: peers, runs
    **{f"{variant}-512-1-{dtype}": (ALL, 7) for variant in ("b0", "b2", "b5") for dtype in ("float32", "bfloat16")},
    **{f"{variant}-512-1-float32": (FEW, 5) for variant in ("b1", "b3", "b4")},
    "b0-1024-1-float32": (FEW, 5),
    "b5-1024-1-float32": (FEW, 3),
    "b0-512-8-float32": (FEW, 5),
    "b5-512-8-float32": (FEW, 3),
}
AIMS = [  # peer, beside which row, in which dtype, at least how many times that row's time
    ("openvino", BASE, "float32", {"b0": 1.0, "b2": 1.4, "b5": 1.2}),
    ("transformers_tf", BASE, "float32", {"b0": 5.0, "b2": 8.0}),
    ("keras_hub", BASE, "float32", {"b0": 2.0, "b2": 2.0, "b5": 2.0}),
    ("transformers_torch_compiled", BASE, "bfloat16", {"b0": 1.0, "b2": 1.0, "b5": 1.0}),
    ("openvino", "segformer_tf_openvino", "float32", {"b0": 1.25, "b2": 1.6, "b5": 1.4}),
    ("openvino", "segformer_tf_openvino", "bfloat16", {"b0": 1.2, "b2": 1.2, "b5": 1.2}),
    ("onnx_runtime", "segformer_tf_onnx", "float32", {"b0": 1.3, "b2": 1.3, "b5": 1.3}),
]
QUICK = {f"b0-512-1-{dtype}": (ALL, 7) for dtype in ("float32", "bfloat16")}
TOLERANCE = {"float32": 2e-3, "bfloat16": 0.15}  # of the largest logit


def prepare(job: str, peers: Collection[str] = (BASE,)) -> dict[str, str]:
    """Writes the weights and the files that the peers read, two at a time; which could not be written, and why."""

    def make(environment: str, what: str) -> str | None:
        command = [
            ROOT / environment / "bin/python",
            "-W",
            "ignore",
            "benchmarks/speed/model_peers.py",
            what,
            *job.split("-"),
        ]
        path = {**os.environ, "PYTHONPATH": PYTHONPATH}
        done = subprocess.run(command, cwd=ROOT, env=path, capture_output=True, text=True)
        return (done.stderr.strip().splitlines() or ["no message"])[-1] if done.returncode else None

    failures = {"prepare-weights": make(OURS, "prepare-weights")}
    wanted = [MADE_FROM[peer] for peer in peers if peer in MADE_FROM]
    with ThreadPoolExecutor(THREADS) as threads:
        made = threads.map(lambda one: (one[1], make(*one)), wanted)
    return {what: why for what, why in [*failures.items(), *made] if why}


def run_job(job: str, peers: list[str], runs: int) -> dict[str, dict]:
    """Rows by peer, each with the largest difference of its logits from the base's as a share of the largest."""
    *_, dtype = parts = job.split("-")
    for what, why in prepare(job, peers).items():
        print(f"{job}: {what} failed: {why}", file=sys.stderr)
    exports = OUT / "-".join(parts[:3])
    for old in exports.glob("*.npy"):
        old.unlink()
    make = {
        name: functools.partial(Worker, PEERS[name][0], "benchmarks/speed/model_peers.py", name, *parts)
        for name in peers
        if dtype == "float32" or PEERS[name][2]
    }
    rows = measure(make, runs)
    base = exports / f"{BASE}-{dtype}.npy"
    for name, row in rows.items():
        logits = exports / f"{name}-{dtype}.npy"
        if "ms" in row and name != "keras_hub" and base.exists() and logits.exists():  # that one has weights of its own
            expected = np.load(base)
            row["difference"] = float(np.abs(np.load(logits) - expected).max() / np.abs(expected).max())
            if not row["difference"] <= TOLERANCE[dtype]:
                rows[name] = {"failure": f"its logits differ by {row['difference']:.2g} of the largest: not compared"}
    return rows


def tables(results: dict[str, dict[str, dict]]) -> str:
    """One table a group of jobs of the same size, batch and dtype."""
    groups: dict[tuple, list[str]] = {}
    for job in results:
        groups.setdefault(tuple(job.split("-")[1:]), []).append(job)
    parts = []
    for (size, batch, dtype), jobs in groups.items():
        names = [name for name in PEERS if any(name in results[job] for job in jobs)]
        rows = [
            [PEERS[name][1], *(cell(results[job].get(name), results[job].get(BASE)) for job in jobs)] for name in names
        ]
        title = f"**{size}x{size}, batch {batch}, {dtype}**"
        parts.append(f"{title}\n\n{table(['', *(job.split('-')[0] for job in jobs)], rows)}")
    return "\n\n".join(parts)


def aims_table(results: dict[str, dict[str, dict]]) -> str:
    """How many times our row's time a peer takes for one picture of 512x512, beside how many it is meant to."""
    variants = ("b0", "b2", "b5")
    rows = []
    for peer, ours, dtype, aims in AIMS:
        cells = []
        for variant in variants:
            job = results.get(f"{variant}-512-1-{dtype}", {})
            times = [job.get(name, {}).get("ms") for name in (peer, ours)]
            if variant not in aims or None in times:
                cells.append("")
                continue
            ratio = times[0] / times[1]
            cells.append(f"{ratio:.2f} (aim {aims[variant]:g}{'' if ratio >= aims[variant] else ', missed'})")
        name = PEERS[peer][1].replace("the same", "transformers 5 PyTorch")
        rows.append([f"{name}, {dtype}, beside {PEERS[ours][1]}", *cells])
    return table(["", *variants], rows)


def main() -> None:
    parser = command_line(__doc__, "models", runs=None)
    parser.add_argument("--jobs", nargs="+", help=f"default: {' '.join(JOBS)}")
    parser.add_argument("--peers", nargs="+", choices=list(PEERS))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--again", action="store_true", help="only the tables of the figures that --json holds")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else JOBS
    chosen = {job: plan.get(job, (ALL, 5)) for job in arguments.jobs} if arguments.jobs else plan
    done, start = {"machine": machine(), "minutes": 0, "results": {}}, time.monotonic()
    if arguments.again:
        done, chosen = json.loads(arguments.json.read_text()), {}
    for job, (peers, runs) in chosen.items():
        rows = run_job(job, arguments.peers or peers, arguments.runs or runs)
        done["results"][job] = rows
        done["minutes"] = round((time.monotonic() - start) / 60)
        print(f"{job}: " + "; ".join(f"{name} {cell(row, rows.get(BASE))}" for name, row in rows.items()), flush=True)
        keep(arguments, done["results"], minutes=done["minutes"])
    text = f"{done['machine']}; 150 classes, medians; {done['minutes']} minutes for all.\n\n{tables(done['results'])}"
    text += f"\n\nAgainst the aims, one picture of 512x512:\n\n{aims_table(done['results'])}"
    show(arguments, text)


if __name__ == "__main__":
    main()
