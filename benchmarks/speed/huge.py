"""One huge picture in windows: seconds and peak memory of `segment` with b0 of 150 classes, from file to files.

    .venv/bin/python benchmarks/speed/huge.py [--size 9000 12000] [--window 512] [--blend gaussian] [--computed 1]
    .venv/bin/python benchmarks/speed/huge.py --size 1024 2048 --beside 3     # beside its windows alone; aim 1.1

The picture is examples/china.jpg, enlarged, as a tiled TIFF with a georeference (read window by window) or a JPEG
(decoded whole). Takes minutes: 192 windows of 1024 x 1024. The weights are random; the time does not depend on them,
but for the labels, which change more often from pixel to pixel than a trained model's, and so take longer.
"""

import argparse
import json
import math
import multiprocessing
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from timing import ROOT, alone


def peak() -> float:
    """The process's largest resident set so far, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def make_picture(path: Path, height: int, width: int) -> None:
    """In bands, so that making it does not take more memory than reading it."""
    example = Image.open(ROOT / "examples" / "china.jpg")
    large = np.asarray(example.resize((width, height), Image.Resampling.BICUBIC))
    if path.suffix == ".jpg":
        Image.fromarray(large).save(path, quality=92)
        return
    import rasterio
    from rasterio.transform import Affine

    profile = {"driver": "GTiff", "height": height, "width": width, "count": 3, "dtype": "uint8", "tiled": True}
    place = {"crs": "EPSG:32633", "transform": Affine(0.1, 0, 500_000, 0, -0.1, 5_400_000)}
    with rasterio.open(path, "w", compress="deflate", photometric="RGB", **profile, **place) as file:
        file.write(np.moveaxis(large, -1, 0))


def answer_again(runtime, computed: int) -> None:
    """Lets the model answer some batches only."""
    run, answers = runtime._run, []

    def again(pixel_values: np.ndarray) -> np.ndarray:
        if len(answers) < computed or answers[-1].shape[0] != len(pixel_values):
            answers.append(run(pixel_values))
        return answers[-1].copy()

    runtime._run = again


def beside(segment, picture: Path, window: tuple[int, int], how: dict, turns: int, batch_size: int) -> str:
    """Seconds of the whole way from file to labels, and of the model on as many windows; medians of turns."""
    from segformer_tf.pipelines.windows import spans

    with Image.open(picture) as opened:
        sides = opened.height, opened.width
    count = math.prod(len(list(spans(side, part, part * 3 // 4))) for side, part in zip(sides, window, strict=True))
    values = np.random.default_rng(0).normal(size=(batch_size, *window, 3)).astype(np.float32)
    whole, model = [], []
    for _ in range(turns):
        start = time.perf_counter()
        next(iter(segment.stream([picture], batch_size=batch_size, **how)))
        labelled = time.perf_counter()
        alone(segment.runtime, values, count)
        whole.append(labelled - start)
        model.append(time.perf_counter() - labelled)
    ratio = np.median(whole) / np.median(model)
    return f"{count} windows: {np.median(whole):.2f} s, alone {np.median(model):.2f} s, {ratio:.2f}x"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs=2, default=(9000, 12000), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--blend", default="mean")
    parser.add_argument("--window", type=int, default=1024, help="side of the windows; they overlap by a quarter")
    parser.add_argument("--format", default="tif", choices=("tif", "jpg"))
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument(
        "--computed", type=int, help="batches that the model computes; later ones get the last answer: for memory only"
    )
    parser.add_argument("--model", help="a trained one, such as segformer-b0-camvid, in place of random weights")
    parser.add_argument("--beside", type=int, help="also time the model alone on the windows, in so many turns")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    with tempfile.TemporaryDirectory() as directory:
        picture = Path(directory, f"huge.{arguments.format}")
        making = multiprocessing.get_context("spawn").Process(target=make_picture, args=(picture, *arguments.size))
        making.start()  # in a process of its own, whose memory is not counted
        making.join()

        from segformer_tf import SegformerConfig, SegmentationPipeline, TFSegformerForSemanticSegmentation

        if arguments.model:
            segment = SegmentationPipeline.from_pretrained(arguments.model, runtime="tensorflow")
        else:
            config = SegformerConfig(num_labels=150)
            segment = SegmentationPipeline(TFSegformerForSemanticSegmentation(config, data_format="channels_last"))
        if arguments.computed:
            answer_again(segment.runtime, arguments.computed)
        loaded, start = peak(), time.perf_counter()
        window = (arguments.window, arguments.window)
        how = {"mode": "slide", "window": window, "blend": arguments.blend}
        result = next(iter(segment.stream([picture], batch_size=arguments.batch_size, **how)))
        labelled, found = time.perf_counter() - start, peak()
        result.save(directory, ("labels", "overlay", "json", *(["tiff"] if arguments.format == "tif" else [])))
        saved = time.perf_counter() - start - labelled
        if arguments.beside:
            print(beside(segment, picture, window, how, arguments.beside, arguments.batch_size))
        said = {
            "size": list(arguments.size), "format": arguments.format, "window": arguments.window,
            "blend": arguments.blend, "batch size": arguments.batch_size,
            "seconds to label": round(labelled, 1), "seconds to save": round(saved, 1),
            "MB with the model loaded": round(loaded), "MB at most until labelled": round(found),
            "MB at most": round(peak()),
        }  # fmt: skip
        print(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
