import xml.etree.ElementTree as xml

import numpy as np

from segformer_tf.training.report import CELL, NAMES, curves, draw_confusion


def test_a_curve_goes_through_its_points_from_left_to_right():
    drawing = xml.fromstring(curves([{"step": s, "loss": v} for s, v in ((10, 3.0), (20, 1.0), (40, 2.0))], ["loss"]))
    (line,) = (element for element in drawing if element.tag.endswith("polyline"))
    points = [tuple(map(float, point.split(","))) for point in line.get("points").split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    assert points[0][1] < points[2][1] < points[1][1]  # the highest value is nearest to the top
    assert "loss: 1 to 3, 40 steps" in xml.tostring(drawing).decode()


def test_a_flat_curve_of_one_point_can_be_drawn():
    assert "<polyline" in curves([{"step": 1, "loss": 0.5}], ["loss"])


def test_the_confusion_matrix_is_darkest_where_a_class_is_right():
    drawn = np.asarray(draw_confusion([[8, 2], [0, 0]], ["a", "b"]))
    assert drawn.shape == (NAMES + 2 * CELL,) * 2 + (3,)
    right, wrong, absent = (drawn[NAMES + 2 + y * CELL, NAMES + 2 + x * CELL, 0] for y, x in ((0, 0), (0, 1), (1, 1)))
    assert right < wrong < absent == 255
