"""Colours of data sets and of any other set of classes."""

import numpy as np
import pytest

from segformer_tf.images import colorize, palette_for, palettes
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


def test_classes_without_a_colour_get_none_that_another_has():
    spread = palette_for(4)
    palette = palettes.palette_with(["a", "b", "c", "d"], {2: spread[0], 3: (1, 2, 3)})
    assert palette[2].tolist() == spread[0].tolist() and palette[3].tolist() == [1, 2, 3]
    assert palette[1].tolist() == spread[1].tolist() and len(np.unique(palette, axis=0)) == 4
    np.testing.assert_array_equal(palettes.palette_with(["a", "b", "c", "d"], {}), spread)


@pytest.mark.parametrize("colours", [[(1, 2, 3), (4, 5, 6)], np.full((2, 3), 255.0), ([0, 0, 255], [0, 0, 0])])
def test_colours_are_taken_in_any_form(colours):
    found = palettes.checked_palette(colours, 2)
    assert found.dtype == np.uint8 and found.tolist() == np.asarray(colours).tolist()


@pytest.mark.parametrize(
    ("colours", "told"),
    [
        (np.zeros((5, 3)), r"an array \(5, 3\) of 0 to 0"),
        ("x", "'x'"),
        ({0: (1, 2, 3)}, r"\{0: \(1, 2, 3\)\}"),
        (None, "None"),
        ([(1, 2, 3), (4, 5)], r"\[\(1, 2, 3\), \(4, 5\)\]"),
        (np.full((2, 3), 300), r"an array \(2, 3\) of 300 to 300"),
        ([(1, 2, 3), (0, 0, -1)], r"an array \(2, 3\) of -1 to 3"),
        ([(0.5, 0, 0), (0, 0, 1)], r"an array \(2, 3\) of 0 to 1"),
        (["red", "blue"], r"an array \(2,\)"),
    ],
)
def test_what_are_no_colours_is_told(colours, told):
    wanted = "expected 2 colours, one for each class, of three whole numbers 0 to 255"
    with pytest.raises(ValueError, match=f"^palette is .*{told}; {wanted}"):
        palettes.checked_palette(colours, 2)
    if not isinstance(colours, np.ndarray) or colours.max() > 255:
        with pytest.raises(ValueError, match="expected colours of three whole numbers 0 to 255"):
            colorize(np.zeros((2, 2), int), colours)
