"""A small data set on disk: coloured rectangles on a background, 3 classes, 48 x 72 pixels, and a tiny model for it."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from reference import SMALL

COLOURS = np.array([[40, 90, 160], [200, 60, 40], [60, 190, 70]], np.uint8)
CLASSES = [{"id": i, "name": name, "color": COLOURS[i].tolist()} for i, name in enumerate(("wall", "box", "leaf"))]


def picture_and_mask(seed: int, size=(48, 72)) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) uint8 and (H, W) uint8 with classes 0 to 2; the first row is not labelled."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(size, np.uint8)
    for label in (1, 2):
        top, left = rng.integers(0, size[0] - 20), rng.integers(0, size[1] - 30)
        mask[top : top + 20, left : left + 30] = label
    image = np.clip(COLOURS[mask] + rng.normal(0, 8, (*size, 3)), 0, 255).astype(np.uint8)
    mask[0] = 255
    return image, mask


def write_split(root, split: str, count: int, first_seed: int = 0) -> None:
    for kind in ("images", "annotations"):
        (root / kind / split).mkdir(parents=True)
    for i in range(count):
        image, mask = picture_and_mask(first_seed + i)
        Image.fromarray(image).save(root / "images" / split / f"p{i}.jpg", quality=95)
        Image.fromarray(mask).save(root / "annotations" / split / f"p{i}.png")


def write_drives(root) -> None:
    """Two pictures a split, of the drives a and b."""
    for split in ("train", "val"):
        write_split(root, split, 2)
        for number, name in enumerate((f"a_{split}", f"b_{split}")):
            for kind, suffix in (("images", "jpg"), ("annotations", "png")):
                folder = root / kind / split
                (folder / f"p{number}.{suffix}").rename(folder / f"{name}.{suffix}")
    (root / "classes.json").write_text(json.dumps(CLASSES))


def tiny_network(dtype="float32", **config):
    import keras

    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation

    keras.utils.set_random_seed(0)
    names = {row["id"]: row["name"] for row in CLASSES}
    values = {**{key: value for key, value in SMALL.items() if key != "num_labels"}, "id2label": names}
    return TFSegformerForSemanticSegmentation(
        SegformerConfig(**{**values, **config}), data_format="channels_last", dtype=dtype
    )


@functools.cache
def small_checkpoint() -> Path:
    """A directory with a model of two stages and five classes, whose labels depend on the picture; no processor."""
    from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation

    directory = Path(tempfile.mkdtemp(), "small")
    atexit.register(shutil.rmtree, directory.parent, ignore_errors=True)
    names = {label: f"class {label}" for label in range(SMALL["num_labels"])}
    config = SegformerConfig(**{key: value for key, value in SMALL.items() if key != "num_labels"}, id2label=names)
    model, numbers = TFSegformerForSemanticSegmentation(config), np.random.default_rng(1)
    for variable in model.weights:
        values = numbers.normal(0, 0.5, variable.shape)
        positive = variable.path.endswith(("gamma", "moving_variance"))
        variable.assign(np.abs(values) + 0.5 if positive else values)
    model.save_pretrained(directory)
    return directory


def as_shards(data, tmp_path):
    """The training split of a directory, as shards of three pictures."""
    from segformer_tf.training import read_split, write_shards

    write_shards(read_split(data), tmp_path / "shards", pictures_per_shard=3)
    return read_split(tmp_path / "shards")


def own_dataset():
    """Five pairs as a person's own `tf.data.Dataset`."""
    import tensorflow as tf

    pairs = [picture_and_mask(i) for i in range(5)]
    return tf.data.Dataset.from_tensor_slices(tuple(np.stack(x) for x in zip(*pairs, strict=True)))


def source_of(kind: str, data, tmp_path):
    """The training pictures as "files", as "shards", or as a person's "own" data set (of other pictures)."""
    from segformer_tf.training import read_split

    if kind == "own":
        return own_dataset()
    return as_shards(data, tmp_path) if kind == "shards" else read_split(data)


def assert_same(found, expected):
    """Pairs of arrays, value by value."""
    for (x, y), (x2, y2) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
