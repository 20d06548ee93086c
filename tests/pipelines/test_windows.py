import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segformer_tf.pipelines.windows import check_windows, spans


@given(st.integers(1, 900), st.integers(1, 300), st.data())
def test_spans_cover_a_side_without_gap(length, window, data):
    stride = data.draw(st.integers(1, window))
    covered = np.zeros(length, bool)
    for start, end in spans(length, window, stride):
        assert 0 <= start < end <= length and end - start == min(window, length)
        covered[start:end] = True
    assert covered.all()


def test_the_last_window_is_moved_back_so_that_it_ends_with_the_picture():
    assert list(spans(100, 40, 30)) == [(0, 40), (30, 70), (60, 100)]
    assert list(spans(101, 40, 30)) == [(0, 40), (30, 70), (60, 100), (61, 101)]
    assert list(spans(30, 40, 30)) == [(0, 30)]


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        ((50.5, 48), (32, 32), r"window is \(50.5, 48\); expected \(height, width\) in whole pixels, each at least 1"),
        ((48, 48), (0, 32), r"stride is \(0, 32\); expected"),
        ((48, 48), (32, 64), r"stride is \(32, 64\); expected at most the window, \(48, 48\)"),
    ],
)
def test_windows_that_do_not_fit_are_named(window, stride, message):
    with pytest.raises(ValueError, match=message):
        check_windows(window, stride)
