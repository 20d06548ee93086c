"""Core-seconds a picture of each stage of `segment-many`, and bytes in and out; beside one and two workers.

    taskset -c 0 python benchmarks/scale/measure.py PICTURES --model segformer-b0-camvid
    python benchmarks/scale/measure.py PICTURES --workers 1 2

The second line also runs the job with that many workers, and says how far the simulation is off.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

from simulation import simulate

from segformer_tf.batch import inputs
from segformer_tf.batch.job import parquet
from segformer_tf.batch.labeller import Labeller
from segformer_tf.batch.store import Store
from segformer_tf.storage.find import DEFAULT_MODEL


def stages(place: str, model: str, pictures: int) -> dict[str, float]:
    """Core-seconds a picture, of this process alone so that a busy machine does not count, and bytes."""
    items = inputs.find(place)[:pictures]
    with tempfile.TemporaryDirectory() as output:
        worker = Labeller(model, Store(output))
        processor = worker.pipeline.processor
        decoded = [(item.number, item.shown, inputs.pixels(item, processor)) for item in items]
        list(worker.rows(decoded[:1]))  # the graph is made
        begin = time.process_time()
        for item in items:
            inputs.pixels(item, processor)
        decode = time.process_time() - begin
        begin = time.process_time()
        rows = list(worker.rows(decoded))
        label = time.process_time() - begin
        begin = time.process_time()
        index = len(parquet(rows))
        write = time.process_time() - begin
        out = sum(file.stat().st_size for file in Path(output).rglob("*.png"))
    count = len(items)
    read = sum(len(inputs.encoded(item)) for item in items)
    sizes = {"bytes in": read / count, "bytes out": out / count, "index bytes": index / count}
    return {"decode": decode / count, "label": label / count, "index": write / count, **sizes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("place")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    options = parser.parse_args()
    found = stages(options.place, options.model, options.pictures)
    print(", ".join(f"{name} {value:.4g}" for name, value in found.items()))
    cores = len(os.sched_getaffinity(0))
    for workers in options.workers:
        from segformer_tf.batch import segment_many

        moments: list[float] = []

        def told(*_, moments=moments) -> None:
            moments.append(time.monotonic())

        with tempfile.TemporaryDirectory() as output:
            count = segment_many(options.place, output, options.model, workers=workers, told=told)["pictures"]
        measured = (moments[-1] - moments[0]) / (count - 1)
        # All stages share the cores: with as many workers as cores a core is decoding or labelling.
        busy = min(workers, cores)
        expected = simulate(count, workers, 1e-9, found["decode"] + found["label"])["seconds"] / count
        print(f"{workers} workers ({busy} cores): {measured:.4f} s a picture, simulated {expected:.4f}")


if __name__ == "__main__":
    main()
