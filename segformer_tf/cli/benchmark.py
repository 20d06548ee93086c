"""`benchmark`: what each runtime and precision costs on this machine, and which one to take."""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.bounds import SMALLEST_SIDE
from segformer_tf.cli.app import app, check_model, load_tensorflow, say
from segformer_tf.cli.opened import class_of, classifies
from segformer_tf.cli.options import AsJson, ModelArgument
from segformer_tf.cli.stopping import stop_if_asked

# What computes, how its numbers are stored or computed, and where it lives: a dtype policy, or a format of `export`.
WAYS = [
    ("tensorflow", "float32"),
    ("tensorflow", "mixed_bfloat16"),
    *((format, weights) for format in ("openvino", "onnx", "litert") for weights in ("float32", "float16", "int8")),
]
MAY_LOSE = 0.005  # of the score, for a row to be recommended


@app.command()
def benchmark(
    model: ModelArgument,
    data: Annotated[
        Path | None, typer.Option(help="Labelled pictures: each row then has its score on their val split.")
    ] = None,
    size: Annotated[
        tuple[int, int] | None,
        typer.Option(help="Height and width of the pictures; what the processor says, or 512 512.", show_default=False),
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long each row is timed.", min=0.01)] = 2.0,
    as_json: AsJson = False,
) -> None:
    """Time a model in every runtime and precision installed here; the row with most pictures a second is marked.

    Files are exported to a temporary directory and each is run in a process of its own: a minute or two for b0. Without
    --data only float32 rows are recommended, for nobody knows what the others lose.

    segformer-tf benchmark segformer-b0-camvid
    segformer-tf benchmark RUN --data photos --size 512 512
    """
    from segformer_tf.cli import tables

    check_model(model, "MODEL")
    if size is not None and min(size) < SMALLEST_SIDE:
        raise typer.BadParameter(
            f"{size[0]} x {size[1]}; expected at least {SMALLEST_SIDE} a side.", param_hint="--size"
        )
    if data is not None and not data.exists():
        raise typer.BadParameter(f"there is no {data}; expected a data set's directory.", param_hint="--data")
    if data is not None:
        from segformer_tf.data import read_split

        read_split(data, "val")  # said now, not after a row's time
    with tempfile.TemporaryDirectory(prefix="segformer-") as directory:
        rows = [_row(way, model, data, seconds) for way in _prepared(model, size, Path(directory))]
    chosen = recommended(rows)
    for row in rows:
        row["recommended"] = row is chosen
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        tables.costs(rows)
    if chosen is None:
        raise RuntimeError(f"{model} could not be run here: {rows[0]['failure']}")


def _prepared(model: str, size: tuple[int, int] | None, directory: Path) -> Any:
    """A dictionary for each way, its file exported just before; `failure` where that could not be."""
    from segformer_tf.pipelines.runtimes.exported import exported_file, open_exported

    if exported := exported_file(model):
        runtime = open_exported(exported)
        if size and runtime.size and tuple(size) != runtime.size:
            own = "{} {}".format(*runtime.size)
            raise typer.BadParameter(
                f"{size[0]} {size[1]}; expected {own}, the only size that {exported} takes.", param_hint="--size"
            )
        sides = _sides(size or runtime.size, runtime.description.image_processor())
        yield {"runtime": runtime.backend, "numbers": "as exported", "path": str(exported)} | sides
        return
    load_tensorflow()
    from segformer_tf import images
    from segformer_tf.export.export import export
    from segformer_tf.storage.read import reason

    loaded = class_of(classifies(model)).from_pretrained(model, data_format="channels_last")
    processor = images.SegformerImageProcessor.from_pretrained(model, or_default=True)
    sides = _sides(size, processor)
    for runtime, numbers in WAYS:
        way = {"runtime": runtime, "numbers": numbers, "path": model} | sides
        if runtime != "tensorflow":
            bound = {"batch": 1} if runtime in ("openvino", "onnx") else {}
            try:
                found = export(
                    loaded,
                    directory / runtime / numbers,
                    runtime,
                    processor=processor,
                    size=tuple(sides["size"]),
                    weights=numbers,
                    **bound,
                )
                way["path"] = str(found.path)
            except Exception as error:  # a converter may fail by any error; the other rows are still worth having
                stop_if_asked()
                way["failure"] = reason(error)
        yield way


def _sides(size: tuple[int, int] | None, processor: Any) -> dict[str, Any]:
    own = processor.size if processor is not None else {}
    return {"size": list(size or (own.get("height", 512), own.get("width", 512)))}


def _row(way: dict[str, Any], model: str, data: Path | None, seconds: float) -> dict[str, Any]:
    """The way with its size on disk, and what a process of its own found."""
    say(f"{way['runtime']}, {way['numbers']}")
    if "failure" in way:
        return way
    path = Path(way["path"])
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    if path.is_file():
        way["disk_mb"] = sum(file.stat().st_size for file in files if file.exists()) / 1e6
    task = json.dumps({**way, "data": str(data) if data else None, "seconds": seconds})
    done = subprocess.run([sys.executable, "-m", __name__, task], capture_output=True, text=True)
    answers = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not answers:
        lines = done.stderr.strip().splitlines()
        return {**way, "failure": lines[-1][:300] if lines else f"its process ended with status {done.returncode}"}
    return {**way, **json.loads(answers[-1])}


def recommended(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The row with most pictures a second, among those that lose little of float32's best score.

    Without scores, or where they are no numbers, among the float32 ones.
    """
    running = [row for row in rows if "failure" not in row]
    if not running:
        return None
    scored = [row for row in running if row.get("score") is not None and math.isfinite(row["score"])]
    kept = [row for row in scored or running if row["numbers"] == "float32"] or scored or running
    if scored:
        least = max(row["score"] for row in kept) - MAY_LOSE
        kept = [row for row in scored if row["score"] >= least]
    return max(kept, key=lambda row: row["rate"])


def run_one(task: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds, pictures/s, memory and score of one way, in this process."""
    from segformer_tf.pipelines.runtimes.exported import exported_file, open_exported
    from segformer_tf.pipelines.runtimes.measuring import measure

    processor = None
    if exported := exported_file(task["path"]):
        runtime = open_exported(exported)
    else:
        load_tensorflow()
        from segformer_tf import ImageClassificationPipeline, SegmentationPipeline

        kind = ImageClassificationPipeline if classifies(task["path"]) else SegmentationPipeline
        loaded = kind.from_pretrained(task["path"], runtime="tensorflow", dtype=task["numbers"])
        runtime, processor = loaded.runtime, loaded.processor
    measured = measure(runtime, tuple(task["size"]), task["seconds"])
    found = {"ms": measured.ms, "rate": measured.rate, "batch": measured.batch, "memory_mb": measured.memory}
    if task["data"]:  # afterwards, as it loads TensorFlow
        from segformer_tf.export.export import at_size
        from segformer_tf.images import SegformerImageProcessor
        from segformer_tf.training import evaluate, read_split

        processor = processor or runtime.description.image_processor() or SegformerImageProcessor()
        processor = at_size(processor, tuple(task["size"]))  # every row is scored at the size that it is timed at
        scores = evaluate(runtime, read_split(task["data"], "val"), "processor", processor)
        found["score"] = scores.get("mIoU", scores.get("accuracy"))
    return found


if __name__ == "__main__":
    print(json.dumps(run_one(json.loads(sys.argv[1]))))
