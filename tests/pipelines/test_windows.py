import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segformer_tf.pipelines.windows import slide, spans


@given(st.integers(1, 900), st.integers(1, 300), st.data())
def test_spans_cover_a_side_without_gap(length, window, data):
    stride = data.draw(st.integers(1, window))
    covered = np.zeros(length, bool)
    for start, end in spans(length, window, stride):
        assert 0 <= start < end <= length and end - start == min(window, length)
        covered[start:end] = True
    assert covered.all()


def quarter(pictures):
    """Stands for a model without context: the mean of each cell of 4 x 4 pixels."""
    batch, height, width, channels = pictures.shape
    return pictures.reshape(batch, height // 4, 4, width // 4, 4, channels).mean((2, 4))


@pytest.mark.parametrize("size", [(64, 96), (61, 95), (128, 40), (33, 33)])
def test_windows_of_a_model_without_context_give_the_whole_again(size):
    picture = np.random.default_rng(0).normal(size=(*size, 3)).astype("float32")
    padded = np.pad(picture, [(0, -size[0] % 4), (0, -size[1] % 4), (0, 0)])
    found = slide(quarter, picture, window=(48, 32), stride=(32, 20))
    np.testing.assert_allclose(found, quarter(padded[None])[0], atol=1e-6)


def test_overlapping_windows_are_averaged():
    calls = iter([1.0, 3.0])
    found = slide(lambda window: np.full((1, 2, 4, 1), next(calls)), np.zeros((8, 24, 3)), (8, 16), (8, 8))
    np.testing.assert_array_equal(found[0, :, 0], [1, 1, 2, 2, 3, 3])


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        ((50, 48), (32, 32), r"window is \(50, 48\); expected \(height, width\) in positive multiples of 4 pixels"),
        ((48, 48), (0, 32), r"stride is \(0, 32\); expected"),
        ((48, 48), (32, 64), r"stride is \(32, 64\); expected at most the window, \(48, 48\)"),
    ],
)
def test_windows_that_do_not_fit_are_named(window, stride, message):
    with pytest.raises(ValueError, match=message):
        slide(quarter, np.zeros((64, 64, 3)), window, stride)
