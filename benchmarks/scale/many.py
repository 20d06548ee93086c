"""`segment-many` on many pictures, killed again and again: nothing twice, nothing missing, every mask the pipeline's.

    python benchmarks/scale/many.py PICTURES --pictures 2000 --kills 20

The pictures of the directory PICTURES get other names until there are so many. The job is started in a session of its
own, killed whole (kill -9) at a random moment of its first `--moment` seconds, and started again, so often; then it is
left to end. It must have one row a picture in order, one mask a row, and no other file; each mask must hold the
pixels that `SegmentationPipeline` gives. Memory is that of the job's processes (PSS, added up) each second of the last
run, the half from a quarter of its time on. Exit 1 where one of these does not hold, or memory grows by over 5 %.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the workers have it


def family_mb(parent: int) -> float:
    """Memory of a process and all that it has started, shared pages counted once."""
    parents, found = {}, {parent}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(entry)] = int(Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    for _ in range(4):
        found |= {child for child, above in parents.items() if above in found}
    total = 0
    for process in found:
        try:
            lines = Path("/proc", str(process), "smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total / 1024


def expected_masks(sources: list[Path], model: str) -> list:
    from segformer_tf import SegmentationPipeline

    segment = SegmentationPipeline.from_pretrained(model)
    return [segment(source).labels for source in sources]


def faults(output: Path, count: int, expected: list) -> list[str]:
    """What is not as it must be; picture `number` is picture `number % len(expected)` of the directory."""
    import numpy as np
    import pyarrow.parquet as pq
    from PIL import Image

    rows = [row for file in sorted((output / "index").iterdir()) for row in pq.read_table(file).to_pylist()]
    numbers = [row["number"] for row in rows]
    found = [] if numbers == list(range(count)) else [f"{len(numbers)} rows, {len(set(numbers))} pictures of {count}"]
    found += [f"{row['input']}: {row['error']}" for row in rows if row["status"] != "done"]
    masks = {row["mask"] for row in rows}
    there = {str(file.relative_to(output)) for file in output.rglob("*") if file.is_file() and "masks" in file.parts}
    if masks != there or len(masks) != count:
        found.append(f"{len(masks)} masks are listed, {len(there)} lie there, {len(masks ^ there)} are not both")
    hidden = [str(path) for path in output.rglob(".*")]
    found += [f"left behind: {name}" for name in hidden]
    for row in rows:
        with Image.open(output / row["mask"]) as mask:
            if not np.array_equal(np.asarray(mask), expected[row["number"] % len(expected)]):
                found.append(f"{row['mask']} is not the pipeline's mask")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("place", type=Path)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--distinct", type=int, default=20, help="pictures of PLACE that are taken, at most")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--moment", type=float, default=20.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default="segformer-b0-camvid")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, start = random.Random(options.seed), time.monotonic()
    sources = sorted(file for file in options.place.iterdir() if file.suffix in (".png", ".jpg"))[: options.distinct]
    expected = expected_masks(sources, options.model)
    with tempfile.TemporaryDirectory() as place:
        output, pictures = Path(place, "out"), Path(place, "in")
        pictures.mkdir()
        for number in range(options.pictures):
            source = sources[number % len(sources)].resolve()
            (pictures / f"{number:06}{source.suffix}").symlink_to(source)
        command = [sys.executable, "-m", "segformer_tf.cli", "segment-many", str(pictures), str(output), "--json"]
        command += ["--model", options.model, "--workers", str(options.workers), "--pictures-per-shard", "50"]
        killed = 0
        for number in range(options.kills):
            process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
            time.sleep(draw.uniform(0, options.moment))
            ended = process.poll() is not None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            killed += not ended
            shards = len(list((output / "index").glob("*.parquet")))
            masks = sum(1 for _ in (output / "masks").rglob("*.png"))
            print(f"kill {number + 1}: {masks} masks, {shards} shards of the index", flush=True)
        process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, text=True)
        memory = []
        while process.poll() is None:
            memory.append(family_mb(process.pid))
            time.sleep(1)
        said = json.loads(process.communicate()[0]) if not process.returncode else {}
        bad = faults(output, options.pictures, expected) if said else [f"it ended with {process.returncode}"]
    middle = memory[len(memory) // 4 : len(memory) * 9 // 10]
    halves = [statistics.median(half) for half in (middle[: len(middle) // 2], middle[len(middle) // 2 :]) if half]
    growth = halves[-1] / halves[0] - 1
    print(f"{options.pictures} pictures ({len(sources)} distinct), {options.workers} workers, {killed} kills")
    print(f"the last run: {said.get('pictures')} pictures, {said.get('skipped')} done before, {said.get('seconds')} s")
    print(f"memory: median {halves[-1]:.0f} MB, highest {max(memory):.0f} MB, second half over first {growth:+.1%}")
    print(f"faults: {len(bad)}; {time.monotonic() - start:.0f} s in all", *bad[:10], sep="\n")
    return int(bool(bad) or growth > 0.05)


if __name__ == "__main__":
    sys.exit(main())
