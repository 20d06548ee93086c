"""How often `segment("china.jpg")` moves from one file of the package to another: what a reader must follow.

    python benchmarks/moves.py

The first call traces the graph, the second only runs it. Both are counted: each time Python calls into or returns to
another file of `segformer_tf` than the one it was in. Threads would not be seen, so one picture must not need any.
"""

import sys
from pathlib import Path

import segformer_tf
from segformer_tf import SegmentationPipeline

PACKAGE = str(Path(segformer_tf.__file__).parent)
PICTURE = Path(__file__).parents[1] / "examples" / "china.jpg"


def moves(run) -> list[tuple[str, str]]:
    """(from, to) of every move between files of the package while `run()` runs."""
    found, stack = [], [""]

    def follow(frame, event, argument):
        if event == "call":
            file = frame.f_code.co_filename
            if file.startswith(PACKAGE) and file != stack[-1]:
                found.append((stack[-1], file))
                stack.append(file)
                frames.append(frame)
        elif event == "return" and frames and frame is frames[-1]:
            frames.pop()
            stack.pop()

    frames: list = []
    sys.setprofile(follow)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def main() -> None:
    """Prints both counts."""
    segment = SegmentationPipeline.from_pretrained()
    for call in ("first", "second"):
        print(f"{call} call: {len(moves(lambda: segment(PICTURE)))} moves between files")


if __name__ == "__main__":
    main()
