"""What a person gets of a runtime's speed: the pipeline, `segment` and `evaluate` beside the model alone, and memory.

    python benchmarks/speed/pipeline.py --data CAMVID [--pictures 40] [--memory] [--write]      # .venv with [export]

The bundled model by TensorFlow and by OpenVINO (its exported file), two threads, 15 minutes with `--memory`. To reach:
the runtime's own in batches of 8: forward only, of pixels that are ready. All ways are timed in turns in one
process, loaded and warm; ratios within a turn (aims: 0.9, without overlays 0.95). Beside them processor time a picture,
which other programs on the machine change less, and how much of it is left when the model answers at once: where it
keeps all cores busy, that share of the time cannot be hidden behind it. Memory: the peak of a process after 50 and
after 2,000 pictures.
Without `--data` the example photograph is copied, with the model's own labels as its masks.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from PIL import Image
from timing import OUT, PYTHONPATH, ROOT, THREADS, _status, alone, command_line, keep, machine, show, table

os.environ |= {"TF_NUM_INTRAOP_THREADS": str(THREADS), "TF_CPP_MIN_LOG_LEVEL": "3"}
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
RUNTIMES = ("tensorflow", "openvino")
BATCH, FEW, MANY = 8, 50, 2000
AIMS = {"pipeline": 0.9, "segment": 0.9, "segment, no overlay": 0.95, "evaluate": 0.9}


def split_of(data: Path | None, count: int):
    """`count` pictures with masks; more than there are come again."""
    from dataclasses import replace

    from segformer_tf import SegmentationPipeline
    from segformer_tf.data.layouts import read_split

    if data is None:
        data = OUT / "pictures"
        labels, pictures = data / "annotations" / "val", data / "images" / "val"
        for folder in (labels, pictures):
            folder.mkdir(parents=True, exist_ok=True)
        Image.open(ROOT / "examples" / "china.jpg").resize((480, 360)).save(pictures / "china.jpg", quality=90)
        found = SegmentationPipeline.from_pretrained()(pictures / "china.jpg").labels
        Image.fromarray(found.astype(np.uint8)).save(labels / "china.png")
    split = read_split(data, "val")
    chosen = list(itertools.islice(itertools.cycle(range(len(split.images))), count))
    return replace(split, images=[split.images[i] for i in chosen], targets=[split.targets[i] for i in chosen])


def pipeline_of(runtime: str):
    from segformer_tf import SegmentationPipeline

    if runtime == "tensorflow":
        return SegmentationPipeline.from_pretrained(runtime="tensorflow")
    file = OUT / "openvino" / "openvino_model.xml"
    if not file.exists():
        command = [sys.executable, "-m", "segformer_tf.cli", "export", "segformer-b0-camvid", str(file.parent)]
        subprocess.run([*command, "--format", "openvino"], check=True, capture_output=True)
    return SegmentationPipeline.from_pretrained(file)


def copies(split, directory: Path) -> Path:
    """A folder with a file of its own for each picture of the split."""
    for number, file in enumerate(split.images):
        os.symlink(Path(file).absolute(), directory / f"{number:05}{Path(file).suffix}")
    return directory


def ways(pipeline, split, folder: Path, output: Path):
    """Each way of labelling all pictures of the split, by name."""
    from segformer_tf.cli import pictures as command
    from segformer_tf.training.evaluate import evaluate

    files = sorted(folder.iterdir())
    ready = pipeline.processor([str(file) for file in files[:BATCH]], return_tensors="np", data_format="channels_last")
    batch = np.ascontiguousarray(ready["pixel_values"])

    def segment(save: str):
        with (
            mock.patch.object(command, "load_pipeline", lambda *_: pipeline),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            command.segment([str(folder)], output=Path(tempfile.mkdtemp(dir=output)), save=save)

    return {
        "the model alone": lambda: alone(pipeline.runtime, batch, len(files)),
        "pipeline": lambda: pipeline(files),
        "segment": lambda: segment("labels,overlay,json"),
        "segment, no overlay": lambda: segment("labels,json"),
        "evaluate": lambda: evaluate(pipeline.runtime, split),
    }


def speed(runtime: str, data: Path | None, count: int, runs: int) -> dict[str, dict]:
    """Pictures/s and processor milliseconds a picture of each way, the median turn's; its ratio, the turns' median."""
    split, pipeline = split_of(data, count), pipeline_of(runtime)
    times: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        few = split_of(data, 2 * BATCH + count % BATCH)  # batches of every size that comes
        output = _made(directory, "out")
        for name, run in ways(pipeline, few, copies(few, _made(directory, "few")), output).items():
            run()  # warm
            times[name] = []
        todo = ways(pipeline, split, copies(split, _made(directory, "all")), output)
        for _ in range(runs):
            for name, run in todo.items():
                start, used = time.perf_counter(), time.process_time()
                run()
                times[name].append((time.perf_counter() - start, time.process_time() - used))
        own = own_work(pipeline, todo, count)
    model = np.array([wall for wall, _ in times["the model alone"]])
    rows = {}
    for name, found in times.items():
        wall, cpu = np.array(found).T
        # The machine's own speed changes from minute to minute: a way is compared with the model in the same turn.
        ratios = np.sort(model / wall)
        rows[name] = {"rate": count / np.median(wall), "cpu_ms": 1000 * np.median(cpu) / count}
        rows[name] |= {"ratio": float(np.median(ratios)), "from": float(ratios[0]), "to": float(ratios[-1])}
        rows[name]["own_ms"] = own[name]
    return rows


def own_work(pipeline, todo, count: int) -> dict[str, float]:
    """Processor milliseconds a picture of each way where the model gives its last answer again, the least of three."""
    compute, answers = pipeline.runtime._run_all, {}

    def again(parts: list[np.ndarray]) -> list[np.ndarray]:
        for part in parts:
            if part.shape not in answers:
                (answers[part.shape],) = compute([part])
        return [answers[part.shape].copy() for part in parts]

    found = {}
    with mock.patch.object(pipeline.runtime, "_run_all", again):
        for name, run in todo.items():
            times = []
            for _ in range(4):  # the first makes the answers
                start = time.process_time()
                run()
                times.append(time.process_time() - start)
            found[name] = 1000 * min(times[1:]) / count
    return found


def _made(directory: str, name: str) -> Path:
    path = Path(directory, name)
    path.mkdir()
    return path


def memory(runtime: str, data: Path | None) -> dict[str, float]:
    """Peak MB of this process after FEW and after MANY pictures through `stream`, files written."""
    pipeline, split = pipeline_of(runtime), split_of(data, 50)
    peaks = {}
    with tempfile.TemporaryDirectory() as directory:

        def finish(picture, result):
            return len(result.save(directory, overwrite=True))

        for number, _ in enumerate(pipeline.stream(itertools.islice(itertools.cycle(split.images), MANY), finish), 1):
            if number in (FEW, MANY):
                peaks[str(number)] = _status("VmHWM")
    return peaks


def in_a_process(*arguments: object) -> dict:
    code = f"import json, pipeline; print('answer', json.dumps(pipeline.{arguments[0]}(*{arguments[1:]!r})))"
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    code = f"from pathlib import Path, PosixPath; {code}"
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line.startswith("answer ")]
    if not lines:
        raise RuntimeError(f"a process stopped: {done.stderr[-3000:]}")
    return json.loads(lines[-1].removeprefix("answer "))


def main() -> None:
    parser = command_line(__doc__, "pipeline", runs=7)
    parser.add_argument("--data", type=Path, help="a data set as `evaluate` reads it, such as CamVid")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--memory", action="store_true", help=f"also {MANY} pictures through each runtime")
    parser.add_argument("--runtimes", nargs="+", default=list(RUNTIMES), choices=RUNTIMES)
    arguments: argparse.Namespace = parser.parse_args()
    data = arguments.data.resolve() if arguments.data else None
    results: dict[str, dict] = {}
    for runtime in arguments.runtimes:
        results[runtime] = {"speed": in_a_process("speed", runtime, data, arguments.pictures, arguments.runs)}
        keep(arguments, results)
    for runtime in arguments.runtimes if arguments.memory else ():
        results[runtime]["memory"] = in_a_process("memory", runtime, data)
        keep(arguments, results)
    rows = []
    for name in results[arguments.runtimes[0]]["speed"]:
        cells = []
        for found in results.values():
            row = found["speed"][name]
            missed = ", missed" if row["ratio"] < AIMS.get(name, 0) else ""
            spread = f"{row['ratio']:.2f}x ({row['from']:.2f} to {row['to']:.2f}; aim {AIMS.get(name, 0):g}{missed})"
            ratio = f", {spread}" if name in AIMS else ""
            own = f" ({row['own_ms']:.0f} beside the model)" if name in AIMS else ""
            cells.append(f"{row['rate']:.1f}/s{ratio}, {row['cpu_ms']:.0f} ms{own}")
        rows.append([name, *cells])
    if arguments.memory:
        peaks = [found["memory"] for found in results.values()]
        cells = [f"{p[str(FEW)]:.0f} and {p[str(MANY)]:.0f} MB ({p[str(MANY)] / p[str(FEW)]:.3f})" for p in peaks]
        rows.append([f"peak after {FEW} and {MANY:,} pictures", *cells])
    text = f"{machine()}; {arguments.pictures} pictures, median of {arguments.runs} turns: pictures/s, how many times "
    text += "the model's in the same turn (lowest to highest turn), processor time a picture.\n\n"
    text += table(["", *results], rows)
    show(arguments, text)


if __name__ == "__main__":
    main()
