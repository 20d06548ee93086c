"""How long a person waits: `segformer-tf --help`, and one 480x360 picture, from cold starts.

    .venv-core/bin/python benchmarks/speed/start.py [--runs 5] [--python .venv/bin/python]

With the bundled model, and where `--python` has OpenVINO with its exported file, which loads no TensorFlow. Wall-clock
and processor seconds of a fresh process, median, least and most. Ends with status 1 above the limits. `make
.venv-core/.made` makes the environment.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]


def seconds(python, arguments, runs):
    """Wall-clock and processor seconds of each run."""
    times = []
    for _ in range(runs + 1):
        start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([python, "-m", "segformer_tf.cli", *arguments], check=True, capture_output=True, cwd=ROOT)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        times.append((time.perf_counter() - start, processor))
    return times[1:]  # the first one fills the file cache


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--python", default=sys.executable, help="of the environment with OpenVINO")
    arguments = parser.parse_args()
    late = False
    with tempfile.TemporaryDirectory() as directory:
        picture, exported = Path(directory) / "picture.jpg", Path(directory) / "exported"
        Image.open(ROOT / "examples" / "china.jpg").resize((480, 360)).save(picture)
        segment = ["segment", str(picture), "--output", directory]
        rows = [
            ("--help", sys.executable, ["--help"], 0.5),
            ("segment", sys.executable, segment, 2.5),
        ]
        export = ["export", "segformer-b0-camvid", str(exported), "--format", "openvino"]
        export += ["--size", "360", "480", "--batch", "1"]
        made = subprocess.run([arguments.python, "-m", "segformer_tf.cli", *export], capture_output=True, cwd=ROOT)
        if made.returncode:
            print("segment with an OpenVINO file: not measured, --python has no OpenVINO")
        else:
            model = ["--model", str(exported / "openvino_model.xml")]
            rows.append(("segment with an OpenVINO file", arguments.python, [*segment, *model], 1.5))
        for name, python, command, limit in rows:
            times, used = zip(*seconds(python, command, arguments.runs), strict=True)
            median = statistics.median(times)
            spread = f"{min(times):.2f} to {max(times):.2f}"
            print(f"{name}: {median:.2f} s ({spread}), processor {statistics.median(used):.2f} s, limit {limit} s")
            late = late or median > limit
    sys.exit(late)


if __name__ == "__main__":
    main()
