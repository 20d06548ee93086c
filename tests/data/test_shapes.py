import numpy as np
import pytest
from people_data import png64

from segformer_tf.data.shapes import bitmap, circle, polygon, rectangle, run_lengths

# pycocotools 2's text for the mask below
TEXT = (
    r"R11j0020\O030n00m10nL090f2e0nL\O1O200h08_OE8;9HXO3h05ME\O;g00]OE=:GF2=5CA02;8E0;KE:;@E=0J;a0000]OE<;"
    r"70[OE`02]O5h04ME\O;g0000YOEd0;30CEF07;0EM020I9a0HC8LGh03XOM04h03XOK8N6j1B_O0lN0Y10Q10hM0`00a50TJ"
)


def test_coco_s_text_is_decoded_as_pycocotools_does():
    random = np.random.default_rng(0)
    mask = np.zeros((37, 53), np.uint8)
    mask[5:30, 10:40] = 1
    mask[random.random(mask.shape) < 0.02] ^= 1
    np.testing.assert_array_equal(run_lengths(TEXT, (37, 53)), mask)


def test_run_lengths_go_down_the_columns():
    np.testing.assert_array_equal(run_lengths([1, 2, 3], (2, 3)), [[0, 1, 0], [1, 0, 0]])


def test_a_pixel_is_in_a_polygon_if_its_centre_is():
    found = polygon([(2, 3), (7, 3), (7, 9), (2, 9)], (12, 10))
    assert found[3:9, 2:7].all() and found.sum() == 30
    np.testing.assert_array_equal(found, rectangle([(7, 9), (2, 3)], (12, 10)))
    assert polygon([(2.5, 0), (4.4, 0), (4.4, 2), (2.5, 2)], (2, 6)).any(0).tolist() == [0, 0, 1, 1, 0, 0]


def test_a_polygon_over_the_edge_is_cut_off():
    assert polygon([(-5, -5), (50, -5), (50, 50), (-5, 50)], (6, 4)).all()


@pytest.mark.parametrize("points", [[(1, 1), (1, 1), (1, 1)], [(0, 0), (3, 3), (0, 0)]])
def test_a_polygon_without_area_covers_nothing(points):
    assert not polygon(points, (4, 4)).any()


@pytest.mark.parametrize(
    ("shape", "points", "told"),
    [
        (polygon, [(0, 0), (3, 3)], "it has 4 numbers, expected at least 3 pairs of x and y"),
        (polygon, [], "it has 0 numbers, expected at least 3 pairs"),
        (polygon, [0, 0, 3, 3, 0, 3, 1], "it has 7 numbers"),
        (polygon, [0, 0, float("nan"), 3, 0, 3], "it has the coordinate nan, expected pixels"),
        (polygon, [0, 0, 1e300, 3, 0, 3], r"it has the coordinate 1e\+300"),
        (rectangle, [(0, 0)], "it has 2 numbers, expected 2 pairs of x and y"),
        (circle, [(0, 0), (1, 1), (2, 2)], "it has 6 numbers, expected 2 pairs"),
        (circle, [(0, 0), (1, float("inf"))], "it has the coordinate inf"),
    ],
)
def test_points_that_make_no_shape_are_told(shape, points, told):
    with pytest.raises(ValueError, match=told):
        shape(points, (4, 4))


def test_a_circle_has_the_pixels_within_its_radius():
    assert circle([(3, 3), (3, 5)], (6, 6)).sum() == 12


@pytest.mark.parametrize("corner", [(0, -20), (-20, 0), (-10, -10), (40, 0), (0, 60), (-90, 90)])
def test_a_bitmap_outside_the_picture_covers_nothing(corner):
    mask = bitmap(png64(np.full((10, 10), 255, np.uint8)), corner, (40, 40))
    assert mask.shape == (40, 40) and not mask.any()


def test_a_bitmap_lies_at_the_nearest_pixel():
    mask = bitmap(png64(np.full((2, 3), 255, np.uint8)), (1.6, 0.6), (6, 8))
    assert mask[1:3, 2:5].all() and mask.sum() == 6
