"""Polygons hold exactly the pixels they were made of."""

import numpy as np
import pytest

from segformer_tf.images.polygons import polygons


def filled(corners, shape):
    """The pixels inside a polygon of upright and level edges, counted from the left (even-odd)."""
    crossings = np.zeros((shape[0], shape[1] + 1), int)
    for (x, y), (x2, y2) in zip(corners, np.roll(corners, -1, 0), strict=True):
        assert x == x2 or y == y2
        if x == x2:
            crossings[min(y, y2) : max(y, y2), x] += 1
    return crossings.cumsum(1)[:, :-1] % 2


@pytest.mark.parametrize("density", [0.1, 0.5, 0.6, 0.8, 0.95])
def test_filling_the_polygons_gives_the_mask_back(density):
    random = np.random.default_rng(0)
    for _ in range(40):
        mask = random.random(random.integers(1, 14, 2)) < density
        total = np.zeros(mask.shape, int)
        for corners, area in polygons(mask):
            inside = filled(corners, mask.shape)
            assert inside.sum() == area
            total += inside
        np.testing.assert_array_equal(total, mask)


def test_corners_lie_between_pixels_and_straight_sides_have_none():
    mask = np.zeros((5, 6), bool)
    mask[1:3, 2:5] = True
    (found,) = polygons(mask)
    assert found.area == 6 and found.corners.tolist() == [[2, 1], [5, 1], [5, 3], [2, 3]]


def test_regions_that_touch_at_a_corner_are_two_and_a_ring_is_one():
    assert len(list(polygons(np.eye(2, dtype=bool)))) == 2
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    (found,) = polygons(ring)
    assert found.area == 8


def test_an_empty_mask_has_none():
    assert list(polygons(np.zeros((3, 4), bool))) == []
