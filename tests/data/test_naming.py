import numpy as np
import pytest

from segformer_tf.data.naming import id_of, ids_to_model, made_up

UNNAMED = {0: "background", 1: "foreground"}
CRACK = {0: "background", 1: "crack"}
MODEL = {0: "sky", 1: "grass", 2: "box"}
DATA = {0: "Grass", 1: "crate", 2: "cloud", 3: "SKY"}


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
        (CRACK, {0: "concrete", 1: "Crack"}),
        ({0: "concrete", 1: "Crack"}, CRACK),
        ({0: "LABEL_0", 1: "LABEL_1"}, CRACK),
    ],
)
def test_names_that_nobody_gave_fit_any_other_two(model, data):
    labels = np.array([0, 1, 255])
    assert ids_to_model(model, data)(labels) is labels


@pytest.mark.parametrize(
    ("model", "data"),
    [({0: "background", 1: "leaf"}, CRACK), ({0: "sky", 1: "road", 2: "car"}, UNNAMED), (UNNAMED, {**CRACK, 2: "sky"})],
)
def test_other_names_and_other_numbers_of_classes_do_not_fit(model, data):
    with pytest.raises(ValueError, match=r"the data set.s classes are 0 background, .* and the model's are"):
        ids_to_model(model, data)


def test_a_class_that_the_map_does_not_name_is_the_one_of_its_name():
    ids_of = ids_to_model(MODEL, DATA, {"crate": "box", "cloud": None}, 99)
    assert ids_of(np.array([[0, 1, 2], [3, 255, -1]])).tolist() == [[1, 2, 99], [0, 99, 99]]
    assert ids_to_model(MODEL, {0: "box", 1: "sky"}, {})(np.array([0, 1])).tolist() == [2, 0]
    digits = {0: "2", 1: "sky"}  # a name is no id of the model's
    with pytest.raises(ValueError, match="map_classes does not name '2', and the model has no class of that name"):
        ids_to_model(MODEL, digits, {})


def test_classes_of_other_spelling_and_ids_are_the_same():
    given = {"GRASS": "Grass", "1": 2, 2: "0", "sky": "S_K-Y"}
    assert ids_to_model(MODEL, DATA, given)(np.arange(4)).tolist() == [1, 2, 0, 0]
    assert id_of("0", {0: "1", 1: "0"}) == 1 and id_of("a b", {0: "A_B", 1: "a b"}) == 1  # names come first
    assert id_of("7", {}) == 7 and id_of("99999", {}) is None and id_of(np.int64(1), MODEL) == 1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"crate": "box"}, "map_classes does not name 'cloud', and the model has no class of that name, only 0 sky"),
        ({}, "map_classes does not name 'crate', 'cloud', and the model has no class of that name"),
        ({"crate": 1, "1": 2, "cloud": None}, "names the class 'crate' twice, as 'crate' and '1', expected it once"),
        ({"crate": 1, "Crate": 2, "cloud": None}, "names the class 'crate' twice, as 'crate' and 'Crate'"),
        ({"crate": True, "cloud": None}, "map_classes names True, which is no class of the model; expected 0 sky"),
        ({True: "box", "cloud": None}, "map_classes names True, which is no class of the data set"),
        ({"crate": 7, "cloud": None}, "map_classes names 7, which is no class of the model"),
        ({"crate": "", "cloud": None}, "map_classes names '', which is no class of the model"),
        ({"door": "box"}, "map_classes names 'door', which is no class of the data set; expected 0 Grass"),
    ],
)
def test_a_map_that_cannot_be_is_told(given, told):
    with pytest.raises(ValueError, match=told):
        ids_to_model(MODEL, DATA, given)


def test_a_data_set_without_names_is_mapped_by_ids_all_of_them():
    ids_of = ids_to_model(MODEL, {}, {"0": "box", 4: None})
    assert ids_of(np.array([0, 4, 255])).tolist() == [2, 255, 255]
    with pytest.raises(ValueError, match="has the id 3, which map_classes does not name: name it, or null"):
        ids_of(np.array([0, 3, 255]))
    with pytest.raises(ValueError, match="has the id 9000, which is none of its classes: correct them"):
        ids_to_model(MODEL, DATA, {"crate": 0, "cloud": 0})(np.array(9000))
    with pytest.raises(ValueError, match=r"map_classes names 'sky', .* of the data set; expected an id, since"):
        ids_to_model(MODEL, {}, {"sky": "sky"})
