"""TFRecord shards, as `segformer-tf shard` writes them."""

from pathlib import Path

from segformer_tf.data.splits import Layout, Split
from segformer_tf.storage.read import read_json

TREE = """DIR/train-00000-of-00004.tfrecord ...   (from `segformer-tf shard`)
DIR/train.json"""


def splits(directory: Path) -> list[str]:
    names = {file.name.rsplit("-", 3)[0] for file in directory.glob("*-of-*.tfrecord")}
    return sorted(name for name in names if (directory / f"{name}.json").is_file())


def read(directory: Path, split: str, seed: int) -> Split:
    del seed
    listing = directory / f"{split}.json"
    if not listing.is_file():
        raise FileNotFoundError(
            f"{listing} does not exist, expected it beside the shards of the split {split!r}; "
            f"{directory} has the splits {', '.join(splits(directory))}: write the shards of this one too."
        )
    about = read_json(listing, "what `segformer-tf shard` writes beside its shards")
    if missing := [key for key in ("pictures", "classes", "shards") if key not in about]:
        raise ValueError(
            f"{listing} has no {missing[0]!r}, expected what `segformer-tf shard` writes: write the shards again."
        )
    if not (
        isinstance(about["pictures"], int)
        and 0 <= about["pictures"] < 2**48
        and all(isinstance(about[key], list) for key in ("classes", "shards"))
        and all(isinstance(name, str) and Path(name).name == name for name in about["shards"])
        and all(isinstance(row, dict) and {"id", "name"} <= set(row) for row in about["classes"])
    ):
        raise ValueError(
            f"{listing} has values of other kinds, expected what `segformer-tf shard` writes, with the names of files "
            "beside it: write the shards again."
        )
    files = [directory / name for name in about["shards"]]
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist, but {listing.name} lists it: write the shards again.")
    return Split(
        split,
        (),
        (),
        about["classes"],
        shards=files,
        shard_count=about["pictures"],
        layout=LAYOUT.name,
        value_range=about.get("value_range"),
        turn=about.get("turn") is not False,
    )


LAYOUT = Layout("shards", TREE, lambda directory: bool(splits(directory)), splits, read)
