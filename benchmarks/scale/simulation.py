"""A job of `segment-many` as a simulation: decoders, models and the one process that writes the index.

    python benchmarks/scale/simulation.py --pictures 2000 --workers 2 --decode 0.012 --label 0.09

Seconds a picture are measured (`measure.py` prints them); what comes out is how long the job takes and what bounds it.
It needs simpy: `make test-batch` makes an environment that has it.
"""

import argparse
import random
from collections.abc import Generator

import simpy

WAITING = 32  # decoded pictures that wait for a model, at most


def simulate(
    pictures: int,
    workers: int,
    decode: float,
    label: float,
    index: float = 0.0004,
    start: float = 0.0,
    decoders: int | None = None,
    spread: float = 0.1,
    seed: int = 0,
) -> dict[str, float]:
    """Seconds of a job, and the share of its time that each stage was busy.

    Args:
        decode, label, index: Seconds a picture: of one core, of one worker with its share of the cores, of the writer.
        start: Seconds until a worker has its model.
        decoders: Cores that decode; None: as many as workers.
        spread: Standard deviation of each time, as a share of it.
    """
    env, draw = simpy.Environment(), random.Random(seed)
    waiting, answers = simpy.Store(env, WAITING), simpy.Store(env)
    busy = {"decode": 0.0, "label": 0.0, "index": 0.0}
    decoders = decoders or workers
    left = [pictures]

    def work(stage: str, seconds: float) -> simpy.Timeout:
        taken = max(draw.gauss(seconds, spread * seconds), 0.0)
        busy[stage] += taken
        return env.timeout(taken)

    def decoder() -> Generator:
        while left[0]:
            left[0] -= 1
            yield work("decode", decode)
            yield waiting.put(1)

    def model() -> Generator:
        yield env.timeout(start)
        while True:
            yield waiting.get()
            yield work("label", label)
            yield answers.put(1)

    def writer() -> Generator:
        for _ in range(pictures):
            yield answers.get()
            yield work("index", index)

    for _ in range(decoders):
        env.process(decoder())
    for _ in range(workers):
        env.process(model())
    env.run(env.process(writer()))
    shares = {"decode": decoders, "label": workers, "index": 1}
    return {"seconds": env.now, **{stage: busy[stage] / env.now / shares[stage] for stage in busy}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--decode", type=float, required=True)
    parser.add_argument("--label", type=float, required=True)
    parser.add_argument("--index", type=float, default=0.0004)
    parser.add_argument("--start", type=float, default=0.0)
    found = simulate(**vars(parser.parse_args()))
    print(f"{found.pop('seconds'):.1f} s; busy: " + ", ".join(f"{name} {share:.0%}" for name, share in found.items()))


if __name__ == "__main__":
    main()
