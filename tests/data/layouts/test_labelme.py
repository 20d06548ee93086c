import json

import numpy as np
from people_data import HALF, labelme, write

from segformer_tf.data import inspect
from segformer_tf.data.pictures import ids_of


def test_background_is_the_class_of_that_name_wherever_it_stands(tmp_path):
    labelme(tmp_path)
    write(tmp_path, "classes.json", ["leaf", "Background"])
    file = tmp_path / "p0.json"
    content = json.loads(file.read_text())
    content["shapes"][0]["label"] = "background"
    file.write_text(json.dumps(content))
    found = inspect(tmp_path).check()
    (number,) = (i for i, image in enumerate(found.splits["train"].images) if image.stem == "p0")
    np.testing.assert_array_equal(ids_of(found.splits["train"], number), HALF)


def test_one_name_twice_in_labels_txt_is_refused(tmp_path):
    labelme(tmp_path)
    write(tmp_path, "labels.txt", "_background_\nleaf\nsea\nleaf\n")
    (error,) = inspect(tmp_path).errors
    assert "labels.txt has the name 'leaf' twice" in error


def test_a_polygon_of_two_points_is_told(tmp_path):
    labelme(tmp_path, {"label": "leaf", "shape_type": "polygon", "points": [[0, 0], [9, 9]]}, count=2)
    (error, _) = inspect(tmp_path).errors[:2]
    assert "p0.json: shape 0 (polygon) cannot be drawn" in error and "expected at least 3 pairs of x and y" in error
