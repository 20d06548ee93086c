"""Masks by Pillow's mode: what a palette and an alpha channel say."""

import numpy as np
import pytest
from people_data import COLOURS, HALF, H, W, folders, palette, save, text
from PIL import Image

from segformer_tf.data import UNLABELLED, Coding, inspect
from segformer_tf.data.masks import read_mask
from segformer_tf.data.pictures import ids_of
from segformer_tf.images import label_image, palette_for

TWO = Coding({(10, 20, 30): 0, (200, 100, 50): 1})
ROWS = [{"id": i, "name": name, "color": COLOURS[i].tolist()} for i, name in enumerate("ab")]


def saved(tmp_path, picture):
    file = tmp_path / "m.png"
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture)).save(file)
    return file


def test_a_palette_in_the_classes_colours_is_read_by_them_and_another_colour_refused(tmp_path):
    swapped = palette(1 - HALF, COLOURS[::-1])
    np.testing.assert_array_equal(read_mask(saved(tmp_path, swapped), TWO), HALF)
    values = 1 - HALF
    values[0, 0] = 2
    with pytest.raises(ValueError, match="has a value or colour that no class has"):
        read_mask(saved(tmp_path, palette(values, [*COLOURS[::-1], [1, 2, 3]])), TWO)


@pytest.mark.parametrize(
    "colours",
    [
        [[9, 9, 9], [8, 8, 8], [7, 7, 7]],  # decoration
        [[9, 9, 9], COLOURS[0], [8, 8, 8]],  # decoration that has a class's colour by chance
        [*COLOURS, [8, 8, 8]],  # the ids' own order
    ],
)
def test_a_palette_of_other_colours_is_decoration(tmp_path, colours):
    values = HALF.copy()
    values[0] = 2
    np.testing.assert_array_equal(read_mask(saved(tmp_path, palette(values, colours)), TWO), values)


def test_a_palette_of_which_less_than_half_are_classes_colours_is_decoration(tmp_path):
    values = np.arange(W, dtype=np.uint8)[None].repeat(H, 0) % 5
    colours = [[9, 9, 9], *COLOURS, [8, 8, 8], [7, 7, 7]]
    np.testing.assert_array_equal(read_mask(saved(tmp_path, palette(values, colours)), TWO), values)


def test_unlabelled_in_a_palette_that_ends_before_is_not_the_class_in_black(tmp_path):
    """As `label_image` and `convert-masks` write it."""
    ids = HALF.copy()
    ids[0] = UNLABELLED
    colours = np.array([[0, 0, 0], [200, 100, 50]], np.uint8)
    file = saved(tmp_path, label_image(ids, colours))
    np.testing.assert_array_equal(read_mask(file, Coding({(0, 0, 0): 0, (200, 100, 50): 1})), ids)


def test_the_palettes_of_published_data_sets_are_read_as_before(tmp_path):
    names = {i: str(i) for i in range(21)}
    ids = np.arange(21, dtype=np.uint8)[None].repeat(3, 0)
    own = Coding({tuple(colour): i for i, colour in enumerate(palette_for(names).tolist())})
    for coding in (Coding(), own):
        np.testing.assert_array_equal(read_mask(saved(tmp_path, label_image(ids, palette_for(names))), coding), ids)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "grey RGBA"])
def test_transparent_pixels_are_not_labelled(tmp_path, mode):
    alpha = np.full((H, W), 255, np.uint8)
    alpha[:10] = 0
    grey = np.where(alpha, HALF, 0).astype(np.uint8)
    colours = np.array([[0, 0, 0], [200, 100, 50]], np.uint8)
    layers = {"RGBA": colours[grey], "LA": grey[..., None], "grey RGBA": grey[..., None].repeat(3, 2)}[mode]
    coding = Coding({(0, 0, 0): 0, (200, 100, 50): 1}) if mode == "RGBA" else Coding()
    ids = read_mask(saved(tmp_path, np.dstack([layers, alpha])), coding)
    np.testing.assert_array_equal(ids[:10], UNLABELLED)
    np.testing.assert_array_equal(ids[10:], HALF[10:])


def test_transparent_pixels_are_told_and_no_foreground(tmp_path):
    alpha = np.full((H, W), 255, np.uint8)
    alpha[:10] = 0
    folders(tmp_path, mask=np.dstack([HALF * np.uint8(255), alpha]))
    found = inspect(tmp_path, binary=True).check()
    assert any("transparent pixels are not labelled" in note for note in found.notes)
    assert found.unlabelled == {"train": 2 * 10 * W, "val": 2 * 10 * W}
    ids = ids_of(found.splits["val"], 0)
    np.testing.assert_array_equal(ids[10:], HALF[10:])
    np.testing.assert_array_equal(ids[:10], UNLABELLED)


def test_colours_that_no_class_has_are_named(tmp_path):
    mask = COLOURS[HALF]
    mask[0, :3], mask[1, 0] = (1, 2, 3), (7, 7, 7)
    folders(tmp_path, mask=mask)
    text("classes.json", ROWS)(tmp_path)
    assert (
        "4 pixels in colours that no class has, (1, 2, 3) (3 pixels), (7, 7, 7) (1 pixel)"
        in inspect(tmp_path).errors[0]
    )


def test_more_classes_than_sixteen_bits_tell_have_colours_too(tmp_path):
    colours = {(i >> 8, i & 255, 7): i for i in range(40_000)}
    save(tmp_path, "m.png", np.array([[[39_999 >> 8, 39_999 & 255, 7], [0, 3, 7]]], np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", Coding(colours)), [[39_999, 3]])


def test_the_colours_of_all_masks_are_given_as_a_list_of_classes(tmp_path):
    folders(tmp_path, mask=COLOURS[HALF])
    other = COLOURS[HALF]
    other[:2] = 7, 8, 9
    save(tmp_path, "annotations/val/p1.png", other)
    found = inspect(tmp_path)
    (note,) = (note for note in found.notes if "all masks together have 3 colours" in note)
    assert found.errors
    (tmp_path / "classes.json").write_text(note[note.index("[{") :])
    assert [row["color"] for row in inspect(tmp_path).check().classes] == [*COLOURS.tolist(), [7, 8, 9]]
