"""Colours of data sets and of any other set of classes."""

import numpy as np
import pytest

from segformer_tf.images import palette_for, palettes
from segformer_tf.images.palettes import DATASETS


@pytest.mark.parametrize(
    ("dataset", "count", "index", "name", "color"),
    [
        ("ade20k", 150, 149, "flag", [92, 0, 255]),
        ("ade20k", 150, 44, "chest of drawers", [6, 51, 255]),
        ("cityscapes", 19, 13, "car", [0, 0, 142]),
        ("camvid", 11, 4, "pavement", [60, 40, 222]),
        ("voc", 21, 15, "person", [192, 128, 128]),
    ],
)
def test_data_sets_have_their_classes_and_colours(dataset, count, index, name, color):
    names, colours = DATASETS[dataset]
    assert len(names) == len(colours) == count and names[index] == name and colours[index].tolist() == color


def test_a_models_names_choose_the_data_set_in_its_order():
    names, colours = DATASETS["cityscapes"]
    id2label = {str(index): name.title() for index, name in enumerate(names)}
    np.testing.assert_array_equal(palette_for(dict(reversed(id2label.items()))), colours)
    assert not np.array_equal(palette_for(names[::-1]), colours[::-1])
    assert not np.array_equal(palette_for(names[:18]), colours[:18])


@pytest.mark.parametrize("count", [0, 1, 7, 150, 600])
def test_other_classes_get_colours_of_their_own_that_do_not_change(count):
    colours = palette_for(count)
    assert colours.shape == (count, 3) and colours.dtype == np.uint8
    assert len(np.unique(colours, axis=0)) == count
    np.testing.assert_array_equal(colours, palette_for([f"thing {index}" for index in range(count)]))
    np.testing.assert_array_equal(colours[:5], palette_for(5)[:count])


def test_few_classes_are_told_apart_at_a_glance():
    colours = palette_for(20).astype(int)
    distance = np.abs(colours[:, None] - colours[None]).sum(-1) + 999 * np.eye(20, dtype=int)
    assert distance.min() > 60 and colours.sum(1).min() > 60


@pytest.mark.parametrize("count", [2, 8, 12])
def test_safe_colours_differ_for_every_eye_and_others_do_not(count):
    """The smallest difference between two colours in CIE Lab, where 2.3 is just seen, for four kinds of eyes."""

    def smallest(colours):
        seen = [palettes._lab(colours / 255, eye) for eye in (None, *palettes.COLOUR_BLIND)]
        pairs = np.triu_indices(len(colours), 1)
        return min(np.linalg.norm(lab[pairs[0]] - lab[pairs[1]], axis=1).min() for lab in seen)

    assert smallest(palette_for(count, safe=True)) > 20
    if count > 2:
        assert smallest(palette_for(count)) < 2


def test_safe_colours_are_no_data_set_s_and_there_are_as_many_as_asked_for():
    names = palettes.DATASETS["camvid"][0]
    assert (palette_for(names, safe=True) != palette_for(names)).any()
    assert len(np.unique(palette_for(300, safe=True), axis=0)) == 300
