"""The classes of a label map."""

import numpy as np
import pytest

from segformer_tf.images import class_table, classes

LABELS = np.array([[0, 0, 0, 1], [0, 2, 255, 1]], np.uint8)
NAMES = {0: "road", 1: "tree", 2: "car"}


def test_the_table_is_largest_first_and_leaves_out_ignored_pixels():
    expected = [
        {"id": 0, "name": "road", "pixels": 4, "share": 0.5, "score": None},
        {"id": 1, "name": "tree", "pixels": 2, "share": 0.25, "score": None},
        {"id": 2, "name": "car", "pixels": 1, "share": 0.125, "score": None},
    ]
    assert class_table(LABELS, NAMES) == expected
    assert class_table(LABELS, {str(key): name for key, name in NAMES.items()}) == expected
    assert [row["name"] for row in class_table(LABELS)] == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("ids", [(0,), (0, 255), (3, 254, 255), (0, 256), (255, 65535), (7, 65536), (-1, 4), ()])
def test_ids_are_counted_as_sorting_counts_them(monkeypatch, dtype, ids):
    monkeypatch.setattr(classes, "COUNTED_AT_ONCE", 7)
    limits = np.iinfo(dtype)
    known = np.array([value for value in ids if limits.min <= value <= limits.max], dtype)
    flat = np.random.default_rng(0).choice(known, 40) if known.size else known
    for found, expected in zip(classes.counted(flat), np.unique(flat, return_counts=True), strict=True):
        np.testing.assert_array_equal(found, expected)
