"""Work on pictures beside the model, ready to be timed: `python picture_peers.py PEER TASK`, as `timing.serve` answers.

Tasks: `preprocess` (24 decoded pictures to pixel_values), `input` (96 files with their masks, decoded and, here,
augmented, to training batches of 8), `postprocess` (logits of 150 classes to a 1024x2048 label map).
"""

import os
import sys
from pathlib import Path

import numpy as np
from timing import OUT, THREADS, serve

DATA = Path(os.environ.get("CAMVID", "../shared/data/camvid"))
PICTURES, FILES, BATCH = 24, 96, 8  # files enough for the rate of a run, not of its beginning
MAP, FULL, LABELS = (128, 256), (1024, 2048), 150


def files() -> list[tuple[Path, Path]]:
    names = sorted((DATA / "images" / "train").glob("*.jpg"))[:FILES]
    return [(name, DATA / "annotations" / "train" / f"{name.stem}.png") for name in names]


def decoded() -> list[np.ndarray]:
    from PIL import Image

    return [np.asarray(Image.open(image).convert("RGB")) for image, _ in files()[:PICTURES]]


def logits() -> np.ndarray:
    """Smooth, as a model's are: a class leads over an area."""
    random = np.random.default_rng(0)
    coarse = random.normal(size=(1, LABELS, MAP[0] // 8, MAP[1] // 8)).astype("float32")
    return coarse.repeat(8, 2).repeat(8, 3) + 0.1 * random.normal(size=(1, LABELS, *MAP)).astype("float32")


def save(task: str, name: str, result) -> None:
    if task != "input":
        np.save(OUT / f"{task}-{name}.npy", np.asarray(result))


# This package


def segformer_tf(task: str):
    from segformer_tf.images import SegformerImageProcessor, post_process_semantic_segmentation
    from segformer_tf.training import Augmentation, read_split, training_data

    processor = SegformerImageProcessor()
    if task == "preprocess":
        images = decoded()
        return lambda: processor(images, return_tensors="np", data_format="channels_first")["pixel_values"]
    if task == "postprocess":
        values = logits()
        return lambda: post_process_semantic_segmentation(values, [FULL], data_format="channels_first")[0]
    # Begun anew at every run: batches made ahead between two runs would not be timed.
    batches = training_data(read_split(DATA, "train"), Augmentation(), BATCH).take(FILES // BATCH)
    return lambda: sum(len(labels) for _, labels in batches)


# transformers: its PIL backend, which it falls back to without torchvision. The other one needs CUDA's libraries: PyPI
# has torchvision for torch's CUDA build alone.


def transformers(task: str):
    import torch
    from PIL import Image
    from transformers import SegformerImageProcessorPil
    from transformers.modeling_outputs import SemanticSegmenterOutput

    torch.set_num_threads(THREADS)
    processor = SegformerImageProcessorPil()
    if task == "preprocess":
        images = decoded()
        return lambda: processor(images, return_tensors="pt")["pixel_values"].numpy()
    if task == "postprocess":
        output = SemanticSegmenterOutput(logits=torch.from_numpy(logits()))
        return lambda: processor.post_process_semantic_segmentation(output, [FULL])[0].numpy()

    def batches():
        for start in range(0, FILES, BATCH):
            pairs = [tuple(Image.open(file) for file in pair) for pair in files()[start : start + BATCH]]
            images, masks = ([*part] for part in zip(*pairs, strict=True))
            processor([image.convert("RGB") for image in images], masks, return_tensors="pt")

    return batches


if __name__ == "__main__":
    peer, what = sys.argv[1:]
    serve(lambda: globals()[peer](what), lambda result: save(what, peer, result))
