"""A video through `label_video` beside the model alone: frames a second of each, and their ratio.

    .venv/bin/python benchmarks/speed/video.py [--seconds 10] [--size 720 1280] [--rate 25] [--input 512 512]

The video is examples/china.jpg, moving. The model alone: the same frames' pixel values, in batches, nothing else. Both
run in turns on the same machine. `--input` is the size at which the model computes; without it its own, 360 x 480.
Minutes on two cores.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from timing import ROOT, alone


def make_video(path: Path, size: tuple[int, int], count: int, rate: int) -> None:
    import av

    height, width = size
    wide = np.asarray(Image.open(ROOT / "examples" / "china.jpg").resize((width + 2 * count, height)))
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate, options={"preset": "veryfast"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(count):
            pixels = np.ascontiguousarray(wide[:, 2 * number : 2 * number + width])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        file.mux(stream.encode(None))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--size", type=int, nargs=2, default=(720, 1280), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--input", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch-size", type=int, default=8)
    arguments = parser.parse_args()
    count = round(arguments.seconds * arguments.rate)

    from segformer_tf import SegmentationPipeline
    from segformer_tf.pipelines.video import label_video

    segment = SegmentationPipeline.from_pretrained(runtime="tensorflow")
    if arguments.input:
        height, width = arguments.input
        segment.processor.size = {"height": height, "width": width}
    size = segment.processor.size
    values = np.random.default_rng(0).normal(size=(arguments.batch_size, size["height"], size["width"], 3))
    values = values.astype(np.float32)
    segment.runtime(values)
    with tempfile.TemporaryDirectory() as directory:
        video = Path(directory, "moving.mp4")
        make_video(video, tuple(arguments.size), count, arguments.rate)
        rates: dict[str, list[float]] = {"model alone": [], "video": []}
        for _ in range(2):
            start = time.perf_counter()
            alone(segment.runtime, values, count)
            rates["model alone"].append(count / (time.perf_counter() - start))
            start = time.perf_counter()
            label_video(segment, video, Path(directory, "out"), batch_size=arguments.batch_size)
            rates["video"].append(count / (time.perf_counter() - start))
    said = {name: round(max(found), 2) for name, found in rates.items()}
    print(json.dumps({**said, "of the model's rate": round(said["video"] / said["model alone"], 3)}, indent=1))


if __name__ == "__main__":
    main()
