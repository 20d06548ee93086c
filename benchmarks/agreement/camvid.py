"""The bundled model here and in transformers' PyTorch class, on CamVid's validation pictures.

    .venv-parity/bin/python benchmarks/agreement/camvid.py --data ../shared/data/camvid [--images 10]

Both get the same pixel values, whole pictures at 480x360; each resizes its own logits (bilinear) and takes the best
class. Prints the share of pixels with the same label and both mIoU (11 classes, unlabelled pixels left out); ends with
status 1 if fewer than 99.99 % of the pixels agree or the two mIoU differ by more than 0.01 points.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import SegformerForSemanticSegmentation

from segformer_tf import SegmentationPipeline

WEIGHTS = Path(__file__).parents[2] / "weights" / "segformer-b0-camvid"


def count(matrix, labels, predicted, classes):
    valid = labels < classes
    pairs = classes * labels[valid].astype(int) + predicted[valid]
    matrix += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def intersection_over_union(matrix):
    hit = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - hit
    return hit[union > 0] / union[union > 0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data" / "camvid")
    parser.add_argument("--images", type=int, help="only so many, evenly spread")
    arguments = parser.parse_args()
    files = sorted((arguments.data / "images" / "val").glob("*.jpg"))
    if not files:
        raise SystemExit(f"{arguments.data} has no images/val/*.jpg; give the CamVid directory with --data.")
    if arguments.images:
        files = files[:: max(len(files) // arguments.images, 1)][: arguments.images]

    pipeline = SegmentationPipeline.from_pretrained("segformer-b0-camvid")
    reference = SegformerForSemanticSegmentation.from_pretrained(WEIGHTS).eval()
    classes = len(pipeline.id2label)
    same = pixels = 0
    ours, theirs = (np.zeros((classes, classes), np.int64) for _ in range(2))
    for file in files:
        labels = np.asarray(Image.open(arguments.data / "annotations" / "val" / f"{file.stem}.png"))
        found = pipeline(file).labels
        values = pipeline.processor(Image.open(file), return_tensors="np", data_format="channels_first").pixel_values
        with torch.inference_mode():
            logits = reference(torch.from_numpy(values)).logits
            resized = torch.nn.functional.interpolate(logits, size=labels.shape, mode="bilinear", align_corners=False)
        expected = resized.argmax(1)[0].numpy()
        same += int((found == expected).sum())
        pixels += labels.size
        count(ours, labels, found, classes)
        count(theirs, labels, expected, classes)
    result = {
        "images": len(files),
        "same_label": same / pixels,
        "mIoU": float(intersection_over_union(ours).mean()),
        "mIoU_transformers": float(intersection_over_union(theirs).mean()),
        "IoU": dict(zip(pipeline.id2label.values(), intersection_over_union(ours).round(4).tolist(), strict=False)),
    }
    print(json.dumps(result, indent=2))
    agree = result["same_label"] >= 0.9999 and abs(result["mIoU"] - result["mIoU_transformers"]) <= 1e-4
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
