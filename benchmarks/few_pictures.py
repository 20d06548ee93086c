"""Twenty pictures of a new task: what a trained encoder is worth beside random weights.

    python benchmarks/few_pictures.py CAMVID --drive 0006R0 --start segformer-b0-camvid --start RUN

The task is one class of CAMVID against the rest. `--pictures` of a drive's pictures, spread evenly over it, are trained
on; the others of that drive validate. Each start trains by `segformer-tf train` with one recipe, with the same crops:
`random` are weights of b0 drawn anew, the others an encoder and a head that begins anew. A figure is mIoU over the two
classes, of the last weights. The bundled model has seen all of CamVid's training pictures with their classes; for a
drive that an encoder has not seen, give the run of a fold that left it out (`train --folds drive`).
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image


def make_task(source: Path, target: Path, drive: str, label: int, count: int) -> tuple[int, int]:
    """Pictures and 0/1 masks of one class; -> how many train, how many validate."""
    folders = (source / "images" / split for split in ("train", "val"))
    pictures = sorted(file for folder in folders for file in folder.iterdir() if file.name.startswith(f"{drive}_"))
    if len(pictures) <= count:
        raise SystemExit(f"{source} has {len(pictures)} pictures of the drive {drive}, expected more than {count}.")
    chosen = set(np.linspace(0, len(pictures) - 1, count).round().astype(int))
    for number, file in enumerate(pictures):
        split = "train" if number in chosen else "val"
        for kind in ("images", "annotations"):
            (target / kind / split).mkdir(parents=True, exist_ok=True)
        (target / "images" / split / file.name).symlink_to(file.resolve())
        mask = np.asarray(Image.open(source / "annotations" / file.parent.name / f"{file.stem}.png"))
        binary = np.where(mask == 255, 255, mask == label).astype(np.uint8)
        Image.fromarray(binary).save(target / "annotations" / split / f"{file.stem}.png")
    return len(chosen), len(pictures) - len(chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("camvid", type=Path)
    parser.add_argument("--start", action="append", default=[], help="a model or a run; random weights always")
    parser.add_argument("--recipe", default="from-scratch", help="the same for all")
    parser.add_argument("--drive", default="0006R0")
    parser.add_argument("--class", dest="name", default="road")
    parser.add_argument("--pictures", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--crop", type=int, nargs=2, default=(256, 320))
    options = parser.parse_args()
    classes = {row["name"]: row["id"] for row in json.loads((options.camvid / "classes.json").read_text())}
    with tempfile.TemporaryDirectory() as place:
        data = Path(place, "data")
        numbers = make_task(options.camvid, data, options.drive, classes[options.name], options.pictures)
        names = [{"id": 0, "name": "rest"}, {"id": 1, "name": options.name}]
        (data / "classes.json").write_text(json.dumps(names))
        print(f"{options.name} against the rest, {numbers[0]} pictures of {options.drive}, {numbers[1]} to validate")
        for start in ["random", *options.start]:
            run = Path(place, "run", start.replace("/", "_"))
            command = [sys.executable, "-m", "segformer_tf.cli", "train", "--data", str(data), "--output", str(run)]
            command += ["--model", "b0" if start == "random" else start, "--recipe", options.recipe]
            command += ["--set", "precision=float32", "--set", "ema_momentum=0.9", "--set", "warmup_steps=10"]
            command += ["--steps", str(options.steps), "--evaluate-every", str(max(options.steps // 2, 1))]
            done = subprocess.run(
                [*command, "--crop", *map(str, options.crop)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            if done.returncode:
                raise SystemExit(done.stderr.decode()[-2000:])
            with open(run / "log.csv") as file:
                rows = list(csv.DictReader(file))
            scores = ", ".join(f"{100 * float(row['mIoU']):.1f} % after {row['step']}" for row in rows)
            print(f"{start}: mIoU {scores} steps; {float(rows[-1]['seconds']):.0f} s", flush=True)


if __name__ == "__main__":
    main()
