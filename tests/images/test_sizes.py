"""What counts as a picture's size."""

from dataclasses import dataclass
from types import MappingProxyType

import pytest

from segformer_tf.images.sizes import parse_size


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


@dataclass
class SizeDict:
    """As transformers 5 has it."""

    height: int | None = None
    width: int | None = None
    longest_edge: int | None = None
    shortest_edge: int | None = None


def test_other_mappings_and_transformers_own_type_are_sizes():
    assert parse_size(MappingProxyType({"height": 2, "width": 3})) == {"height": 2, "width": 3}
    assert parse_size(SizeDict(height=2, width=3)) == {"height": 2, "width": 3}
    assert parse_size(SizeDict(shortest_edge=4)) == {"shortest_edge": 4}
    with pytest.raises(ValueError, match=r"size is SizeDict\(.*longest_edge=4.*\); expected {'height': h, 'width': w}"):
        parse_size(SizeDict(longest_edge=4))
