"""What merged queries and keys save in large pictures, and what they cost in mIoU.

    .venv/bin/python benchmarks/speed/merging.py [--data ../shared/data/camvid] [--write]      # 20 minutes

Time: one picture of 1024x1024 and 2048x2048, random weights, 150 classes, the exported SavedModel and the OpenVINO file
bound to the size; exact, with queries merged, and with keys too, in turns, a process each. mIoU: the bundled model on
25 of CamVid's validation pictures enlarged to 960x720, and on the same at 480x360. `--write` puts the tables into
docs/benchmarks.md.
"""

import dataclasses
import functools
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from timing import Worker, command_line, keep, machine, measure, serve, show, table

JOBS = {"b0-1024": "1,2,3", "b0-2048": "1,2,3", "b5-1024": "1,2,3"}  # variant-side: the stages merged
AIMS = {"b0-1024": 1.5, "b0-2048": 2.0, "b5-1024": 1.5}
FORMATS = {"saved_model": "SavedModel", "openvino": "OpenVINO file"}
SCORED = (
    *("", "q1", "q1,2", "q1,2,3", "q1,2,3,4", "k1,2,3", "k1,2,3,4"),
    *("q1,2,3 k1", "q1,2,3 k1,2", "qk1,2,3", "qk1,2,3,4"),
)
BUNDLED = "segformer-b0-camvid"


def work(variant: str, side: str, merged: str, format: str) -> None:
    """A worker: one model's file, run on one picture."""
    import numpy as np

    from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation
    from segformer_tf.export.export import export
    from segformer_tf.pipelines.runtimes.exported import open_exported

    config = SegformerConfig.from_variant(variant, **settings(merged))
    model = TFSegformerForSemanticSegmentation(config, data_format="channels_last")
    size = (int(side), int(side))
    pixels = np.random.default_rng(0).normal(size=(1, *size, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as directory:
        # Compared at a small size, so that the peak of memory is not the comparison's.
        small = SegformerImageProcessor(size={"height": 64, "width": 64})
        bound = {"size": size, "batch": 1} if format == "openvino" else {"names": ["logits"]}
        path = export(model, directory, format, processor=small, tolerance=0.01, **bound).path
        del model
        runtime = open_exported(path)
        serve(lambda: lambda: runtime(pixels))


def settings(merged: str) -> dict[str, list[int]]:
    """Of "q1,2 k1": queries of stages 1 and 2, keys of 1; of "qk1": both of stage 1; "" is exact."""
    keys = {"q": "merge_queries", "k": "merge_keys"}
    parts = [(part.rstrip("1234,"), part.lstrip("qk").split(",")) for part in merged.split()]
    return {keys[letter]: [int(stage) for stage in stages] for letters, stages in parts for letter in letters}


def in_words(merged: str) -> str:
    """The same as a row is called: "queries of stages 1, 2, keys of stage 1"."""
    words = {"q": "queries", "k": "keys", "qk": "queries and keys"}
    said = []
    for part in merged.split():
        letters, stages = part.rstrip("1234,"), part.lstrip("qk")
        which = "all" if stages == "1,2,3,4" else f"stage{'s' * (len(stages) > 1)} {stages.replace(',', ', ')}"
        said.append(f"{words[letters]} of {which}")
    return ", ".join(said) or "exact"


def scores(data: Path, pictures: int) -> dict[str, dict[str, float]]:
    """mIoU by the stages merged and the size of the pictures."""
    from segformer_tf import SegformerImageProcessor, TFSegformerForSemanticSegmentation
    from segformer_tf.training import evaluate, read_split

    split = read_split(data, "val")
    step = max(len(split.images) // pictures, 1)
    few = slice(None, step * pictures, step)
    split = dataclasses.replace(split, images=split.images[few], targets=split.targets[few])
    found: dict[str, dict[str, float]] = {}
    for stages in SCORED:
        model = TFSegformerForSemanticSegmentation.from_pretrained(
            BUNDLED, data_format="channels_last", **settings(stages)
        )
        for width, height in ((960, 720), (480, 360)):
            processor = SegformerImageProcessor.from_pretrained(BUNDLED, size={"height": height, "width": width})
            score = evaluate(model, split, "processor", processor, batch_size=1)["mIoU"]
            found.setdefault(stages, {})[f"{width}x{height}"] = score
    return found


def main() -> None:
    parser = command_line(__doc__, "merging", runs=3)
    parser.add_argument("--jobs", nargs="*", default=list(JOBS), help="VARIANT-SIDE")
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--data", type=Path, help="CamVid, for mIoU; left out without it")
    parser.add_argument("--pictures", type=int, default=25)
    arguments = parser.parse_args()
    rows, results = [], {}
    for job in arguments.jobs:
        variant, side = job.split("-")
        for format in arguments.formats:
            ways = "", f"q{JOBS[job]}", f"qk{JOBS[job]}"
            make = {
                way: functools.partial(
                    Worker, ".venv", "benchmarks/speed/merging.py", "worker", variant, side, way, format
                )
                for way in ways
            }
            timed = results[f"{job}-{format}"] = measure(make, arguments.runs)
            exact, aim = timed[""], AIMS[job]
            cells = []
            for row in (timed[way] for way in ways):
                if "ms" not in row:
                    cells.append(row.get("failure", ""))
                    continue
                cells.append(f"{row['ms']:.0f} ms ({row['spread'][0]:.0f} to {row['spread'][1]:.0f})")
                if row is not exact and "ms" in exact:
                    ratio = exact["ms"] / row["ms"]
                    cells[-1] += f", {ratio:.2f}x" + ("" if ratio >= aim else ", missed")
            rows.append([f"{variant}, {side}x{side}, stages {JOBS[job]}", FORMATS[format], *cells, f"{aim:g}x"])
            print(" | ".join(rows[-1]), flush=True)
    titles = ["", "", "exact", "queries merged", "keys too", "aim"]
    text = f"{machine()}; one picture, float32, medians.\n\n" + table(titles, rows)
    if arguments.data:
        results["mIoU"] = found = scores(arguments.data, arguments.pictures)
        sizes = list(found[""])
        lines = [
            [in_words(stages)]
            + [f"{100 * row[size]:.2f} % ({100 * (row[size] - found[''][size]):+.2f})" for size in sizes]
            for stages, row in found.items()
        ]
        text += f"\n\nmIoU of the bundled model, {arguments.pictures} pictures of CamVid's val enlarged to 960x720:\n\n"
        text += table(["merged", *sizes], lines)
    keep(arguments, results)
    show(arguments, text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        work(*sys.argv[2:])
    else:
        main()
