import dataclasses
import json

import pytest
from small_data import CLASSES, write_split

from segformer_tf.data.folds import directory_of, fold, group_pictures, inspect_folds
from segformer_tf.data.layouts import read_split
from segformer_tf.data.splits import Coding, DataError

NAMES = {"train": ["north_0", "north_1", "south_2", "south_3", "east_4"], "val": ["north_5", "east_6"]}


@pytest.fixture
def data(tmp_path):
    """Pictures of three drives in two splits."""
    root = tmp_path / "data"
    for split, names in NAMES.items():
        write_split(root, split, len(names))
        for number, name in enumerate(names):
            for kind, suffix in (("images", "jpg"), ("annotations", "png")):
                folder = root / kind / split
                (folder / f"p{number}.{suffix}").rename(folder / f"{name}.{suffix}")
    (root / "classes.json").write_text(json.dumps(CLASSES))
    return root


def names_of(groups):
    return {name: [image.stem for image in split.images] for name, split in groups.items()}


def test_drives_are_what_names_begin_with_and_come_from_both_splits(data):
    found = names_of(group_pictures([read_split(data, "train"), read_split(data, "val")], "drive"))
    assert found == {
        "east": ["east_4", "east_6"],
        "north": ["north_0", "north_1", "north_5"],
        "south": ["south_2", "south_3"],
    }


def test_a_pattern_says_groups_and_so_does_a_file_either_way_round(data, tmp_path):
    splits = [read_split(data, "train"), read_split(data, "val")]
    assert names_of(group_pictures(splits, r"_(\d)$"))["5"] == ["north_5"]
    of_group = {"even": ["north_0", "south_2", "east_4", "east_6"], "odd": ["north_1", "south_3", "north_5"]}
    of_name = {name: group for group, names in of_group.items() for name in names}
    for number, given in enumerate((of_group, of_name)):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(given))
        assert {group: set(names) for group, names in names_of(group_pictures(splits, file)).items()} == {
            group: set(names) for group, names in of_group.items()
        }


def test_a_fold_trains_on_all_other_groups(data):
    found = inspect_folds(data, "drive")
    part = fold(found, "south")
    assert [image.stem for image in part.splits["val"].images] == ["south_2", "south_3"]
    assert len(part.splits["train"]) == 5 and not {"south_2", "south_3"} & {
        image.stem for image in part.splits["train"].images
    }
    for row, whole in zip(part.classes, found.classes, strict=True):
        assert row["pixels"]["val"] == whole["pixels"]["south"]
        assert sum(row["pixels"].values()) == sum(whole["pixels"].values())
    assert part.unlabelled == {"train": 5 * 72, "val": 2 * 72} and part.counts("train") is not None


def test_a_class_that_a_group_lacks_or_that_only_one_has_is_told(data):
    import numpy as np
    from PIL import Image

    for file in data.glob("annotations/*/*.png"):
        mask = np.asarray(Image.open(file)).copy()
        mask[mask == 2] = 0
        if file.stem.startswith("south"):
            mask[mask == 1] = 0
        if file.stem == "north_0":
            mask[5, 5] = 2
        Image.fromarray(mask).save(file)
    told = inspect_folds(data, "drive").warnings
    assert any(text.startswith("only the group 'north' has the class 'leaf'") for text in told)
    (text,) = (text for text in told if text.startswith("the group 'south' has no 'box'"))
    assert "leaves that out, or has 0 for it where the model finds some" in text


def test_splits_of_other_classes_are_not_put_together(data):
    train, val = read_split(data, "train"), read_split(data, "val")
    names = dataclasses.replace(val, classes=[CLASSES[0], {**CLASSES[1], "name": "leaf"}])
    with pytest.raises(DataError, match="'leaf' has the id 1 in the split 'val', but it is 2 in the split 'train'"):
        group_pictures([train, names], "drive")
    with pytest.raises(DataError, match="other colours for their classes"):
        group_pictures([train, dataclasses.replace(val, coding=Coding({(1, 2, 3): 0}))], "drive")
    shorter = dataclasses.replace(train, classes=CLASSES[:2])
    assert [len(split.classes) for split in group_pictures([shorter, val], "drive").values()] == [3, 3, 3]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("(", "is no regular expression"),
        ("north", "has 0 groups in brackets, expected one"),
        ("^(n)orth(_)", "has 2 groups in brackets, expected one"),
        (
            "^(north)",
            r"4 of 7 pictures are in no group by '\^\(north\)' \(train/east_4, train/south_2, train/south_3\)",
        ),
        (r"^\w*(_)", "makes one group, '_', of all 7 pictures, expected two or more"),
    ],
)
def test_rules_that_make_no_folds_are_told(data, rule, told):
    splits = [read_split(data, "train"), read_split(data, "val")]
    with pytest.raises(ValueError, match=told):
        group_pictures(splits, rule)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"a": ["north_0"], "b": "south_2"}, "values of other kinds"),
        ({"a": ["north_0", "west_9"]}, "names west_9, expected names of pictures without suffix"),
        ({"a": ["north_0"], "b": ["north_0"]}, "has 'north_0' in 'a' and in 'b'"),
        ({"north_0": "a", "train/north_0": "b"}, "has 'train/north_0' in 'a' and in 'b'"),
        ({"a": ["north_0"], "b": []}, "has the group 'b' without pictures"),
        ({"": ["north_0"]}, "has 'north_0' in a group without a name"),
        ({"north_0": " "}, "has 'north_0' in a group without a name"),
        ({"a": ["north_0"]}, "6 of 7 pictures are in no group"),
    ],
)
def test_files_that_make_no_folds_are_told(data, tmp_path, given, told):
    file = tmp_path / "groups.json"
    file.write_text(json.dumps(given))
    with pytest.raises(ValueError, match=told):
        group_pictures([read_split(data, "train"), read_split(data, "val")], file)


def test_pictures_of_one_name_are_told_apart_by_their_folders(data, tmp_path):
    for kind, suffix in (("images", "jpg"), ("annotations", "png")):
        for split, names in NAMES.items():
            for number, name in enumerate(names):
                new = data / kind / split / f"cam{number % 2}" / f"{number // 2:04}.{suffix}"
                new.parent.mkdir(exist_ok=True)
                (data / kind / split / f"{name}.{suffix}").rename(new)
    splits = [read_split(data, "train"), read_split(data, "val")]
    file = tmp_path / "groups.json"
    file.write_text(json.dumps({"a": ["0000"], "b": ["0001"]}))
    with pytest.raises(
        ValueError, match=r"names '0000', which 4 pictures are called \(.*train/cam0/0000.jpg, .*\), exp"
    ):
        group_pictures(splits, file)
    names = [
        image.relative_to(data / "images").with_suffix("").as_posix() for split in splits for image in split.images
    ]
    of_name = {name.removeprefix("train/") if name[-1] != "0" else name: name.split("/")[1] for name in names}
    file.write_text(json.dumps(of_name))
    found = group_pictures(splits, file)
    assert {group: {image.parent.name for image in split.images} for group, split in found.items()} == {
        "cam0": {"cam0"},
        "cam1": {"cam1"},
    }


def test_a_fold_s_directory_is_a_plain_name(tmp_path):
    assert directory_of(tmp_path, "0016E5") == tmp_path / "fold-0016E5"
    assert directory_of(tmp_path, "a/b c") == tmp_path / "fold-a-b-c"
    assert directory_of(tmp_path, "\u00e4") == directory_of(tmp_path, "a\u0308") == tmp_path / "fold-\u00e4"
    assert directory_of(tmp_path, "\u00f6") != directory_of(tmp_path, "\u00e4")
    assert directory_of(tmp_path, "\udce4\u6771") == tmp_path / "fold--\u6771"  # a byte that is no UTF-8
