"""Times one training step of this package beside transformers' in PyTorch, in turns, 512x512, 150 classes.

    python benchmarks/speed/training.py --write     # needs .venv, .venv-core and .venv-parity (`make bench` makes them)

A job is VARIANT-SIZE-BATCH-DTYPE. Ours are `fit` after plain `compile()`, and after `compile(metrics=[])`. Medians;
ratios say how many times as long the peer takes; those beside the aims are taken within each turn, then the median.
Memory is what the process grows by from the loaded model on (activations, gradients, the optimizer's state), then the
peak of the whole process. First losses are compared.
Ours run where nothing is installed but what the package needs: Keras loads scikit-learn, 50 MB, where it finds it.
`--peers` takes some of the rows: what the metric costs is `--peers segformer_tf segformer_tf_without_metrics`.
"""

import functools

import numpy as np
from models import prepare
from timing import OUT, Worker, cell, command_line, in_turns, keep, machine, measure, show, table

PEERS = {
    "segformer_tf": (".venv-core", "segformer_tf, fit after compile()"),
    "segformer_tf_without_metrics": (".venv-core", "the same, compile(metrics=[])"),
    "transformers_torch": (".venv-parity", "transformers 5 PyTorch, eager"),
    "transformers_torch_compiled": (".venv-parity", "the same PyTorch, compiled"),
}
# Of a row beside our fit after compile(): what is compared, the words, the aim.
AIMS = (
    ("transformers_torch", "ms", "time beside ours (aim at least 3)"),
    ("transformers_torch", "peak_mb", "peak memory, ours over it (aim at most 0.65)"),
    ("segformer_tf_without_metrics", "ms", "time, ours over it (aim at most 1.03)"),
    ("segformer_tf_without_metrics", "peak_mb", "peak memory, ours less it in MB (aim at most 50)"),
)
BASE = "segformer_tf"
JOBS = ["b2-512-1-float32", "b0-512-4-float32", "b0-512-2-float32"]
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


def aims(results: dict) -> str:
    lines = []
    for name, key, words in AIMS:
        cells = []
        for rows in results.values():
            ours, theirs = rows[BASE], rows.get(name, {})
            if key not in ours or key not in theirs:
                cells.append("")
            elif key == "ms":
                ratios = in_turns(ours, theirs) if "over" in words else in_turns(theirs, ours)
                cells.append("{:.2f} ({:.2f} to {:.2f})".format(*ratios))
            elif "less" in words:
                cells.append(f"{ours[key] - theirs[key]:.0f}")
            else:
                cells.append(f"{ours[key] / theirs[key]:.2f}")
        lines.append([f"{PEERS[name][1]}: {words}", *cells])
    return table(["", *results], lines)


def costs(row: dict | None, base: dict) -> str:
    return cell(row, base) + (f" of {row['peak_mb']:.0f} MB" if row and "peak_mb" in row else "")


def run_job(job: str, runs: int, peers) -> dict[str, dict]:
    variant, size, batch, dtype = job.split("-")
    prepare(job, peers=())
    make = {
        name: functools.partial(
            Worker, environment, "benchmarks/speed/training_peers.py", name, variant, size, batch, dtype
        )
        for name, (environment, _) in PEERS.items()
        if name in peers
    }
    rows = measure(make, runs)
    losses = {
        name: float(np.load(OUT / f"{variant}-{size}-{batch}" / f"loss-{name}-{dtype}.npy"))
        for name, row in rows.items()
        if "ms" in row
    }
    for name, loss in losses.items():
        rows[name]["loss"] = loss
        if abs(loss - losses[BASE]) > TOLERANCE[dtype] * abs(losses[BASE]):
            rows[name] = {"failure": f"its first loss is {loss:.5f}, ours {losses[BASE]:.5f}: not compared"}
    return rows


def main() -> None:
    parser = command_line(__doc__, "training", runs=9)
    parser.add_argument("--jobs", nargs="+", default=JOBS)
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    arguments = parser.parse_args()
    results = {}
    for job in arguments.jobs:
        results[job] = run_job(job, arguments.runs, {BASE, *arguments.peers})
        print(f"{job}: " + "; ".join(f"{name} {costs(row, results[job][BASE])}" for name, row in results[job].items()))
        keep(arguments, results)
    rows = [
        [what, *(costs(results[job].get(name), results[job][BASE]) for job in results)]
        for name, (_, what) in PEERS.items()
    ]
    heads = ["{}, batch {}, {}".format(*(job.split("-")[i] for i in (0, 2, 3))) for job in results]
    about = f"{machine()}; 512x512, 150 classes, medians of {arguments.runs}."
    text = f"{about}\n\n{table(['', *heads], rows)}\n\n{aims(results)}"
    show(arguments, text)


if __name__ == "__main__":
    main()
