"""TFRecord shards: a split in a few large files, which network disks and GPUs read faster than many small ones."""

import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from segformer_tf.data.pictures import ids_of
from segformer_tf.data.splits import Split
from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.whole import staged
from segformer_tf.training.reading import decode_picture

SHUFFLE_WINDOW = 512  # records that are shuffled among each other
FEATURES = {name: tf.io.FixedLenFeature((), tf.string) for name in ("image", "mask", "name")}


@spell_checked
def write_shards(split: Split, directory: str | Path, pictures_per_shard: int = 500) -> list[Path]:
    """Writes the split as TFRecord files that `read_split(directory, split.name)` finds; returns them.

    Pictures keep their bytes; masks become 8- or 16-bit grey PNGs of the final ids: labels are reduced for good.

    Raises:
        OSError: A file cannot be read or written; earlier shards of the split are left as they were.
        ValueError: The split is not one of pictures and masks in files, or shards are to hold less than one picture.
    """
    if pictures_per_shard < 1:
        raise ValueError(f"pictures_per_shard is {pictures_per_shard}, expected at least 1: enlarge it.")
    if not split.has_masks or split.shards:
        raise ValueError(
            f"the split {split.name!r} has no mask files, expected pictures with masks: shards hold those."
        )
    directory = Path(directory)
    count = -(-len(split) // pictures_per_shard)
    names = [f"{split.name}-{i:05}-of-{count:05}.tfrecord" for i in range(count)]
    about = {
        "pictures": len(split),
        "classes": list(split.classes),
        "shards": names,
        "value_range": split.value_range,
        "turn": split.turn,
    }

    def earlier() -> list[str]:
        of_split = re.compile(re.escape(split.name) + r"-\d{5}-of-\d{5}\.tfrecord")
        return [file.name for file in directory.glob("*.tfrecord") if of_split.fullmatch(file.name)]

    with staged(directory, earlier) as stage:
        for i, name in enumerate(names):
            with tf.io.TFRecordWriter(str(stage / name)) as writer:
                for number in range(i * pictures_per_shard, min((i + 1) * pictures_per_shard, len(split))):
                    writer.write(_example(split.images[number], ids_of(split, number)))
        (stage / f"{split.name}.json").write_text(json.dumps(about, indent=2) + "\n", "utf-8")
    return [directory / name for name in names]


def _example(image: Path, ids: np.ndarray) -> bytes:
    png = io.BytesIO()
    Image.fromarray(ids.astype(np.uint8 if ids.max(initial=0) < 256 else np.uint16)).save(png, "png")
    values = {"image": image.read_bytes(), "mask": png.getvalue(), "name": image.name.encode()}
    features = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for key, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def decode(record: tf.Tensor, split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    """One record of a split -> (H, W, 3) uint8 and (H, W) int32."""
    values = tf.io.parse_single_example(record, FEATURES)
    wide = tf.strings.substr(values["mask"], 24, 1) == b"\x10"  # the bit depth in the PNG's header
    ids = tf.cond(
        wide,
        lambda: tf.cast(tf.io.decode_png(values["mask"], 1, dtype=tf.uint16), tf.int32),
        lambda: tf.cast(tf.io.decode_png(values["mask"], 1), tf.int32),
    )
    return decode_picture(values["image"], split.value_range, split.turn), tf.ensure_shape(ids[..., 0], (None, None))


def elements(split: Split) -> tf.data.Dataset:
    """All pictures in their order: (H, W, 3) uint8 and (H, W) int32."""
    records = tf.data.TFRecordDataset([str(file) for file in split.shards])
    return records.map(lambda record: decode(record, split), num_parallel_calls=tf.data.AUTOTUNE)


def shuffled_records(files: Sequence[Path], seed: int) -> tf.data.Dataset:
    """Records for ever, each once an epoch: the shards in a new order, their records within a window."""
    names = tf.constant([str(file) for file in files])

    def epoch(number):
        key = tf.stack([tf.constant(seed, tf.int64), number])
        order = tf.argsort(tf.random.stateless_uniform((len(files),), key))
        windows = tf.data.TFRecordDataset(tf.gather(names, order)).batch(SHUFFLE_WINDOW)
        return windows.map(lambda records: _shuffled(records, key + 1)).unbatch()

    return tf.data.Dataset.range(np.iinfo(np.int64).max).flat_map(epoch)


def _shuffled(records: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    return tf.gather(records, tf.argsort(tf.random.stateless_uniform(tf.shape(records), key)))
