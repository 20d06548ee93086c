"""The bundled model in ONNX Runtime, OpenVINO and LiteRT on CamVid pictures: which share of the pixels keeps its label?

make runtimes IMAGES=10       # needs the extra [export]; exit 1 below 99.9 % (float32) or 99 % (float16, int8)
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from segformer_tf import SegformerImageProcessor, TFSegformerForSemanticSegmentation
from segformer_tf.export.arguments import WEIGHTS
from segformer_tf.export.export import export
from segformer_tf.export.formats import FILES
from segformer_tf.images import open_image, post_process_semantic_segmentation

FORMATS, LEAST = ("onnx", "openvino", "litert"), {"float32": 0.999, "float16": 0.99, "int8": 0.99}


def labels(logits: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(post_process_semantic_segmentation(logits, [size], data_format="channels_last")[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--model", default="segformer-b0-camvid")
    arguments = parser.parse_args()
    files = sorted((arguments.data / "images" / "val").glob("*.jpg"))[: arguments.images]
    if not files:
        raise SystemExit(f"{arguments.data} has no images/val/*.jpg; give the CamVid directory with --data.")
    model = TFSegformerForSemanticSegmentation.from_pretrained(arguments.model, data_format="channels_last")
    processor = SegformerImageProcessor.from_pretrained(arguments.model)
    pictures = [np.asarray(open_image(file)) for file in files]
    sizes = [picture.shape[:2] for picture in pictures]
    pixels = [
        processor(picture, return_tensors="np", data_format="channels_last")["pixel_values"] for picture in pictures
    ]
    expected = [labels(np.asarray(model(x)["logits"]), size) for x, size in zip(pixels, sizes, strict=True)]
    low = []
    for name in FORMATS:
        for weights in WEIGHTS[name]:
            with tempfile.TemporaryDirectory() as directory:
                path = export(model, directory, name, processor=processor, weights=weights).path
                run = FILES[name].load(path)
                found = [labels(run(x), size) for x, size in zip(pixels, sizes, strict=True)]
                del run
            same = float(np.mean([(a == b).mean() for a, b in zip(found, expected, strict=True)]))
            print(
                f"{name}, {weights} weights: {len(files)} pictures, {100 * same:.4f} % of the pixels "
                "have the same label"
            )
            low += [] if same >= LEAST[weights] else [f"{name} {weights}"]
    if low:
        raise SystemExit(f"below the limit: {', '.join(low)}")


if __name__ == "__main__":
    main()
