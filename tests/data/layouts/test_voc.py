import numpy as np
import pytest
from people_data import HALF, palette, voc, write

from segformer_tf.data import inspect
from segformer_tf.data.pictures import ids_of

VOC = np.zeros((256, 3), np.uint8)  # the palette of its masks
VOC[1], VOC[255] = (128, 0, 0), (224, 224, 192)


@pytest.mark.parametrize("coloured", [False, True])
def test_the_borders_of_objects_are_not_labelled(tmp_path, coloured):
    mask = HALF.copy()
    mask[:, 29:31] = 255
    voc(tmp_path, VOC[mask] if coloured else palette(mask, VOC))
    np.testing.assert_array_equal(ids_of(inspect(tmp_path).check().splits["train"], 0), mask)


def test_one_name_twice_in_class_names_txt_is_refused(tmp_path):
    voc(tmp_path, HALF)
    write(tmp_path, "class_names.txt", "__ignore__\n_background_\nleaf\nleaf\n")
    (error,) = inspect(tmp_path).errors
    assert "class_names.txt has the name 'leaf' twice" in error


@pytest.mark.parametrize("lists", [True, False])
def test_masks_may_be_called_name_mask_as_everywhere(tmp_path, lists):
    voc(tmp_path, HALF, lists)
    for file in (tmp_path / "SegmentationClass").iterdir():
        file.rename(file.with_name(f"{file.stem}_mask.png"))
    found = inspect(tmp_path).check()
    assert sum(map(len, found.splits.values())) == 6


@pytest.mark.parametrize("names", [("Train", "Val"), ("training", "Validation"), ("TRAIN", "valid")])
def test_lists_are_called_as_splits_may_be(tmp_path, names):
    voc(tmp_path, HALF)
    before = inspect(tmp_path).check()
    for old, new in zip(("train", "val"), names, strict=True):
        file = tmp_path / f"ImageSets/Segmentation/{old}.txt"
        file.rename(file.with_stem(new))
    found = inspect(tmp_path).check()
    assert not any(split.chosen for split in found.splits.values())
    assert [split.images for split in found.splits.values()] == [split.images for split in before.splits.values()]


def test_a_number_that_is_no_flag_is_part_of_a_name(tmp_path):
    voc(tmp_path, HALF)
    write(tmp_path, "ImageSets/Segmentation/train.txt", "p0 1\np1 2\n")
    (told,) = inspect(tmp_path).errors
    assert "train.txt lists p1 2, of which" in told


def test_a_name_of_a_list_is_found_whichever_way_its_letters_are_composed(tmp_path):
    voc(tmp_path, HALF)
    for file in (tmp_path / "JPEGImages/p0.jpg", tmp_path / "SegmentationClass/p0.png"):
        file.rename(file.with_stem("caf\u00e9"))
    write(tmp_path, "ImageSets/Segmentation/train.txt", "cafe\u0301\n")  # as macOS writes it
    assert len(inspect(tmp_path).check().splits["train"]) == 1


def test_lists_that_are_no_split_s_are_told_and_so_are_voc_s_own_classes(tmp_path):
    voc(tmp_path, HALF, False)
    for name in ("default", "Task_7"):
        write(tmp_path, f"ImageSets/Segmentation/{name}.txt", "p0\n")
    notes = inspect(tmp_path).check().notes
    assert any("Task_7.txt: no list of a split" in note and "default" not in note for note in notes)
    assert any("VOC's own 21 classes are assumed" in note for note in notes)
    write(tmp_path, "labelmap.txt", "a:0,0,0::\nb:128,0,0::\n")
    assert not any("VOC's own" in note for note in inspect(tmp_path).notes)
