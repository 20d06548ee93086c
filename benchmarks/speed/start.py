"""How long a person waits: `segformer-tf --help`, and one 480x360 picture with the bundled model, from cold starts.

    .venv-core/bin/python benchmarks/speed/start.py [--runs 5]      # `make .venv-core/.made` makes it

Wall-clock seconds of a fresh process, median, least and most. Ends with status 1 above 0.5 s or 6 s.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[2]


def seconds(arguments, runs):
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "segformer_tf.cli", *arguments], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return times[1:]  # the first one fills the file cache


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    late = False
    with tempfile.TemporaryDirectory() as directory:
        picture = Path(directory) / "picture.jpg"
        Image.open(ROOT / "examples" / "china.jpg").resize((480, 360)).save(picture)
        for arguments, limit in ((["--help"], 0.5), (["segment", str(picture), "--output", directory], 6.0)):
            times = seconds(arguments, runs)
            median = statistics.median(times)
            print(f"{arguments[0]:8} {median:.2f} s ({min(times):.2f} to {max(times):.2f}), limit {limit} s")
            late = late or median > limit
    sys.exit(late)


if __name__ == "__main__":
    main()
