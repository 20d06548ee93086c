import numpy as np
import pytest
from people_data import HALF, photo, save

from segformer_tf.data import inspect, read_split


def cityscapes(root, split, mask, ending="labelTrainIds"):
    """One picture of a split, and its mask unless that is None."""
    save(root, f"leftImg8bit/{split}/ulm/ulm_0_leftImg8bit.png", photo(len(split)))
    if mask is not None:
        save(root, f"gtFine/{split}/ulm/ulm_0_gtFine_{ending}.png", mask)


@pytest.fixture
def data(tmp_path):
    cityscapes(tmp_path, "train", HALF)
    cityscapes(tmp_path, "val", HALF)
    return tmp_path


def test_a_test_split_whose_masks_are_255_alone_is_a_warning(data):
    cityscapes(data, "test", np.full_like(HALF, 255))
    found = inspect(data).check()
    assert set(found.splits) == {"train", "val", "test"} and found.unlabelled["test"] == HALF.size
    assert any("no pixel of the split 'test' is labelled" in text for text in found.warnings)
    with pytest.raises(ValueError, match="no pixel of the split 'test' is labelled"):  # it alone has no use
        inspect(data, splits=["test"]).check()


@pytest.mark.parametrize("ending", [None, "color"])
def test_a_test_split_without_masks_is_left_out_with_a_warning(data, ending):
    cityscapes(data, "test", HALF if ending else None, ending)
    found = inspect(data).check()
    assert set(found.splits) == {"train", "val"}
    assert any(text.startswith("left out: the split 'test': ") for text in found.warnings)
    for reading in (lambda: read_split(data, "test"), lambda: inspect(data, splits=["test"]).check()):
        with pytest.raises((FileNotFoundError, ValueError), match="gtFine/test"):
            reading()


def test_a_missing_mask_is_called_as_cityscapes_calls_it(data):
    save(data, "leftImg8bit/train/ulm/ulm_1_leftImg8bit.png", photo())
    with pytest.raises(ValueError, match=r"looked for [^ ]*gtFine/train/ulm/ulm_1_gtFine_labelTrainIds\.png: add it"):
        read_split(data, "train")
