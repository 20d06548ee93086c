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


def test_the_spelling_of_a_class_that_is_not_painted_does_not_matter():
    names = {0: "Background", 1: "traffic light", 2: "car", 3: "Car"}
    assert classes.skipped([" Traffic_Light", "Car", "CAR"], names) == ("traffic light", "Car", "car")
    assert classes.skipped(classes.BACKGROUND, names) == ("Background",)
    assert classes.skipped(classes.BACKGROUND, {0: "road"}) == ()
    with pytest.raises(ValueError, match=r"The model has no class 'traffic'; did you mean 'traffic light'\?"):
        classes.skipped("traffic", names)
    with pytest.raises(ValueError, match="The model has no class 2; expected one of"):
        classes.skipped([2], names)


def test_the_largest_comes_first_with_the_mean_of_its_scores():
    scores = np.array([[0.5, 1.0, 0.0], [0.0, 0.75, 0.25]], np.float16)
    table = class_table(np.array([[2, 2, 0], [0, 2, 2]]), scores=scores)
    assert [(row["id"], row["pixels"], row["score"]) for row in table] == [(2, 4, 0.625), (0, 2, 0.0)]


def test_one_letter_in_two_ways_of_writing_is_one_letter():
    assert classes.find_class("Cafe\u0301-bar", {0: "road", 1: "caf\u00e9 bar"}) == 1


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 3)), np.zeros((2, 3), bool), np.zeros((1, 2, 3), int), np.zeros(3, int)]
)
def test_a_map_of_labels_holds_integers_of_height_and_width(labels):
    with pytest.raises(ValueError, match=r"labels are .* of shape .*; expected integers \(H, W\)"):
        class_table(labels)


def test_what_is_not_painted_is_a_name_or_a_list_of_them():
    assert classes.skipped("car", NAMES) == ("car",) and classes.skipped(None, NAMES) == ()
    with pytest.raises(ValueError, match="skip is 2; expected names of classes in a list"):
        classes.skipped(2, NAMES)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint32, np.int64])
@pytest.mark.parametrize("ids", [(0,), (0, 255), (3, 254, 255), (0, 256), (255, 65535), (7, 65536), (-1, 4), ()])
def test_ids_are_counted_as_sorting_counts_them(monkeypatch, dtype, ids):
    monkeypatch.setattr(classes, "COUNTED_AT_ONCE", 7)
    limits = np.iinfo(dtype)
    known = np.array([value for value in ids if limits.min <= value <= limits.max], dtype)
    flat = np.random.default_rng(0).choice(known, 40) if known.size else known
    for found, expected in zip(classes.counted(flat), np.unique(flat, return_counts=True), strict=True):
        np.testing.assert_array_equal(found, expected)
