"""The forms that `size` has in files."""

import pytest

from segformer_tf.images.resize import parse_size, target_size


def test_ints_pairs_and_dicts_are_sizes():
    assert parse_size(5) == parse_size([5, 5]) == {"height": 5, "width": 5}
    assert parse_size({"height": 2, "width": 3, "longest_edge": None}) == {"height": 2, "width": 3}
    assert parse_size({"shortest_edge": 4}) == {"shortest_edge": 4}


@pytest.mark.parametrize(
    "size", [0, -1, 2.5, (1, 2, 3), {"height": 3}, {"longest_edge": 3}, {"height": 0, "width": 1}, "9"]
)
def test_anything_else_is_refused(size):
    with pytest.raises(ValueError, match=r"size is .*; expected {'height': h, 'width': w}, {'shortest_edge': n}"):
        parse_size(size)


def test_the_longer_side_is_rounded_down():
    assert target_size({"shortest_edge": 10}, 30, 50) == (10, 16)
    assert target_size({"shortest_edge": 10}, 50, 30) == (16, 10)
    assert target_size({"height": 7, "width": 9}, 50, 30) == (7, 9)
