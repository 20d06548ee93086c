"""TFRecord shards, as `segformer-tf shard` writes them."""

import json
from pathlib import Path

from segformer_tf.data.layouts.layout import Layout
from segformer_tf.data.splits import Split

TREE = """DIR/train-00000-of-00004.tfrecord ...   (from `segformer-tf shard`)
DIR/train.json"""


def splits(directory: Path) -> list[str]:
    names = {file.name.rsplit("-", 3)[0] for file in directory.glob("*-of-*.tfrecord")}
    return sorted(name for name in names if (directory / f"{name}.json").is_file())


def read(directory: Path, split: str, seed: int) -> Split:
    del seed
    if not (directory / f"{split}.json").is_file():
        raise FileNotFoundError(
            f"{directory / f'{split}.json'} does not exist, expected it beside the shards of the split {split!r}; "
            f"{directory} has the splits {', '.join(splits(directory))}: write the shards of this one too."
        )
    about = json.loads((directory / f"{split}.json").read_text("utf-8"))
    files = [directory / name for name in about["shards"]]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist, but {split}.json lists it: write the shards again.")
    return Split(
        split,
        (),
        (),
        about["classes"],
        shards=files,
        shard_count=about["pictures"],
        layout=LAYOUT.name,
        value_range=about.get("value_range"),
    )


LAYOUT = Layout("shards", TREE, lambda directory: bool(splits(directory)), splits, read)
