"""Times pre-processing, the training input and post-processing beside transformers' PIL backend, in turns.

    CAMVID=../shared/data/camvid python benchmarks/speed/pictures.py --write

24 CamVid pictures, 480x360, to 512x512; post-processing is of one picture, 150 classes, 128x256 to 1024x2048. Results
of pre- and post-processing are compared first. The training input decodes 96 files and masks on both sides; here it
also augments.
"""

import functools

import numpy as np
from timing import OUT, Worker, cell, command_line, keep, machine, measure, show, table

PEERS = {"segformer_tf": (".venv", "segformer_tf"), "transformers": (".venv-parity", "transformers 5, PIL backend")}
TASKS = {
    "preprocess": "24 pictures to pixel_values",
    "input": "96 files and masks to batches (here with augmentation)",
    "postprocess": "logits of 150 classes to a 1024x2048 map",
}
SAME = {"preprocess": 0.999, "postprocess": 0.9999}  # share of values that must be equal, to 1e-5


def run_task(task: str, runs: int) -> dict[str, dict]:
    make = {
        name: functools.partial(Worker, environment, "benchmarks/speed/picture_peers.py", name, task)
        for name, (environment, _) in PEERS.items()
    }
    rows = measure(make, runs)
    if task in SAME and all("ms" in row for row in rows.values()):
        ours, theirs = (np.load(OUT / f"{task}-{name}.npy") for name in PEERS)
        same = float((np.abs(ours - theirs) < 1e-5).mean())
        print(f"{task}: {100 * same:.4f} % of the values are the same")
        if same < SAME[task]:
            raise SystemExit(f"{task}: {100 * same:.3f} % of the values are the same, expected {100 * SAME[task]} %.")
    return rows


def main() -> None:
    arguments = command_line(__doc__, "pictures", runs=9).parse_args()
    results = {task: run_task(task, arguments.runs) for task in TASKS}
    keep(arguments, results)
    rows = [
        [what, *(cell(results[task][name], results[task]["segformer_tf"]) for task in TASKS)]
        for name, (_, what) in PEERS.items()
    ]
    text = f"{machine()}; medians of {arguments.runs}.\n\n{table(['', *TASKS.values()], rows)}"
    show(arguments, text)


if __name__ == "__main__":
    main()
