"""What is told of folders of classes."""

import numpy as np
import pytest
from PIL import Image

from segformer_tf.data import inspect, layout_of, read_split
from segformer_tf.data.sheet import HEIGHT, LINE, draw_sheet


def picture(file, grey):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 50), (grey, grey, grey)).save(file)


@pytest.fixture
def folders(tmp_path):
    """Five pictures to train on and one to validate on, of cat and dog."""
    for i in range(5):
        picture(tmp_path / f"train/cat/{i}.png", i)
        picture(tmp_path / f"train/dog/{i}.png", 100 + i)
    picture(tmp_path / "val/cat/v.png", 50)
    picture(tmp_path / "val/dog/v.png", 150)
    return tmp_path


def test_whole_folders_have_nothing_to_tell(folders):
    found = inspect(folders).check()
    assert (found.warnings, found.notes) == ([], [])


def test_classes_without_pictures_are_told(folders):
    (folders / "train/bird").mkdir()
    picture(folders / "train/fox/0.png", 200)
    assert inspect(folders).check().warnings == [
        "1 of 4 classes have no picture to train on: bird.",
        "2 of 4 classes have no picture in the split 'val': bird, fox.",
        "1 of 4 classes have under 5 training pictures: fox.",
    ]


def test_a_picture_of_two_classes_is_told(folders):
    picture(folders / "train/dog/again.png", 3)
    (warning,) = inspect(folders).warnings
    assert warning.startswith("1 picture is of more than one class (") and "cat/3.png and" in warning


def test_small_pictures_are_resized_and_not_padded(folders):
    Image.new("RGB", (16, 16), (9, 80, 7)).save(folders / "train/cat/small.png")
    assert inspect(folders).check().warnings == []


def test_one_class_is_an_error(tmp_path):
    for split in ("train", "val"):
        picture(tmp_path / split / "cat/0.png", 9)
    assert inspect(tmp_path).errors == [
        "the data set has one class (cat), expected two or more: add a folder for each class."
    ]


def test_names_that_differ_in_capitals_are_one_class(folders):
    (folders / "val/dog").rename(folders / "val/DOG")
    picture(folders / "train/Cat/more.png", 77)
    split = read_split(folders, "val")
    assert split.id2label == {0: "Cat", 1: "dog"} and split.targets == [1, 0]
    assert split.notes == [
        f"{folders / 'val/DOG'} is taken for the class 'dog'.",
        f"{folders / 'val/cat'} is taken for the class 'Cat'.",
    ]
    assert read_split(folders).targets == [0] * 6 + [1] * 5


def test_folders_without_splits_are_told_how_they_should_lie(tmp_path):
    picture(tmp_path / "cat/0.png", 0)
    with pytest.raises(FileNotFoundError, match=r"it has cat/; expected[^$]*DIR/train/CLASS/NAME\.jpg"):
        layout_of(tmp_path)


def test_the_sheet_shows_pictures_of_classes(folders):
    sheet = np.asarray(draw_sheet(inspect(folders)))
    assert sheet.shape[0] > 5 * (HEIGHT + LINE)
    assert (sheet == 102).all(-1).sum() > 10_000  # one of the dogs, enlarged
