import numpy as np
import pytest
from people_data import HALF, write, yolo

from segformer_tf.data import inspect
from segformer_tf.data.pictures import ids_of

NAMES = {
    "names:\n  1: dog\n  0: cat\n": ["cat", "dog"],
    "names: {1: dog, 0: cat}": ["cat", "dog"],
    "names: {'1': dog, \"0\": 'cat, big'}": ["cat, big", "dog"],
    "names:\n  '0': cat\n  \"1\": dog": ["cat", "dog"],
    "names:\n  0: cat\n  2: dog": ["cat", "class 1", "dog"],
    "names: {2: dog}": ["class 0", "class 1", "dog"],
    'names: [  # all\n  cat, "dog\'s",\n]\nnc: 2': ["cat", "dog's"],
    "names: [dog's, cat's, it's]": ["dog's", "cat's", "it's"],
    "names: ['it''s', '0: x']": ["it's", "0: x"],
    "names:\n- 'lane #1'  # the left one\n- \"b # c\"": ["lane #1", "b # c"],
    "names: [dog's # it's\n, 'a #b', c#d]": ["dog's", "a #b", "c#d"],
    "names:\n- cat\n- 'a: b'\n\nnc: 2": ["cat", "a: b"],
    "names: [no, on, 1e3, 007, 1.50, ~, 2026-11-28, 0x1F, 1_000]": [
        *("no", "on", "1e3", "007", "1.50", "~", "2026-11-28", "0x1F", "1_000"),
    ],
    'names: ["caf\\xE9", "\\u72AC"]': ["café", "犬"],
    "names:\n- a long name that is written\n  on two lines\n- b": ["a long name that is written on two lines", "b"],
    "'names':\n- a": ["a"],
    "# Ultralytics 🚀\nnames: !!seq\n- &first 犬\n- b": ["犬", "b"],
    "names:\r\n  0: cat\r\n  1: dog\r\n": ["cat", "dog"],
    "names:\t# all\n\t0:\tcat\n\t1: dog\t\nnc:\t2": ["cat", "dog"],
}


@pytest.mark.parametrize("names", NAMES)
def test_a_name_belongs_to_its_key(tmp_path, names):
    yolo(tmp_path, names=names)
    assert list(inspect(tmp_path).id2label.values()) == ["background", *NAMES[names]]


def test_the_pixels_follow_the_keys(tmp_path):
    yolo(tmp_path, line="1 0.5 0 1 0 1 1 0.5 1", names="names: {1: leaf, 0: sea}")
    found = inspect(tmp_path).check()
    assert found.id2label[2] == "leaf"
    np.testing.assert_array_equal(ids_of(found.splits["train"], 0), HALF * 2)


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ("names: {0: cat, 0: dog}", "names the class 0, expected each of 0 to 65533 at most once"),
        ("names: {0: cat, 99999999999: dog}", "names the class 99999999999"),
        ("names:\n  cat: 0", "has 'names:\\n  cat: 0"),
        ("names: [[cat], dog]", "expected a list of class names"),
        ("names: [cat, dog", "expected a list of class names"),
        ("names:", "expected a list of class names"),
        ("names: [cat, 0: x]", "has 'names: [cat, 0: x]\\n', expected a list of class names, in quotes where one has"),
        ("names: [cat]\nnames: [dog]", "has 2 keys `names`, expected one"),
        ('names: [cat]\npath: "C:\\data"', "is not YAML (line 2: found unknown escape character 'd'), "),
        ("names: [cat]\npath: \x1c", "is not YAML (unacceptable character #x001c"),
        ("names: " + "[" * 5000, "is not YAML (maximum recursion depth exceeded"),
        ("- a\n- 'x\n\nnames: y'", "has 0 keys `names`, expected one"),
    ],
)
def test_names_that_cannot_be_understood_are_told(tmp_path, names, told):
    yolo(tmp_path)
    write(tmp_path, "data.yaml", names + "\n")
    (error,) = inspect(tmp_path).errors
    assert "data.yaml" in error and told in error


def test_a_byte_order_mark_is_no_part_of_the_names(tmp_path):
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [cat]", "utf-8-sig")
    assert inspect(tmp_path).check().id2label[1] == "cat"


def test_names_in_another_encoding_are_told(tmp_path):
    yolo(tmp_path)
    (tmp_path / "data.yaml").write_bytes("names: [café]".encode("latin-1"))
    (error,) = inspect(tmp_path).errors
    assert "data.yaml is not UTF-8 (" in error and "expected names of classes: save it as UTF-8" in error


def test_a_background_of_its_own_is_the_background(tmp_path):
    yolo(tmp_path, line="0 0 0 1 0 1 1 0 1\n1 0.5 0 1 0 1 1 0.5 1", names="names: [Background, leaf]")
    found = inspect(tmp_path).check()
    assert found.id2label == {0: "background", 1: "leaf"}
    np.testing.assert_array_equal(ids_of(found.splits["train"], 0), HALF)


@pytest.mark.parametrize("name", ["data.yaml", "classes.txt"])
def test_one_name_twice_is_refused_with_its_file(tmp_path, name):
    yolo(tmp_path, names="names: [leaf, leaf]")
    if name == "classes.txt":
        (tmp_path / "data.yaml").unlink()
        write(tmp_path, name, "leaf\nleaf\n")
    (error,) = inspect(tmp_path).errors
    assert name in error and "has the name 'leaf' twice" in error


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("0 nan 0 1 0 1 1 0 1", "line 1 reaches from nan to nan, expected 0 to 1"),
        ("nan 0 0 1 0 1 1 0 1", "line 1 has the class nan, expected 0 to 0"),
        ("inf 0 0 1 0 1 1 0 1", "line 1 has the class inf, expected 0 to 0"),
        ("1e12 0 0 1 0 1 1 0 1", "line 1 has the class 1e+12, expected 0 to 0"),
        ("leaf 0 0 1 0 1 1 0 1", "expected a class and numbers"),
        ("0.5 0 0 1 0 1 1 0 1", "line 1 has the class 0.5, expected 0 to 0"),
        ("-1 0 0 1 0 1 1 0 1", "line 1 has the class -1, expected 0 to 0"),
        ("0", "line 1 has 1 values, expected a class and at least 3 pairs of x and y"),
        ("0 0 0", "line 1 has 3 values, expected a class and at least 3 pairs"),
        ("0 0 0 1 0 1 1 0", "line 1 has 8 values, expected a class and at least 3 pairs"),
        ("0 0 0 1.02 0 1 1 0 1", "line 1 reaches from 0 to 1.02, expected 0 to 1"),
        ("0 0 -0.02 1 0 1 1 0 1", "line 1 reaches from -0.02 to 1, expected 0 to 1"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_a_line_that_is_no_polygon_of_a_class_is_told_with_its_number(tmp_path, line, told, named):
    yolo(tmp_path)
    write(tmp_path, "labels/train/p0.txt", line)
    if not named:
        (tmp_path / "data.yaml").unlink()
    (error,) = inspect(tmp_path).errors
    assert "p0.txt" in error and told in error


def test_a_class_that_has_no_name_is_told(tmp_path):
    yolo(tmp_path, line="1 0 0 1 0 1 1 0 1")
    error, *_ = inspect(tmp_path).errors
    assert "line 1 has the class 1, expected 0 to 0, the names of data.yaml" in error


def test_a_point_may_lie_a_hundredth_outside(tmp_path):
    yolo(tmp_path, line="0 0.5 -0.01 1.01 -0.01 1.01 1.01 0.5 1.01")
    np.testing.assert_array_equal(ids_of(inspect(tmp_path).check().splits["train"], 0), HALF)


@pytest.mark.parametrize("labels", ["val", "validation", "Val"])
def test_labels_lie_in_the_split_s_folder_whatever_it_is_called(tmp_path, labels):
    yolo(tmp_path)
    (tmp_path / "images/val").rename(tmp_path / "images/valid")
    (tmp_path / "labels/val").rename(tmp_path / "labels" / labels)
    found = inspect(tmp_path).check()
    np.testing.assert_array_equal(ids_of(found.splits["val"], 0), HALF)


@pytest.mark.parametrize("outside", [False, True])
def test_a_split_without_a_label_file_is_told(tmp_path, outside):
    names = {"images": "{}/images/p{}.jpg", "labels": "{}/labels/p{}.txt"} if outside else {}
    yolo(tmp_path, **names)
    labels = tmp_path / ("val/labels" if outside else "labels/val")
    labels.rename(tmp_path / "elsewhere")
    (error,) = inspect(tmp_path).errors
    assert f"{labels} has no label file, expected those of the split 'val'" in error
    if not outside:
        (tmp_path / "images/val").rename(tmp_path / "images/valid")
        (error,) = inspect(tmp_path).errors
        assert f"{tmp_path / 'labels/valid'} has no label file" in error


def test_a_picture_without_a_label_file_is_background(tmp_path):
    yolo(tmp_path)
    (tmp_path / "labels/val/p0.txt").unlink()
    assert not ids_of(inspect(tmp_path).check().splits["val"], 0).any()


def test_a_list_of_names_is_no_label_file(tmp_path):
    yolo(tmp_path)
    for i in range(2):
        (tmp_path / f"labels/val/p{i}.txt").unlink()
    write(tmp_path, "labels/val/classes.txt", "leaf\n")
    (error,) = inspect(tmp_path).errors
    assert "has no label file" in error


def test_without_data_yaml_the_classes_are_those_of_all_splits(tmp_path):
    yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    write(tmp_path, "labels/val/p0.txt", "2 0.5 0 1 0 1 1 0.5 1")
    found = inspect(tmp_path).check()
    assert list(found.id2label.values()) == ["background", "class 0", "class 1", "class 2"]
    assert len(found.splits["train"].classes) == 4
    write(tmp_path, "labels/val/p0.txt", "65534 0.5 0 1 0 1 1 0.5 1")  # beyond what masks hold
    (told,) = inspect(tmp_path).errors
    assert "line 1 has the class 65534, expected 0 to" in told


def test_classes_txt_beside_the_labels_of_a_split_is_found(tmp_path):
    yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    write(tmp_path, "labels/train/classes.txt", "leaf")
    assert list(inspect(tmp_path).check().id2label.values()) == ["background", "leaf"]


def test_data_yaml_comes_before_other_files(tmp_path):
    yolo(tmp_path)
    write(tmp_path, "a.yaml", "names: [sea]")
    assert list(inspect(tmp_path).check().id2label.values()) == ["background", "leaf"]
