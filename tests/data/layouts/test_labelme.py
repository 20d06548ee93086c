import json

import numpy as np
import pytest
from people_data import HALF, labelme, png64, write

from segformer_tf.data import inspect, read_split
from segformer_tf.data.layouts import labelme as layout
from segformer_tf.data.pictures import ids_of


def test_background_is_the_class_of_that_name_wherever_it_stands(tmp_path):
    labelme(tmp_path)
    write(tmp_path, "classes.json", ["leaf", "Background"])
    file = tmp_path / "p0.json"
    content = json.loads(file.read_text())
    content["shapes"][0]["label"] = "background"
    file.write_text(json.dumps(content))
    found = inspect(tmp_path).check()
    (number,) = (i for i, image in enumerate(found.splits["train"].images) if image.stem == "p0")
    np.testing.assert_array_equal(ids_of(found.splits["train"], number), HALF)


def test_one_name_twice_in_labels_txt_is_refused(tmp_path):
    labelme(tmp_path)
    write(tmp_path, "labels.txt", "_background_\nleaf\nsea\nleaf\n")
    (error,) = inspect(tmp_path).errors
    assert "labels.txt has the name 'leaf' twice" in error


def test_a_polygon_of_two_points_is_left_out_with_a_note(tmp_path):
    labelme(tmp_path)
    _add(tmp_path, {"label": "leaf", "shape_type": "polygon", "points": [[0, 0], [9, 9]]})
    notes = inspect(tmp_path).check().notes
    assert any("p0.json: 1 polygons of fewer than 3 points have no area" in note for note in notes)


@pytest.mark.parametrize("listed", [False, True])
def test_labels_that_capitals_and_separators_alone_tell_apart_are_one_class(tmp_path, listed):
    labelme(tmp_path)
    if listed:
        write(tmp_path, "labels.txt", "leaf")
    _add(tmp_path, {"label": "_Leaf", "shape_type": "rectangle", "points": [[0, 0], [9, 9]]})
    found = inspect(tmp_path).check()
    assert list(found.id2label.values()) == ["background", "leaf" if listed else "_Leaf"]
    assert any("are one" in note for note in found.notes)


def _add(root, shape):
    file = root / "p0.json"
    content = json.loads(file.read_text())
    content["shapes"].append(shape)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("content", ['{"x": 1}', "[1]", "{", ""])
def test_other_tools_json_does_not_hide_the_annotations(tmp_path, content):
    labelme(tmp_path)
    (tmp_path / "a.json").mkdir()
    for name in ("aaa.json", "dataset.json"):
        write(tmp_path, name, content)
    found = inspect(tmp_path).check()
    assert found.layout == "labelme" and any("aaa.json, " in note and "left out" in note for note in found.notes)


@pytest.mark.parametrize("content", ["{", '{"shapes": [{"label": "leaf", ', '{"shapes": null}', '{"shapes": [NaN]}'])
def test_an_annotation_that_is_broken_is_named(tmp_path, content):
    labelme(tmp_path)
    write(tmp_path, "p0.json", content)
    (error,) = inspect(tmp_path).errors
    assert "p0.json" in error and ("is not JSON" in error or 'has no list "shapes"' in error)


def test_annotations_that_are_all_broken_are_named(tmp_path):
    labelme(tmp_path)
    for file in tmp_path.glob("*.json"):
        file.write_text(file.read_text()[:-10])
    errors = inspect(tmp_path).errors
    assert "p0.json is not JSON" in errors[0]


SQUARE = [[0, 0], [9, 0], [9, 9]]


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ({"points": SQUARE}, "p0.json: shape 1 has no label, expected the name of a class"),
        ({"points": SQUARE, "label": None}, "p0.json: shape 1 has no label"),
        ({"points": SQUARE, "label": ""}, "p0.json: shape 1 has no label"),
        (
            {"points": SQUARE, "label": "leaf", "shape_type": "ellipse"},
            "shape 1 (ellipse) cannot be drawn (expected polygon, rectangle, circle or mask)",
        ),
        (
            {"label": "leaf", "shape_type": "mask", "points": SQUARE},
            "shape 1 (mask) cannot be drawn (KeyError('mask'))",
        ),
    ],
)
def test_a_shape_that_cannot_be_drawn_is_told_with_its_number(tmp_path, shape, told):
    labelme(tmp_path)
    file = tmp_path / "p0.json"
    content = json.loads(file.read_text())
    content["shapes"].append(shape)
    file.write_text(json.dumps(content))
    found = inspect(tmp_path)
    assert told in found.errors[0] and len(found.errors) == 1
    assert list(found.id2label.values()) == ["background", "leaf"]


def test_sizes_may_be_texts_and_what_is_no_size_is_told(tmp_path):
    labelme(tmp_path, imageHeight="40", imageWidth="60")
    inspect(tmp_path).check()
    labelme(tmp_path, imageHeight="x", count=2)
    assert any("p0.json has imageHeight 'x' and imageWidth 60, expected pixels" in e for e in inspect(tmp_path).errors)


@pytest.mark.parametrize("label", ["__ignore__", "_ignore_", "ignore"])
def test_what_is_to_be_ignored_is_not_labelled(tmp_path, label):
    labelme(tmp_path)
    for file in tmp_path.glob("*.json"):
        content = json.loads(file.read_text())
        content["shapes"].append({"label": label, "shape_type": "rectangle", "points": [[0, 0], [10, 40]]})
        file.write_text(json.dumps(content))
    found = inspect(tmp_path).check()
    expected = HALF.copy()
    expected[:, :10] = 255
    np.testing.assert_array_equal(ids_of(found.splits["train"], 0), expected)
    assert list(found.id2label.values()) == ["background", "leaf"]


def test_a_suffix_in_capitals_is_one(tmp_path):
    labelme(tmp_path)
    for file in tmp_path.glob("*.json"):
        file.rename(file.with_suffix(".JSON"))
    assert sum(map(len, inspect(tmp_path).check().splits.values())) == 10


@pytest.mark.parametrize("place", ["{}", "images/{}"])
def test_splits_may_have_folders_beside_images_or_in_it(tmp_path, place):
    (tmp_path / "images").mkdir()
    for split, count in (("train", 3), ("val", 2)):
        (tmp_path / place.format(split)).mkdir(parents=True)
        labelme(tmp_path / place.format(split), count=count)
    assert {split: len(one) for split, one in inspect(tmp_path).check().splits.items()} == {"train": 3, "val": 2}
    with pytest.raises(FileNotFoundError, match=r"test is not a directory, .* has the splits train, val: add it"):
        read_split(tmp_path, "test")


def test_all_may_lie_in_images(tmp_path):
    labelme(tmp_path / "images")
    assert sum(map(len, inspect(tmp_path).check().splits.values())) == 10


def test_labelme_s_own_list_of_labels_begins_with_what_is_ignored(tmp_path):
    labelme(tmp_path)
    write(tmp_path, "labels.txt", "__ignore__\n_background_\nleaf\n")
    assert list(inspect(tmp_path).check().id2label.values()) == ["background", "leaf"]


def test_background_is_background_however_it_is_spelt(tmp_path):
    labelme(tmp_path)
    _add(tmp_path, {"label": "BACKGROUND", "shape_type": "rectangle", "points": [[0, 0], [9, 9]]})
    found = inspect(tmp_path).check()
    assert list(found.id2label.values()) == ["background", "leaf"] and not any("alike" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["point", "line", "linestrip", "points"])
def test_shapes_without_an_area_are_left_out_with_a_note(tmp_path, kind):
    labelme(tmp_path)
    _add(tmp_path, {"label": "leaf", "shape_type": kind, "points": [[0, 0], [9, 9], [9, 0]]})
    found = inspect(tmp_path).check()
    assert any("p0.json: 1 points or lines have no area" in note for note in found.notes)
    np.testing.assert_array_equal(ids_of(found.splits["train"], 0), HALF)


def test_json_that_is_too_large_to_be_an_annotation_is_not_read_whole(tmp_path, monkeypatch):
    labelme(tmp_path)
    monkeypatch.setattr(layout, "MAX_ANNOTATIONS", 50)
    monkeypatch.setattr(type(tmp_path), "read_bytes", lambda _: pytest.fail("it was read"))
    assert not layout.found(tmp_path)


def test_a_bitmap_lies_where_its_first_point_says(tmp_path):
    bits = np.ones((5, 8), bool)
    labelme(
        tmp_path,
        {"label": "leaf", "shape_type": "mask", "points": [[20, 10], [27, 14]], "mask": png64(bits)},
    )
    expected = np.zeros_like(HALF)
    expected[10:15, 20:28] = 1
    np.testing.assert_array_equal(ids_of(inspect(tmp_path).check().splits["train"], 0), expected)
