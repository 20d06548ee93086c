"""What the values of masks of one foreground class mean."""

from pathlib import Path

from segformer_tf.data.binary import meaning

ALL = {0: 5, 1: 3, 255: 2}


def test_255_is_unlabelled_where_one_mask_has_a_third_value():
    found = meaning([(Path("a.png"), ALL), (Path("b.png"), {0: 8, 255: 2}), (Path("c.png"), {0: 7, 1: 3})])
    assert found == {0: 0, 1: 1, 255: 255}


def test_255_is_the_foreground_where_it_is_the_other_value():
    assert meaning([(Path("a.png"), {0: 8, 255: 2}), (Path("b.png"), {0: 10})]) == {0: 0, 255: 1}
