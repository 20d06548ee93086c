"""What the values of masks of one foreground class mean."""

from pathlib import Path

import numpy as np
from people_data import HALF, folders, palette, save

from segformer_tf.data import inspect
from segformer_tf.data.binary import meaning
from segformer_tf.data.pictures import ids_of

ALL = {0: 5, 1: 3, 255: 2}


def test_255_is_unlabelled_where_one_mask_has_a_third_value():
    found = meaning([(Path("a.png"), ALL), (Path("b.png"), {0: 8, 255: 2}), (Path("c.png"), {0: 7, 1: 3})])
    assert found == {0: 0, 1: 1, 255: 255}


def test_255_is_the_foreground_where_it_is_the_other_value():
    assert meaning([(Path("a.png"), {0: 8, 255: 2}), (Path("b.png"), {0: 10})]) == {0: 0, 255: 1}


def test_a_palette_of_white_and_black_is_read_by_its_colours(tmp_path):
    folders(tmp_path, palette(1 - HALF, [[255, 255, 255], [0, 0, 0]]))
    save(tmp_path, "annotations/train/p0.png", palette(HALF * 0 + 1, [[255, 255, 255], [0, 0, 0]]))
    found = inspect(tmp_path, binary=True).check()
    np.testing.assert_array_equal(ids_of(found.splits["val"], 0), HALF)
    assert not ids_of(found.splits["train"], 0).any()
