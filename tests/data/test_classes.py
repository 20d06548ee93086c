from contextlib import nullcontext

import numpy as np
import pytest
from people_data import binary, f, text

from segformer_tf import SegformerConfig
from segformer_tf.data import inspect
from segformer_tf.data.classes import common, label_map, made_up
from segformer_tf.data.findings import differences

UNNAMED = {0: "background", 1: "foreground"}
CRACK = {0: "background", 1: "crack"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["LABEL_0", "LABEL_1"], True),
        (["label_0"], True),
        (["class 0", "class 1"], True),
        (["class 1", "class 0"], False),
        (["background", "foreground"], True),
        (["background", "LABEL_0"], True),
        (["foreground", "background"], False),
        (["background", "crack"], False),
        (["background", "foreground", "sky"], False),
    ],
)
def test_names_that_nobody_gave_are_known(names, expected):
    assert made_up(names) == expected


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (CRACK, UNNAMED),
        (UNNAMED, CRACK),
        ({0: "background", 1: "LABEL_0"}, CRACK),
        ({0: "LABEL_0", 1: "LABEL_1"}, CRACK),
    ],
)
def test_names_that_nobody_gave_fit_any_other_two(model, data):
    labels = np.array([0, 1, 255])
    assert label_map(model, data)(labels) is labels


@pytest.mark.parametrize(
    ("model", "data"),
    [({0: "background", 1: "leaf"}, CRACK), ({0: "sky", 1: "road", 2: "car"}, UNNAMED), (UNNAMED, {**CRACK, 2: "sky"})],
)
def test_other_names_and_other_numbers_of_classes_do_not_fit(model, data):
    with pytest.raises(ValueError, match=r"the data set.s classes are 0 background, .* and the model's are"):
        label_map(model, data)


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
        label_map(config.id2label, {0: "sea", 1: yours})


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
