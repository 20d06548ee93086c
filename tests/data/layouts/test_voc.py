import pytest
from people_data import HALF, voc, write

from segformer_tf.data import inspect


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
