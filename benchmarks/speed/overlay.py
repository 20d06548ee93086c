"""The overlay's cost beside the model's: processor seconds of each for one picture, and their ratio.

    .venv/bin/python benchmarks/speed/overlay.py [--picture FILE] [--repeat 20]

Processor seconds, not the clock's: other programs on the machine do not change them. A minute.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]


def processor_seconds(run: Callable[[], object], repeat: int) -> float:
    run()
    start = time.process_time()
    for _ in range(repeat):
        run()
    return (time.process_time() - start) / repeat


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", type=Path, default=ROOT / "examples" / "china.jpg")
    parser.add_argument("--repeat", type=int, default=20)
    arguments = parser.parse_args()

    from segformer_tf import SegmentationPipeline

    segment = SegmentationPipeline.from_pretrained(runtime="tensorflow")
    result = segment(arguments.picture)
    model = processor_seconds(lambda: segment(arguments.picture), arguments.repeat)
    ways = {"overlay": {"legend": False}, "with legend": {}, "with legend inside and outlines": {"legend": "inside"}}
    ways["with legend inside and outlines"]["outline"] = True
    said = {"size": list(result.labels.shape), "ms to label": round(model * 1000, 1)}
    for name, options in ways.items():
        seconds = processor_seconds(lambda options=options: result.overlay(**options), arguments.repeat)
        said[name] = {"ms": round(seconds * 1000, 1), "of labelling": round(seconds / model, 3)}
    print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
