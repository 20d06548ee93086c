import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from people_data import binary, f, folders, text

from segformer_tf import SegformerConfig
from segformer_tf.data import inspect
from segformer_tf.data.classes import checked, common, numbered
from segformer_tf.data.findings import differences
from segformer_tf.data.naming import ids_to_model

UNNAMED = {0: "background", 1: "foreground"}


@pytest.mark.parametrize("names", [{0: "background", 1: "crack"}, {0: "crack"}])
def test_binary_masks_without_names_fit_a_model_whose_foreground_has_one(tmp_path, names):
    f(mask=binary())(tmp_path)
    config = SegformerConfig(num_labels=len(names), id2label=names)
    found = inspect(tmp_path, config, binary=True).check(config)
    assert found.id2label == UNNAMED
    text("classes.json", ["background", "leaf"])(tmp_path)
    if len(names) == 2:
        with pytest.raises(ValueError, match="are not those of the model"):
            inspect(tmp_path, config, binary=True).check(config)


SAME = [("traffic light", "TrafficLight"), ("traffic_light", "traffic - light"), ("café", "cafe\u0301"), ("ß", "SS")]
OTHER = [("C", "C++"), ("कि", "की"), ("a", "b")]


@pytest.mark.parametrize(("mine", "yours"), [*SAME, *OTHER])
def test_one_rule_says_whether_two_names_are_one(mine, yours):
    config = SegformerConfig(id2label={0: "sea", 1: mine})
    rows = [{"id": 0, "name": "sea"}, {"id": 1, "name": yours}]
    same = (mine, yours) in SAME
    assert (differences(rows, config) == []) == same
    assert (common({"train": rows, "val": [rows[0], {"id": 1, "name": mine}]})[1] == []) == same
    with nullcontext() if same else pytest.raises(ValueError, match="the data set's classes are"):
        ids_to_model(config.id2label, {0: "sea", 1: yours})


def test_a_split_that_lacks_classes_can_be_scored(tmp_path):
    f(mask=binary())(tmp_path)
    text("classes.json", ["sea", "land", "ice"])(tmp_path)
    config = SegformerConfig(id2label={0: "sea", 1: "land", 2: "ice"})
    assert inspect(tmp_path, config, splits=("val",)).check(config).unlabelled == {"val": 2400}
    with pytest.raises(ValueError, match="one class is left"):
        inspect(tmp_path, config).check(config)
    (tmp_path / "classes.json").unlink()
    with pytest.raises(ValueError, match="one class is left"):
        inspect(tmp_path, splits=("val",)).check()
    two = SegformerConfig(id2label={0: "sea", 1: "land"})  # 255 is more likely the second class
    with pytest.raises(ValueError, match="one class is left"):
        inspect(tmp_path, two, splits=("val",)).check(two)


@pytest.mark.parametrize(
    ("names", "alike"), [(("Car", "car"), True), (("a b", "a_b"), True), (("a 1-1", "a 11"), False)]
)
def test_names_that_capitals_or_separators_alone_tell_apart_are_refused(names, alike):
    rows = numbered(names)
    if not alike:
        assert checked(rows, Path("x")) == rows
        return
    with pytest.raises(ValueError, match="which only capitals or separators tell apart"):
        checked(rows, Path("x"))


@pytest.mark.parametrize("name", ["n255", "Unlabelled"])
def test_a_class_of_the_id_that_means_unlabelled_is_refused_unless_it_is_that(tmp_path, name):
    folders(tmp_path)
    text("classes.json", [name if i == 255 else f"n{i}" for i in range(300)])(tmp_path)
    errors = inspect(tmp_path).errors
    assert any("the class 'n255'" in error and "has the id 255" in error for error in errors) == (name == "n255")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("ignore", True, "for what is not labelled masks have 255"),
        ("ignoreInEval", 1, "masks in colours a row of that id"),
        ("evaluate", False, "learned and scored as it stands"),
        ("train_id", 255, 'the values of masks are the "id"s'),
        ("value", 128, 'the values of masks are the "id"s'),
        ("colour", [1, 2, 3], r'"color": \[red, green, blue\]'),
        ("weight", 2.5, "class_weight_power"),
        ("merge_into", "wall", "joined in the masks"),
    ],
)
def test_a_key_that_looks_as_if_it_changed_something_is_told(tmp_path, key, value, told):
    folders(tmp_path)
    text("classes.json", [{"id": 0, "name": "wall"}, {"id": 1, "name": "leaf", key: value}])(tmp_path)
    found = inspect(tmp_path)
    (note,) = (note for note in found.notes if "is not read" in note)
    assert not found.errors
    assert re.search(rf"""classes\.json says "{key}" of 'leaf', which is not read: .*{told}""", note)


@pytest.mark.parametrize(
    "extra",
    [
        {"supercategory": "plant", "isthing": 1, "shape": "polygon", "hotkey": "a", "attributes": [], "visible": False},
        {"ignore": False, "evaluate": True, "trainId": 1, "weight": 1, "alias": None},
    ],
)
def test_other_tools_keys_without_a_meaning_here_are_no_matter(tmp_path, extra):
    folders(tmp_path)
    rows = [{"id": 0, "name": "wall"}, {"id": 1, "name": "leaf", **extra}, {"id": 255, "name": "void", "ignore": True}]
    text("classes.json", rows)(tmp_path)
    found = inspect(tmp_path)
    assert not found.errors and not found.notes and len(found.classes) == 2


@pytest.mark.parametrize("name", ["classes.txt", "class_dict.csv", "Classes.json", "labels.txt"])
def test_a_list_of_classes_in_another_form_is_told(tmp_path, name):
    folders(tmp_path)
    text(name, "wall\nleaf\n")(tmp_path)
    (note,) = inspect(tmp_path).notes
    assert name in note and "not read, classes are those of classes.json" in note
    text("classes.json", ["wall", "leaf"])(tmp_path)
    assert not inspect(tmp_path).notes


def test_a_class_that_is_named_as_none_is_told_unless_its_id_says_so(tmp_path):
    folders(tmp_path)
    text("classes.json", ["Void", "leaf"])(tmp_path)
    (note,) = inspect(tmp_path).notes
    assert "the class 'Void' (id 0) is learned and scored as others are" in note and "the id 255" in note
    text("classes.json", [{"id": i, "name": name} for i, name in ((0, "wall"), (1, "leaf"), (255, "void"))])(tmp_path)
    assert not inspect(tmp_path).notes
