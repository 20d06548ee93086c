"""Folders of classes without split folders: a split is drawn, and what lies beside them is told."""

import numpy as np
import pytest
from PIL import Image

from segformer_tf.data import inspect, layout_of, read_split
from segformer_tf.data.layouts import class_folders


def picture(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng([*str(file).encode()]).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def animals(tmp_path):
    """Ten cats and six dogs."""
    for name, count in (("cat", 10), ("dog", 6)):
        for i in range(count):
            picture(tmp_path / f"{name}/{i}.png")
    return tmp_path


def test_a_fifth_of_each_class_validates(animals):
    train, val = (read_split(animals, name) for name in ("train", "val"))
    assert train.targets == [0] * 8 + [1] * 5 and val.targets == [0, 0, 1]
    assert not set(train.images) & set(val.images) and train.id2label == val.id2label == {0: "cat", 1: "dog"}
    assert val.chosen == {"seed": 0, "pictures": [file.relative_to(animals).as_posix() for file in val.images]}
    assert read_split(animals, "val", seed=1).images != val.images
    found = inspect(animals).check()
    assert list(found.splits) == ["train", "val"] and found.warnings == []
    assert found.notes[0].startswith(f"{animals} has no split folders: 13 of 16 pictures are in 'train', drawn by seed")


def test_the_only_picture_of_a_class_is_trained_on(animals):
    picture(animals / "fox/0.png")
    assert read_split(animals, "train").targets.count(2) == 1 and 2 not in read_split(animals, "val").targets
    with pytest.raises(FileNotFoundError, match="the split 'test'"):
        read_split(animals, "test")


def test_what_belongs_to_no_class_is_left_out_and_told(animals):
    for name in ("loose.png", ".ipynb_checkpoints/cat.png", "@eaDir/thumb.png", "cat/.hidden.png"):
        picture(animals / name)
    (animals / "notes").mkdir()
    split = read_split(animals)
    assert len(split) == 13 and split.id2label == {0: "cat", 1: "dog"}
    assert split.notes[:2] == [
        f"{animals / 'notes'}: no pictures, taken for no class.",
        f"{animals / 'loose.png'}: in no folder of a class, left out.",
    ]


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_may_be_called_as_a_split(animals, name):
    picture(animals / name / "0.png")
    split = read_split(animals)
    assert list(split.id2label.values()) == ["cat", "dog", name]
    assert f"{animals / name} is taken for a class, as the folders beside it are." in split.notes


def test_faces_with_masks_are_classes(tmp_path):
    for name in ("mask", "no_mask"):
        picture(tmp_path / name / "0.png")
    assert layout_of(tmp_path) is class_folders.LAYOUT


@pytest.mark.parametrize("names", [("images", "JPEGImages"), ("train", "val"), ("cat",), ("photos", "annotations")])
def test_pictures_whose_masks_are_elsewhere_are_no_classes(tmp_path, names):
    for name in names:
        picture(tmp_path / name / "0.png")
    with pytest.raises(FileNotFoundError, match="is in no layout"):
        layout_of(tmp_path)


def test_splits_inside_classes_are_not_drawn_over(animals):
    for split in ("train", "test"):
        picture(animals / "cat" / split / "0.png")
    with pytest.raises(ValueError, match=r"cat has the splits train, test inside a class, expected .*train/cat"):
        read_split(animals)


def test_a_training_split_alone_says_that_it_can_be_divided(animals):
    (animals / "train").mkdir()
    for name in ("cat", "dog"):
        (animals / name).rename(animals / "train" / name)
    with pytest.raises(FileNotFoundError, match=r"add it, or give .*train itself, of which a fifth then validates"):
        read_split(animals, "val")
    assert len(read_split(animals / "train", "val")) == 3


def test_scenes_with_folders_of_pictures_and_masks_are_no_classes(tmp_path):
    for scene in "ab":
        for kind in ("images", "masks"):
            picture(tmp_path / scene / kind / "0.png")
    with pytest.raises(FileNotFoundError, match="is in no layout") as raised:
        inspect(tmp_path)
    assert f"where {tmp_path / 'a'}, {tmp_path / 'b'} are data sets" in str(raised.value)
    assert f"into {tmp_path / 'images/a'} and the like, and masks into {tmp_path / 'masks/a'};" in str(raised.value)
