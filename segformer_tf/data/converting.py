"""A data set of any layout -> pictures and PNGs of class ids in the first layout."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.data.files import names_below
from segformer_tf.data.inspection import inspect
from segformer_tf.data.pictures import ids_of, picture_of
from segformer_tf.data.splits import Split
from segformer_tf.images.drawing import label_image
from segformer_tf.images.palettes import palette_with
from segformer_tf.storage.switch import PREFIX, settle
from segformer_tf.storage.whole import staged

Change = Callable[[np.ndarray, int], np.ndarray]


def convert_masks(
    src: str | Path,
    dst: str | Path,
    *,
    binary: bool = False,
    seed: int = 0,
    splits: Sequence[str] | None = None,
    broken: str = "stop",
    value_range: tuple[float, float] | None = None,
    change: Change | None = None,
    say: Callable[[str], Any] = lambda sentence: None,
) -> dict[str, int]:
    """Writes `dst/images/<split>/`, `dst/annotations/<split>/NAME.png` and `dst/classes.json`; pictures of each split.

    Pictures keep their bytes, or with `change(pixels (H, W, 3) uint8, number in its split)` are written as PNG. `dst`
    appears whole or not at all. `say` is told of what was left out. `broken` and `value_range` are `inspect`'s.

    Raises:
        DataError: With everything that is wrong with the data set.
        FileExistsError: `dst` has files already.
        ValueError: The data set has no mask files.
    """
    src, dst = Path(src), Path(dst).resolve()  # "." and ".." have no name of their own
    if dst.is_dir():
        settle(dst)
    if dst.exists() and (not dst.is_dir() or any(not file.name.startswith(PREFIX) for file in dst.iterdir())):
        raise FileExistsError(f"{dst} exists already, expected none or an empty directory: choose another.")
    names = None if binary else splits  # what 255 means shows in all splits together
    found = inspect(src, splits=names, binary=binary, seed=seed, broken=broken, value_range=value_range).check()
    for sentence in found.warnings:
        if sentence.startswith("left out:"):
            say(f"warning: {sentence}")
    kept = {name: split for name, split in found.splits.items() if splits is None or name in splits}
    for split in kept.values():
        if not split.has_masks or split.shards:
            raise ValueError(f"the split {split.name!r} has no mask files, expected pictures with masks in files.")
    colours = _colours(found.classes)
    rows = [
        {"id": row["id"], "name": row["name"], **({"color": colour} if colour else {})}
        for row, colour in zip(found.classes, colours, strict=True)
    ]
    palette = np.array([colour or (0, 0, 0) for colour in colours], np.uint8)
    with staged(dst) as stage:
        for split in kept.values():
            _write(split, stage, palette, change)
        (stage / "classes.json").write_text(json.dumps(rows, indent=2) + "\n", "utf-8")
    return {name: len(split) for name, split in kept.items()}


def _colours(classes: Sequence[dict[str, Any]]) -> list[list[int] | None]:
    """The classes' own colours, and made-up ones that no other has; None where all that can be told apart are taken."""
    own = {row["id"]: row["color"] for row in classes if row.get("color")}
    palette = palette_with({row["id"]: row["name"] for row in classes}, own).tolist()
    shared = Counter(map(tuple, palette))
    return [colour if i in own or shared[tuple(colour)] == 1 else None for i, colour in enumerate(palette)]


def _write(split: Split, directory: Path, palette: np.ndarray, change: Change | None) -> None:
    names = names_below(split.images)
    for kind in ("images", "annotations"):
        for name in names:
            (directory / kind / split.name / name).parent.mkdir(parents=True, exist_ok=True)

    def write(number: int) -> None:
        image, name = split.images[number], names[number]
        target = directory / "images" / split.name / name
        if change is None:
            shutil.copyfile(image, f"{target}{image.suffix}")
        else:
            Image.fromarray(change(picture_of(split, number), number)).save(f"{target}.png")
        mask = directory / "annotations" / split.name / f"{name}.png"
        label_image(ids_of(split, number), palette).save(mask)

    with ThreadPoolExecutor() as threads:
        list(threads.map(write, range(len(split))))
