"""How often `segment("china.jpg")` moves from one file of the package to another: what a reader must follow.

    python benchmarks/moves.py

A move is a call into another file of `segformer_tf` than the one Python was in, or the return from it. The first call
traces the model's graph, layer by layer; later ones only run it. So tracing is also counted by itself, and after it the
picture's own way. Threads would not be seen: one picture must not need any.
"""

import sys
from pathlib import Path

import numpy as np

import segformer_tf
from segformer_tf import SegmentationPipeline

PACKAGE = str(Path(segformer_tf.__file__).parent)
PICTURE = Path(__file__).parents[1] / "examples" / "china.jpg"


def moves(run) -> list[tuple[str, str]]:
    """(from, to) of every move between files of the package while `run()` runs; "" is outside of it."""
    found, files, frames = [], [""], []

    def follow(frame, event, argument):
        if event == "call":
            file = frame.f_code.co_filename
            if file.startswith(PACKAGE) and file != files[-1]:
                found.append((files[-1], file))
                files.append(file)
                frames.append(frame)
        elif event == "return" and frames and frame is frames[-1]:
            frames.pop()
            left = files.pop()
            found.append((left, files[-1]))

    sys.setprofile(follow)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def main() -> None:
    """Prints the counts."""
    segment, traced = SegmentationPipeline.from_pretrained(), SegmentationPipeline.from_pretrained()
    pixels = np.zeros((1, 512, 512, 3), np.float32)
    counted = {
        "first call, the graph's tracing with it": lambda: segment(PICTURE),
        "later call": lambda: segment(PICTURE),
        "tracing alone": lambda: traced.runtime(pixels),
        "first call after that": lambda: traced(PICTURE),
    }
    for what, run in counted.items():
        print(f"{len(moves(run)):5} moves between files, calls and returns: {what}")


if __name__ == "__main__":
    main()
