"""What serving costs: the bundled model in `segformer-tf serve` under several clients, beside the model's own batches.

    python benchmarks/speed/serving.py                   # about two minutes
    python benchmarks/speed/serving.py --seconds 300 --write   # the soak: exit 1 on any error, 5 % more memory or less
                                                               # rate than --share of the model's; --write: to the docs

The reference is the same signature of the same directory in batches of 8, run in a process of its own before and after
the load, while nothing else runs; so a machine that slows down in between shows. Memory is the server process's
resident set, after a quarter of the time and at the end.
"""

import argparse
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from timing import write_option

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "serving.md"
MARKS = ("<!-- figures of benchmarks/speed/serving.py -->", "<!-- end of figures -->")
BATCH = 8


def photographs() -> list[bytes]:
    """The example photograph, whole and in parts, as JPEG files of five sizes."""
    from PIL import Image

    whole = Image.open(ROOT / "examples" / "china.jpg").convert("RGB")
    boxes = [(0, 0, 640, 427), (0, 0, 480, 360), (100, 50, 612, 427), (160, 60, 640, 420), (0, 100, 500, 400)]
    files = []
    for box in boxes:
        file = io.BytesIO()
        whole.crop(box).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def reference(directory: str) -> None:
    """Prints pictures a second: files in batches of one and of 8, and pixels to logits in batches of 8."""
    import numpy as np

    from segformer_tf.serving.servable import Servable

    servable, files = Servable(directory), photographs()
    size = json.loads(Path(directory, "assets.extra/model.json").read_text())["processor"]["size"]
    many = np.array([files[i % len(files)] for i in range(BATCH)], object)
    work = {
        "files_1": ("", {"image_bytes": many[:1]}, 1),
        "files_8": ("", {"image_bytes": many}, BATCH),
        "logits_8": ("logits", {"pixel_values": np.zeros((BATCH, size["height"], size["width"], 3), "float32")}, BATCH),
    }
    rates: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(9):
        for name, (signature, inputs, pictures) in work.items():
            start = time.perf_counter()
            servable.predict(signature, inputs)
            if turn:
                rates[name].append(pictures / (time.perf_counter() - start))
    print(json.dumps({name: statistics.median(values) for name, values in rates.items()}))


def measure_reference(directory: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--reference", str(directory)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def serve_and_load(directory: Path, clients: int, seconds: float) -> dict:
    """Starts the server on free ports, lets the clients at it, and stops it."""
    sys.path.insert(0, str(ROOT / "examples" / "serving"))
    import load
    import local_server

    with local_server.running(directory, "--max-batch-size", str(BATCH)) as server:
        address, pictures = server.grpc_address, photographs()
        load.run(address, server.name, pictures, clients, min(seconds / 4, 20))  # sees every batch size
        memory = [resident_mb(server.process.pid)]
        sampling = threading.Event()

        def sample() -> None:
            while not sampling.wait(seconds / 20):
                memory.append(resident_mb(server.process.pid))

        thread = threading.Thread(target=sample)
        thread.start()
        result = load.run(address, server.name, pictures, clients, seconds)
        sampling.set()
        thread.join()
    quarter = memory[len(memory) // 4]
    return {**result, "memory_mb": round(memory[-1]), "memory_growth": round(memory[-1] / quarter - 1, 4)}


def table(result: dict) -> str:
    rows = [
        ("model alone, pixels to logits, batches of 8", f"{result['logits_8']:.1f} pictures/s"),
        ("served signature, files to masks, batches of 8", f"{result['files_8']:.1f} pictures/s"),
        ("served signature, one file at a time", f"{result['files_1']:.1f} pictures/s"),
        (
            f"`segformer-tf serve`, {result['clients']} clients, {result['seconds']:.0f} s",
            f"{result['pictures_per_second']:.1f} pictures/s ({result['share']:.0%} of the signature's batches)",
        ),
        (
            "latency, median / 95 % / 99 %",
            f"{result['median_ms']:.0f} / {result['p95_ms']:.0f} / {result['p99_ms']:.0f} ms",
        ),
        ("errors in", f"{result['errors']} of {result['requests']} requests"),
        ("server's memory, and its growth over the run", f"{result['memory_mb']} MB, {result['memory_growth']:+.1%}"),
    ]
    head = f"{platform.machine()}, {os.cpu_count()} cores, {result['model']}, JPEG files of about 0.2 megapixels:"
    return "\n".join([head, "", "| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="segformer-b0-camvid")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--share", type=float, default=0.9, help="least share of the signature's own batch rate")
    write_option(parser, DOCS, MARKS)
    parser.add_argument("--reference", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reference:
        return reference(arguments.reference)
    with tempfile.TemporaryDirectory() as parent:
        directory = Path(parent, "segformer")
        command = [sys.executable, "-m", "segformer_tf.cli", "export", arguments.model, str(directory)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        before = measure_reference(directory / "1")
        result = serve_and_load(directory, arguments.clients, arguments.seconds)
        after = measure_reference(directory / "1")
    own = {name: (before[name] + after[name]) / 2 for name in before}
    share = result["pictures_per_second"] / own["files_8"]
    result |= {**own, "before": before, "after": after, "share": share}
    result |= {"model": arguments.model, "seconds": arguments.seconds}
    print(json.dumps(result, indent=1))
    arguments.write(table(result))
    if result["errors"] or result["memory_growth"] > 0.05 or share < arguments.share:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
