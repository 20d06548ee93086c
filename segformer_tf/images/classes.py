"""The classes of a label map: their names, how many pixels each has, which of them are not painted."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from segformer_tf.images.arrays import to_array
from segformer_tf.storage.keywords import spell_checked

COUNTED_AT_ONCE = 2**20  # ids
BACKGROUND = ("background",)
Names = Mapping[Any, str] | Sequence[str] | None


@spell_checked
def class_table(labels: np.ndarray, id2label: Names = None, scores: np.ndarray | None = None) -> list[dict[str, Any]]:
    """Class ids (H, W) -> [{"id", "name", "pixels", "share", "score"}], largest first.

    `share` is of all pixels, 0 to 1; `score` the mean of `scores` (H, W) over the class's pixels, None without them.
    Ids that `id2label` does not have, such as 255, are left out.
    """
    labels = as_ids(labels)
    names = class_names(id2label)
    ids, counts = counted(labels.ravel())
    rows = [
        {"id": i, "name": names.get(i, f"class {i}"), "pixels": n, "share": n / labels.size, "score": None}
        for i, n in zip(ids.tolist(), counts.tolist(), strict=True)
        if i in names or (id2label is None and i != 255)
    ]
    for row in rows if scores is not None else ():
        row["score"] = float(scores[labels == row["id"]].mean(dtype=np.float64))
    return sorted(rows, key=lambda row: -row["pixels"])


def counted(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids (N,) that there are, rising, and how often each is there. Counting is much faster than sorting."""
    top = int(flat.max()) if flat.size and flat.min() >= 0 else -1
    if not 0 <= top <= 65535:
        return np.unique(flat, return_counts=True)
    counts = np.zeros(max(top + 1, 256), np.int64)
    for start in range(0, flat.size, COUNTED_AT_ONCE):
        some = flat[start : start + COUNTED_AT_ONCE]
        if top <= 255:  # Pillow's histogram takes half of `bincount`'s time
            counts += Image.fromarray(some.astype(np.uint8)[np.newaxis]).histogram()
        else:
            counts += np.bincount(some, minlength=len(counts))
    ids = np.flatnonzero(counts)
    return ids, counts[ids]


def class_names(id2label: Names) -> dict[int, str]:
    """The names by class id, of a mapping (whose keys may be texts, as in JSON) or of a list."""
    items = id2label.items() if isinstance(id2label, Mapping) else enumerate(id2label or [])
    return {int(key): str(name) for key, name in items}


def plain(name: str) -> str:
    """What two spellings of one name share: neither capitals nor space, _ and - between words tell classes apart."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFC", name).casefold())


def find_class(name: str, names: Mapping[int, str]) -> int | None:
    """The id of the class of that name by `plain`, of two that are alike the one spelt the same; None for no class."""
    alike = [i for i, own in names.items() if plain(own) == plain(name)]
    return min(alike, key=lambda i: names[i] != name, default=None)


def class_id(name: str, names: Names) -> int:
    """As `find_class`; ValueError where there is none, whose message says the nearest, or all of them."""
    known = class_names(names)
    found = find_class(str(name), known)
    if found is None:
        near = difflib.get_close_matches(str(name), known.values(), 1)
        wanted = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(known.values())}."
        raise ValueError(f"The model has no class {name!r}; {wanted}")
    return found


def skipped(skip: str | Sequence[str] | None, names: Names) -> tuple[str, ...]:
    """The classes that are not painted, as `names` spells them, whichever spelling `skip` has (`plain`).

    Raises ValueError for one that is no class but "background".
    """
    if not isinstance(skip, Iterable | None):
        raise ValueError(f"skip is {skip!r}; expected names of classes in a list.")
    known = class_names(names)
    chosen = (skip,) if isinstance(skip, str) else tuple(skip or ())
    there = [name for name in chosen if name not in BACKGROUND or find_class(name, known) is not None]
    return tuple(known[class_id(name, known)] for name in there)


def as_ids(labels: np.ndarray) -> np.ndarray:
    """The labels as an array; ValueError where they are not integers (H, W)."""
    labels = to_array(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}; expected integers (H, W).")
    return labels
