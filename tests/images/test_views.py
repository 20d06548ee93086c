"""Heat maps: what their scale shows. Sheets and comparisons are tested with the reports that hold them."""

import numpy as np
import pytest

from segformer_tf.images.views import heat


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
