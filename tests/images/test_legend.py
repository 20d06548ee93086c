"""The legend of an overlay: what stands beside each colour, and where one lies that is on the picture."""

import numpy as np
import pytest
from PIL import Image

from segformer_tf.images import legend, overlay
from segformer_tf.images.legend import PAPER, canvas

PALETTE = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 0, 255]], np.uint8)
SHARES = {2: 0.7, 0: 0.2995, 3: 0.0005}
ROWS = [{"id": i, "name": f"name {i}", "share": share} for i, share in SHARES.items()]
WORDS = {"name 2": 10, "70.0%": 20, "name 0": 30, "29.9%": 40, "name 3": 50, "<0.1%": 60}  # grey values that they get


@pytest.mark.parametrize("size", [(300, 60), (60, 300), (800, 60)])
def test_each_colour_has_its_name_and_its_share_to_the_right_of_it(size, monkeypatch):
    grey = {value: (value,) * 3 for value in WORDS.values()}
    monkeypatch.setattr(legend._Drawer, "word", lambda _, text, *how: Image.new("RGB", (5, 5), grey[WORDS[text]]))
    made = canvas(*size, ROWS, PALETTE).astype(int)
    made[: size[1], : size[0]] = 0  # the picture's place, which is still empty

    def middle(color):
        rows, columns = (made == color).all(-1).nonzero()
        assert len(rows), color
        return np.array([(rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2])

    words = list(WORDS.values())
    places = []
    for row, name, share in zip(ROWS, words[::2], words[1::2], strict=True):
        swatch, name, share = middle(PALETTE[row["id"]]), middle(grey[name]), middle(grey[share])
        assert np.ptp([swatch[0], name[0], share[0]]) <= 2 and swatch[1] < name[1] < share[1]
        places.append((swatch[1], swatch[0]))
    assert places == sorted(places), "column by column"


def test_a_word_is_drawn_as_it_is_written():
    drawer = legend._Drawer(300, 300, ROWS, PALETTE)
    one, other = (np.asarray(drawer.word(text, (0, 0, 0), "lm")) for text in ("iii", "mmm"))
    assert one.min() < 60 and other.shape[1] > 2 * one.shape[1] - 6


@pytest.mark.parametrize("quiet", ["top left", "top right", "bottom left", "bottom right"])
def test_inside_the_legend_lies_where_there_are_the_fewest_details(quiet):
    image = np.random.default_rng(0).integers(0, 256, (400, 600, 3)).astype(np.uint8)
    empty = np.zeros((400, 600), bool)
    empty[
        slice(0, 200) if "top" in quiet else slice(200, 400), slice(0, 300) if "left" in quiet else slice(300, 600)
    ] = 1
    image[empty] = 40
    labels = np.zeros((400, 600), int)
    labels[:, 300:] = 1
    arguments = image, labels, PALETTE, ["sky", "tree", "car", "road"], 0.0
    plain, drawn = (np.asarray(overlay(*arguments, legend=where), int) for where in (False, "inside"))
    changed = (drawn != plain).any(-1)
    assert changed.any() and not changed[~empty].any()
    paper = np.round(np.array(PAPER) * 225 / 255 + 40 * 30 / 255)
    assert (np.abs(drawn[changed] - paper).max(-1) <= 1).mean() > 0.4, "the picture shows through the paper"
    for color in PALETTE[:2]:
        assert (np.abs(drawn - (color * (225 / 255) + 40 * 30 / 255)).max(-1) <= 1).any()


@pytest.mark.parametrize(("most", "is_inside"), [(0.25, True), (0.01, False)])
def test_a_legend_that_would_hide_too_much_goes_outside(most, is_inside, monkeypatch):
    monkeypatch.setattr(legend, "MOST_HIDDEN", most)
    image, labels = np.full((400, 400, 3), 40, np.uint8), np.arange(4).repeat(100)[:, np.newaxis].repeat(400, 1)
    inside, outside = (overlay(image, labels, PALETTE, legend=where) for where in ("inside", "outside"))
    assert (inside.size == (400, 400)) is is_inside
    assert (inside.tobytes() == outside.tobytes()) is not is_inside
