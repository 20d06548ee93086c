"""Times one training step of this package beside transformers' in PyTorch, in turns, 512x512, 150 classes.

    python benchmarks/speed/training.py --write          # needs .venv and .venv-parity (`make bench` makes them)

A job is VARIANT-SIZE-BATCH-DTYPE. Medians; ratios say how many times as long the peer takes. Memory is what the process
grows by from the loaded model on: activations, gradients, the optimizer's state. The first step's losses are compared.
"""

import functools

import numpy as np
from models import prepare
from timing import OUT, Worker, cell, command_line, keep, machine, measure, show, table

PEERS = {
    "segformer_tf": (".venv", "segformer_tf, train_on_batch"),
    "transformers_torch": (".venv-parity", "transformers 5 PyTorch, eager"),
    "transformers_torch_compiled": (".venv-parity", "the same, compiled"),
}
BASE = "segformer_tf"
JOBS = ["b2-512-1-float32", "b0-512-4-float32", "b0-512-2-float32"]
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


def run_job(job: str, runs: int) -> dict[str, dict]:
    variant, size, batch, dtype = job.split("-")
    prepare(job, peers=())
    make = {
        name: functools.partial(
            Worker, environment, "benchmarks/speed/training_peers.py", name, variant, size, batch, dtype
        )
        for name, (environment, _) in PEERS.items()
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
    parser = command_line(__doc__, "training", runs=5)
    parser.add_argument("--jobs", nargs="+", default=JOBS)
    arguments = parser.parse_args()
    results = {}
    for job in arguments.jobs:
        results[job] = run_job(job, arguments.runs)
        print(f"{job}: " + "; ".join(f"{name} {cell(row, results[job][BASE])}" for name, row in results[job].items()))
        keep(arguments, results)
    rows = [
        [what, *(cell(results[job][name], results[job][BASE]) for job in results)] for name, (_, what) in PEERS.items()
    ]
    heads = ["{}, batch {}, {}".format(*(job.split("-")[i] for i in (0, 2, 3))) for job in results]
    text = f"{machine()}; 512x512, 150 classes, medians of {arguments.runs}.\n\n{table(['', *heads], rows)}"
    show(arguments, "training", text)


if __name__ == "__main__":
    main()
