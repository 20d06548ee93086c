import json

import numpy as np
import pytest
from people_data import HALF, binary, coco, flat, folders, labelme, photo, put, text, voc, yolo
from PIL import Image

from segformer_tf.data import DataError, inspect
from segformer_tf.data.converting import _colours, convert_masks
from segformer_tf.data.pictures import ids_of
from segformer_tf.data.sheet import draw_sheet
from segformer_tf.images import palette_for


@pytest.mark.parametrize("build", [folders, flat, coco, yolo, labelme])
def test_any_layout_becomes_pictures_and_id_pngs(tmp_path, build):
    build(tmp_path / "src")
    before = inspect(tmp_path / "src")
    counts = convert_masks(tmp_path / "src", tmp_path / "dst")
    found = inspect(tmp_path / "dst").check()
    assert found.layout == "folders of pictures and masks" and found.id2label == before.id2label
    for name, split in found.splits.items():
        assert counts[name] == len(split) == len(before.splits[name])
        np.testing.assert_array_equal(ids_of(split, 0), HALF)
        assert split.images[0].read_bytes() == before.splits[name].images[0].read_bytes()


def test_colours_and_names_come_along(tmp_path):
    colours = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    voc(tmp_path / "src", colours[HALF], False)
    text("labelmap.txt", "sea:10,20,30::\nleaf:200,100,50::\n")(tmp_path / "src")
    convert_masks(tmp_path / "src", tmp_path / "dst")
    rows = json.loads((tmp_path / "dst/classes.json").read_text())
    assert [row["color"] for row in rows] == colours.tolist() and rows[1]["name"] == "leaf"
    mask = Image.open(next((tmp_path / "dst/annotations/train").iterdir()))
    np.testing.assert_array_equal(np.asarray(mask.convert("RGB")), colours[HALF])


def test_a_class_without_a_colour_gets_none_that_another_has(tmp_path):
    """Two classes of one colour could not be read again."""
    folders(tmp_path / "src")
    taken = palette_for(2)[0].tolist()
    text("classes.json", [{"id": 0, "name": "sea"}, {"id": 1, "name": "leaf", "color": taken}])(tmp_path / "src")
    convert_masks(tmp_path / "src", tmp_path / "dst")
    rows = json.loads((tmp_path / "dst/classes.json").read_text())
    assert rows[1]["color"] == taken != rows[0]["color"]
    np.testing.assert_array_equal(ids_of(inspect(tmp_path / "dst").check().splits["train"], 0), HALF)


def test_splits_of_other_classes_are_not_written(tmp_path):
    for split, names in (("train", ["sea", "leaf"]), ("val", ["leaf", "sea"])):
        put(f"{split}/p.jpg", photo())(tmp_path / "src")
        put(f"{split}/p_mask.png", HALF)(tmp_path / "src")
        text(f"{split}/classes.json", names)(tmp_path / "src")
    with pytest.raises(DataError, match="'leaf' has the id 0 in the split 'val', but it is 1 in the split 'train'"):
        convert_masks(tmp_path / "src", tmp_path / "dst")
    assert not (tmp_path / "dst").exists()


def test_binary_masks_become_0_and_1(tmp_path):
    folders(tmp_path / "src", mask=HALF * np.uint8(255))
    convert_masks(tmp_path / "src", tmp_path / "dst", binary=True)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "dst/annotations/train/p0.png")), HALF)


def test_wrong_data_and_a_full_directory_leave_nothing(tmp_path):
    folders(tmp_path / "src", mask=HALF * np.uint8(255))
    with pytest.raises(DataError, match="--binary"):
        convert_masks(tmp_path / "src", tmp_path / "dst")
    assert not (tmp_path / "dst").exists()
    with pytest.raises(FileExistsError, match="exists already"):
        convert_masks(tmp_path / "src", tmp_path / "src", binary=True)


@pytest.mark.parametrize("dst", [".", "made/..", "below/here"])
def test_it_is_written_where_it_is_told_and_nothing_beside_it_changes(tmp_path, monkeypatch, dst):
    folders(tmp_path / "src")
    here = tmp_path / "parent/here"
    (here / "made").mkdir(parents=True)
    if dst == ".":
        (here / "made").rmdir()
    text("classes.json", ["mine"])(tmp_path / "parent")
    monkeypatch.chdir(here)
    if dst == "made/..":
        with pytest.raises(FileExistsError, match=r"here exists already"):
            convert_masks(tmp_path / "src", dst)
    else:
        convert_masks(tmp_path / "src", dst)
        assert {file.name for file in (here / dst).iterdir()} == {"images", "annotations", "classes.json"}
    assert (tmp_path / "parent/classes.json").read_text() == '["mine"]'
    assert {file.name for file in (tmp_path / "parent").iterdir()} == {"here", "classes.json"}


def test_made_up_colours_are_none_that_another_class_has(tmp_path):
    folders(tmp_path / "src")
    first, second = palette_for(["a", "b"]).tolist()
    text("classes.json", [{"id": 0, "name": "a"}, {"id": 1, "name": "b", "color": first}])(tmp_path / "src")
    convert_masks(tmp_path / "src", tmp_path / "dst")
    rows = inspect(tmp_path / "dst").check().classes
    assert rows[1]["color"] == first and rows[0]["color"] == second


def test_a_class_has_no_colour_where_all_are_taken():
    colours = _colours([{"id": i, "name": f"class {i}"} for i in range(5000)])
    told = [tuple(colour) for colour in colours if colour]
    assert len(set(told)) == len(told) < len(colours)


def test_a_sheet_shows_pictures_with_their_masks_over_them(tmp_path):
    folders(tmp_path)
    sheet = np.asarray(draw_sheet(inspect(tmp_path)))
    picture, over = (sheet[30:60, left : left + 55] for left in (12, 342))
    assert not np.array_equal(picture, over) and np.abs(picture.astype(int) - over).max() <= 160


def test_of_one_split_of_binary_masks_the_values_are_those_of_all_splits(tmp_path):
    folders(tmp_path / "src", binary())
    assert convert_masks(tmp_path / "src", tmp_path / "dst", splits=("val",), binary=True) == {"val": 2}
    found = inspect(tmp_path / "dst")
    assert found.id2label == {0: "background", 1: "foreground"} and list(found.splits) == ["val"]


def test_broken_files_are_left_out_where_asked(tmp_path):
    folders(tmp_path / "src")
    (tmp_path / "src/images/train/p0.jpg").write_bytes(b"x")
    told = []
    assert convert_masks(tmp_path / "src", tmp_path / "dst", broken="skip", say=told.append)["train"] == 1
    assert len(told) == 1 and "p0.jpg" in told[0]
