"""The fine-tuning flow of the old keras.io tutorial for transformers' TFSegformer, with the two lines that change.

    python examples/keras_io_finetuning.py --data DIR [--epochs 2] [--limit 32] [--side 128]

DIR holds `images/train/NAME.(jpg|png)`, `annotations/train/NAME.png` (class ids, 255 = no class), the same under `val`,
and `classes.json`. Prints the loss of every epoch and fails if it does not fall.
"""

import argparse
import json
from pathlib import Path

import keras
import tensorflow as tf

from segformer_tf import TFSegformerForSemanticSegmentation  # changed: was `from transformers import ...`

keras.config.set_image_data_format("channels_first")  # added

MEAN = tf.constant([0.485, 0.456, 0.406])
STD = tf.constant([0.229, 0.224, 0.225])


def pairs(directory: Path, split: str, limit: int) -> tuple[list[str], list[str]]:
    masks = sorted((directory / "annotations" / split).glob("*.png"))[:limit]
    images = [next((directory / "images" / split).glob(f"{mask.stem}.*")) for mask in masks]
    return [str(path) for path in images], [str(path) for path in masks]


def dataset(directory: Path, split: str, limit: int, side: int, batch_size: int, void: int) -> tf.data.Dataset:
    def read(image_path, mask_path):
        image = tf.io.decode_image(tf.io.read_file(image_path), 3, expand_animations=False)
        mask = tf.io.decode_png(tf.io.read_file(mask_path), 1)
        image = tf.image.resize(image, (side, side)) / 255.0
        mask = tf.image.resize(mask, (side, side), method="nearest")[..., 0]
        image = tf.transpose((image - MEAN) / STD, (2, 0, 1))  # (3, side, side)
        mask = tf.where(mask == 255, void, tf.cast(mask, tf.int32))
        return {"pixel_values": tf.ensure_shape(image, (3, side, side)), "labels": tf.ensure_shape(mask, (side, side))}

    data = tf.data.Dataset.from_tensor_slices(pairs(directory, split, limit)).map(read).cache()
    if split == "train":
        data = data.shuffle(limit, seed=0)
    return data.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def main(arguments: list[str] | None = None) -> list[float]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", default="segformer-b0-camvid")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--limit", type=int, default=32)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--learning-rate", type=float, default=0.00006)
    options = parser.parse_args(arguments)

    classes = json.loads((options.data / "classes.json").read_text("utf-8"))
    id2label = {entry["id"]: entry["name"] for entry in classes if entry["id"] != 255}
    void = len(id2label)  # the pixels of no class are one more class, as in the tutorial
    id2label[void] = "no class"
    label2id = {label: id for id, label in id2label.items()}

    sizes = (options.limit, options.side, options.batch_size, void)
    train, val = dataset(options.data, "train", *sizes), dataset(options.data, "val", *sizes)

    model = TFSegformerForSemanticSegmentation.from_pretrained(
        options.checkpoint,
        num_labels=len(id2label),
        id2label=id2label,
        label2id=label2id,
        ignore_mismatched_sizes=True,
    )
    optimizer = tf.keras.optimizers.Adam(learning_rate=options.learning_rate)
    model.compile(optimizer=optimizer)
    history = model.fit(train, validation_data=val, epochs=options.epochs, shuffle=False, verbose=2)

    losses = history.history["loss"]
    print("loss of every epoch:", ", ".join(f"{loss:.4f}" for loss in losses))
    if losses[-1] >= losses[0]:
        raise SystemExit("The loss did not fall.")
    return losses


if __name__ == "__main__":
    main()
