"""Core-seconds a picture of each stage of `segment-many`, and bytes in and out; Ray's workers beside plain processes.

    taskset -c 0 python benchmarks/scale/measure.py PICTURES --model segformer-b0-camvid
    python benchmarks/scale/measure.py PICTURES --workers 1 2 --pictures 400

The second line also runs the job with that many workers, and that many plain Python processes side by side, each with
the same share of the cores. It says how far Ray falls behind them, and how far the simulation of the job, which is
given the speed of one such process alone, is off. Seconds a picture are those from the answer at a fifth of the
pictures to the one at four fifths, so that starting and ending do not count. The machine must be quiet.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def stages(place: str, model: str, pictures: int) -> dict[str, float]:
    """Core-seconds a picture, of this process alone so that a busy machine does not count, and bytes."""
    from segformer_tf.batch import inputs
    from segformer_tf.batch.job import parquet
    from segformer_tf.batch.labeller import Labeller
    from segformer_tf.batch.store import Store

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


def between(moments: list[float]) -> float:
    """Seconds a picture from the answer at a fifth of them to the one at four fifths."""
    first, last = len(moments) // 5, len(moments) * 4 // 5
    return (moments[last] - moments[first]) / (last - first)


def _plain(sources: list[str], model: str, output: str, begin: Any, answers: Any) -> None:
    from segformer_tf.batch.labeller import Labeller
    from segformer_tf.batch.store import Store

    worker = Labeller(model, Store(output))
    list(worker.rows([(0, sources[0], sources[0])]))
    begin.wait()
    for _ in worker.rows((number, source, source) for number, source in enumerate(sources)):
        answers.put(time.monotonic())


def plain(sources: list[str], model: str, processes: int, threads: int) -> float:
    """Seconds a picture of so many Python processes side by side, each with `threads` cores and its own pictures."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
    os.environ |= {"OMP_NUM_THREADS": str(threads), "TF_ENABLE_ONEDNN_OPTS": "1"}
    context = multiprocessing.get_context("spawn")
    begin, answers = context.Barrier(processes), context.Queue()
    with tempfile.TemporaryDirectory() as output:
        parts = [(sources[i::processes], model, f"{output}/{i}", begin, answers) for i in range(processes)]
        started = [context.Process(target=_plain, args=part) for part in parts]
        for process in started:
            process.start()
        moments = sorted(answers.get(timeout=300) for _ in sources)
        for process in started:
            process.join()
    return between(moments)


def on_ray(place: str, model: str, workers: int) -> float:
    """Seconds a picture of `segment_many`."""
    from segformer_tf.batch import segment_many

    moments: list[float] = []
    with tempfile.TemporaryDirectory() as output:
        segment_many(place, output, model, workers=workers, told=lambda *_: moments.append(time.monotonic()))
    return between(moments)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("place")
    parser.add_argument("--model", default="segformer-b0-camvid")
    parser.add_argument("--pictures", type=int, default=24, help="at most; with --workers, PLACE's come again")
    parser.add_argument("--workers", type=int, nargs="*", default=[])
    options = parser.parse_args()
    from segformer_tf.batch import inputs

    if not options.workers:
        found = stages(options.place, options.model, options.pictures)
        print(", ".join(f"{name} {value:.4g}" for name, value in found.items()))
        return
    from simulation import simulate

    there = [item.source for item in inputs.find(options.place)]
    sources = [os.path.abspath(there[i % len(there)]) for i in range(options.pictures)]
    cores = len(os.sched_getaffinity(0))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as names:
        names.write("\n".join(sources))
        names.flush()
        for workers in options.workers:
            threads = max(cores // workers, 1)
            alone = plain(sources[: options.pictures // 2], options.model, 1, threads)
            beside = alone if workers == 1 else plain(sources, options.model, workers, threads)
            measured = on_ray(names.name, options.model, workers)
            # A worker decodes too, as far as the simulation goes: all stages share the cores.
            expected = simulate(options.pictures, workers, 1e-9, alone)["seconds"] / options.pictures
            print(
                f"{workers} workers of {threads} cores: {measured:.4f} s a picture; as many plain processes "
                f"{beside:.4f} ({beside / measured:.0%} of their speed); simulated {expected:.4f} "
                f"({expected / measured - 1:+.0%})",
                flush=True,
            )


if __name__ == "__main__":
    main()
