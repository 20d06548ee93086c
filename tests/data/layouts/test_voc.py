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
