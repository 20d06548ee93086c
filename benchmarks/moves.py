"""How often `segment("china.jpg")` moves from one file of the package to another: what a reader must follow.

    python benchmarks/moves.py

A move is a call into another file of `segformer_tf` than the one Python was in, or the return from it. A pipeline's
first picture goes through the model layer by layer; the second traces its graph, layer by layer too; later ones only
run that: the picture's own way. Threads would not be seen: one picture must not need any.
"""

import sys
from pathlib import Path

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
    segment = SegmentationPipeline.from_pretrained(runtime="tensorflow")
    for what in ("first call, layer by layer", "second call, which traces the graph", "later call"):
        print(f"{len(moves(lambda: segment(PICTURE))):5} moves between files, calls and returns: {what}")


if __name__ == "__main__":
    main()
