"""Grey masks beside a list of classes with colours: ids, or the greys of those colours."""

import numpy as np
import pytest
from people_data import COLOURS, HALF, W, folders, put, text

from segformer_tf.data import inspect, read_split
from segformer_tf.data.layouts import found_split
from segformer_tf.data.pictures import ids_of
from segformer_tf.training.reading import mask_reader

WHITE_FIRST = [{"id": 0, "name": "wall", "color": [255] * 3}, {"id": 1, "name": "crack", "color": [0] * 3}]
BLACK_FIRST = [{"id": 0, "name": "wall", "color": [0] * 3}, {"id": 1, "name": "crack", "color": [255] * 3}]
GREYS = [
    {"id": i, "name": name, "color": [grey] * 3}
    for i, (name, grey) in enumerate(zip("abc", (0, 128, 255), strict=True))
]
CAMVID = [  # a grey among colours
    {"id": 0, "name": "sky", "color": [128] * 3},
    {"id": 1, "name": "building", "color": [128, 0, 0]},
    {"id": 255, "name": "void", "color": [0] * 3},
]
INK = (1 - HALF) * np.uint8(255)  # white on the left, black on the right
THIRDS = (np.arange(W) * 3 // W).astype(np.uint8)[None].repeat(40, 0)

# masks, classes, ids, whether a note tells which reading was taken
CASES = {
    "black_is_1_in_8_bits": (INK, WHITE_FIRST, HALF, True),
    "black_is_1_in_1_bit": (INK > 0, WHITE_FIRST, HALF, True),
    "black_is_0_in_8_bits": (255 - INK, BLACK_FIRST, HALF, True),
    "black_is_0_in_1_bit": (INK == 0, BLACK_FIRST, HALF, False),
    "ids_of_white_first": (HALF, WHITE_FIRST, HALF, False),
    "three_greys": (np.array([0, 128, 255], np.uint8)[THIRDS], GREYS, THIRDS, False),
    "three_greys_in_16_bits": (np.array([0, 128, 255], np.uint16)[THIRDS], GREYS, THIRDS, False),
    "ids_of_three_greys": (THIRDS, GREYS, THIRDS, False),
    "ids_beside_one_grey": (HALF, CAMVID, HALF, False),
    "ids_and_unlabelled_beside_one_grey": (HALF * np.uint8(255), BLACK_FIRST[:1] + CAMVID[1:2], HALF * 255, False),
    "sky_alone": (HALF * 0, CAMVID, HALF * 0, False),
}


@pytest.mark.parametrize("case", CASES)
def test_values_are_colours_where_they_are_no_ids(tmp_path, case):
    mask, rows, ids, told = CASES[case]
    folders(tmp_path, mask=mask)
    text("classes.json", rows)(tmp_path)
    split = read_split(tmp_path)
    np.testing.assert_array_equal(ids_of(split, 0), ids)
    np.testing.assert_array_equal(mask_reader(split.coding)(str(split.targets[0])), ids)
    assert any("and are read as colours" in note for note in split.notes) == told


def test_binary_masks_keep_the_classes_of_their_colours(tmp_path):
    folders(tmp_path, mask=INK)
    text("classes.json", WHITE_FIRST)(tmp_path)
    found = inspect(tmp_path, binary=True).check()
    np.testing.assert_array_equal(ids_of(found.splits["val"], 0), HALF)
    assert found.id2label == {0: "wall", 1: "crack"}


def test_an_unknown_grey_is_named(tmp_path):
    mask = np.array([0, 128, 255], np.uint8)[THIRDS]
    mask[0, :2] = 77
    folders(tmp_path, mask=mask)
    text("classes.json", GREYS)(tmp_path)
    assert "2 pixels in colours that no class has, (77, 77, 77) (2 pixels)" in inspect(tmp_path).errors[0]


def test_a_split_that_leaves_it_open_is_read_as_the_others(tmp_path):
    folders(tmp_path, mask=HALF)
    for i in range(2):
        put(f"annotations/val/p{i}.png", HALF * 0)(tmp_path)
    text("classes.json", WHITE_FIRST)(tmp_path)
    assert not found_split(tmp_path, "val").coding.greys
    assert inspect(tmp_path).counts("val") == [2 * HALF.size, 0]


def test_a_grey_mask_beside_coloured_ones_is_in_colours(tmp_path):
    colours = np.array([[128] * 3, [128, 0, 0]], np.uint8)
    folders(tmp_path, mask=colours[HALF])
    put("annotations/train/p1.png", HALF * 0)(tmp_path)
    text("classes.json", CAMVID)(tmp_path)
    found = inspect(tmp_path).check()
    assert found.unlabelled == {"train": HALF.size, "val": 0}
    assert any("hold 0, ids and greys" in note for note in found.notes)


def test_colours_without_greys_need_no_look(tmp_path, monkeypatch):
    folders(tmp_path, mask=COLOURS[HALF])
    rows = [{"id": i, "name": name, "color": COLOURS[i].tolist()} for i, name in enumerate("ab")]
    text("classes.json", rows)(tmp_path)
    monkeypatch.setattr("segformer_tf.data.greys._look", None)
    assert not read_split(tmp_path).coding.greys
