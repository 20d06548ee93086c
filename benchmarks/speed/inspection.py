"""What looking at a data set costs: beside reading its files once, and of a training run on it.

    python benchmarks/speed/inspection.py [--pictures 1000]
    python benchmarks/speed/inspection.py --run DATA [--steps 100]

The first makes pictures of 480 x 640 with masks of 5 classes in a temporary directory. "Reading" decodes every picture
and mask with Pillow in as many threads. The aim: inspection within twice that.

The second trains b0 from random weights on DATA for a few steps, two minutes on two cores, and tells which share of
the run the inspection before it takes: of that short run, and of the recipe's own number of steps. The aim: under 5 %.
"""

import argparse
import dataclasses
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
from segformer_tf.data import inspect, read_split
from segformer_tf.training import RECIPES, train

SIZE = 480, 640


def make(root: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(count):
        split = "val" if i % 10 == 0 else "train"
        small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        mask = Image.fromarray(rng.integers(0, 5, (15, 20), dtype=np.uint8))
        for kind, picture, suffix in (("images", small, "jpg"), ("annotations", mask, "png")):
            file = root / kind / split / f"{i:05}.{suffix}"
            file.parent.mkdir(parents=True, exist_ok=True)
            how = Image.Resampling.BICUBIC if kind == "images" else Image.Resampling.NEAREST
            picture.resize(SIZE[::-1], how).save(file)


def read(root: Path) -> None:
    files = [file for name in ("train", "val") for s in (read_split(root, name),) for file in (*s.images, *s.targets)]

    def decode(file: Path) -> None:
        with Image.open(file) as image:
            np.asarray(image)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(decode, files))


def seconds(work) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def beside_reading(count: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make(root, count)
        turns = [(seconds(lambda: read(root)), seconds(lambda: inspect(root).check())) for _ in range(3)]
    reading, inspection = (sorted(times)[1] for times in zip(*turns, strict=True))
    return {"pictures": count, "reading_s": reading, "inspection_s": inspection, "ratio": inspection / reading}


def of_a_run(data: Path, steps: int) -> dict[str, float]:
    found = inspect(data).check()
    inspection = seconds(lambda: inspect(data).check())
    recipe = dataclasses.replace(RECIPES["from-scratch"], steps=steps)
    config = SegformerConfig.from_variant("b0", id2label=found.id2label)
    model = TFSegformerForSemanticSegmentation(config, data_format="channels_last")
    with tempfile.TemporaryDirectory() as name:
        run = seconds(lambda: train(model, found, Path(name) / "run", recipe, verbose=0))
    whole = RECIPES["from-scratch"].steps / steps * run
    return {
        "steps": steps,
        "inspection_s": inspection,
        "run_s": run,
        "share_of_this_run": inspection / (inspection + run),
        "share_of_the_recipes_run": inspection / (inspection + whole),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--run", type=Path, metavar="DATA")
    parser.add_argument("--steps", type=int, default=100)
    asked = parser.parse_args()
    found = of_a_run(asked.run, asked.steps) if asked.run else beside_reading(asked.pictures)
    print(json.dumps({key: round(value, 4) for key, value in found.items()}))


if __name__ == "__main__":
    main()
