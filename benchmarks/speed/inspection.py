"""How long `inspect` takes beside reading the same files once: `python benchmarks/speed/inspection.py [pictures]`.

Pictures of 480 x 640 with masks of 5 classes are made in a temporary directory. "Reading" decodes every picture and
mask with Pillow in as many threads. The aim: inspection within twice that.
"""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from segformer_tf.data import inspect, read_split

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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        make(root, count)
        turns = [(seconds(lambda: read(root)), seconds(lambda: inspect(root).check())) for _ in range(3)]
    reading, inspection = (sorted(times)[1] for times in zip(*turns, strict=True))
    found = {"pictures": count, "reading_s": reading, "inspection_s": inspection, "ratio": inspection / reading}
    print(json.dumps({key: round(value, 3) for key, value in found.items()}))


if __name__ == "__main__":
    main()
