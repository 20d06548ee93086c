"""Heat maps, rings and comparisons: what is drawn, in which colours, and where."""

import numpy as np
import pytest
from PIL import Image

from segformer_tf.images.views import BLACK, GAP, HEAT, PANEL, RED, TEXT, compare, heat, key, ring

NAMES = {0: "sky", 1: "undergrowth", 2: "car"}
PALETTE = np.array([[250, 10, 10], [10, 250, 10], [10, 10, 250]], np.uint8)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_a_heat_map_is_its_colours_by_alpha_and_the_grey_picture_by_the_rest(alpha):
    image = np.full((30, 400, 3), 100, np.uint8)
    values = np.linspace(-1, 7, 400)[np.newaxis].repeat(30, 0)  # it begins below and ends beyond the scale
    drawn = np.asarray(heat(image, values, "x", alpha, span=(1.0, 5.0)), float)[:30]
    for column in (0, 130, 240, 399):
        share = np.clip((values[0, column] - 1) / 4, 0, 1)
        color = [np.interp(share, np.linspace(0, 1, len(HEAT)), channel) for channel in HEAT.T]
        expected = alpha * np.array(color) + (1 - alpha) * 100
        np.testing.assert_allclose(drawn[:, column], expected[np.newaxis].repeat(30, 0), atol=3)


def test_the_bar_of_a_scale_goes_from_the_lowest_colour_to_the_highest():
    strip = np.asarray(heat(np.zeros((30, 300, 3), np.uint8), np.zeros((30, 300)), "x"), float)[30:]
    bar = strip[len(strip) // 2]
    places = [np.abs(bar - color).max(-1).argmin() for color in HEAT]
    assert places == sorted(places) and np.abs(bar[places] - HEAT).max() < 6


def test_the_numbers_of_a_scale_stand_at_their_ends():
    def widths(low, high):
        strip = np.asarray(heat(np.zeros((9, 300, 3), np.uint8), np.zeros((9, 300)), "", span=(low, high)), int)[9:]
        text = ((strip.max(-1) < 200) & (np.ptp(strip, axis=-1) < 9)).any(0).nonzero()[0]
        return np.ptp(text[text < 150]), np.ptp(text[text >= 150])

    short = widths(0, 1)
    assert widths(0.125, 1)[0] > 2 * short[0] and widths(0, 0.125)[1] > 2 * short[1]


def test_a_ring_is_around_its_point():
    plain = Image.new("RGB", (90, 50), (200, 40, 40))
    drawn = np.asarray(ring(plain.copy(), (60, 20)))
    rows, columns = (drawn != np.asarray(plain)).any(-1).nonzero()
    assert (columns.min() + columns.max(), rows.min() + rows.max()) == (120, 40)
    assert drawn[20, 60].tolist() == [200, 40, 40], "and leaves it as it is"
    assert (drawn == 255).all(-1).any() and (drawn == BLACK).all(-1).any()


def test_a_comparison_is_the_picture_the_truth_the_prediction_and_what_is_wrong():
    image = np.full((2, 3, 3), 100, np.uint8)
    truth, predicted = np.array([[0, 1, 7]] * 2), np.array([[1, 1, 2]] * 2)  # 7 is not labelled
    sheet = np.asarray(compare(image, truth, predicted, NAMES, PALETTE, ignore_index=7))

    def places(panel):
        left = panel * (PANEL[0] + GAP)
        return [sheet[TEXT + GAP + 80, left + PANEL[0] * (2 * column + 1) // 6].tolist() for column in range(3)]

    sky, undergrowth, car = PALETTE.tolist()
    assert places(0) == [[100] * 3] * 3
    assert places(1) == [sky, undergrowth, [0, 0, 0]]
    assert places(2) == [undergrowth, undergrowth, car]
    wrong, right, unlabelled = places(3)
    assert np.abs(np.array(wrong) - RED).max() < 60 and right == [165] * 3 and max(unlabelled) < 60
    legend = sheet[TEXT + GAP + 160 :].reshape(-1, 3)
    for color in (*PALETTE, BLACK):
        assert (legend == color).all(-1).sum() > 50
    titled = compare(image, truth, predicted, NAMES, PALETTE, 7, "street")
    np.testing.assert_array_equal(np.asarray(titled)[TEXT + GAP :], sheet)


def test_a_key_has_each_class_beside_its_colour():
    both, sky, car = (np.asarray(key(ids, NAMES, [], 200, PALETTE), int) for ids in ([0, 2], [0], [2]))
    start = (both == PALETTE[2]).all(-1).any(0).argmax() - (car == PALETTE[2]).all(-1).any(0).argmax()
    assert start > TEXT
    np.testing.assert_array_equal(both[:, :start], sky[:, :start])
    np.testing.assert_array_equal(both[:, start:], car[:, : 200 - start])
    names = [
        np.where((np.asarray(key([0], {0: name}, [], 200, PALETTE)) < 99).all(-1).any(0))[0] for name in NAMES.values()
    ]
    assert np.ptp(names[1]) > 2 * np.ptp(names[0]), "the name that it was given"
    assert key([0, 1, 2], NAMES, [], 60, PALETTE).height == 3 * (TEXT + GAP) + GAP


@pytest.mark.parametrize(("width", "lines"), [(40, 2), (300, 1), (900, 1)])
def test_a_scale_has_room_for_its_title_and_its_numbers(width, lines):
    drawn = np.asarray(heat(np.zeros((30, width, 3), np.uint8), np.zeros((30, width)), "probability of car"), int)
    strip = drawn[30:]
    assert (strip.shape[1] > width) is (lines == 2)
    coloured, dark = np.ptp(strip, axis=-1) > 30, strip.max(-1) < 128
    rows, columns = coloured.any(1), coloured.any(0)
    assert columns.sum() >= 4 * rows.sum() and rows.sum() >= 14, "a bar"
    text = dark & ~coloured
    assert not (text[rows] if lines == 2 else text)[:, columns].any(), "which no text lies over"
    assert text.any(1)[~rows].any() is np.True_ if lines == 2 else text[rows].any()


@pytest.mark.parametrize("alpha", [3, -1, float("nan")])
def test_an_alpha_beyond_its_ends_is_told(alpha):
    with pytest.raises(ValueError, match=f"alpha is {alpha}; expected 0 to 1"):
        heat(np.zeros((30, 40, 3), np.uint8), np.zeros((30, 40)), "x", alpha)
