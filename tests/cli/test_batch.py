"""`segment-many` as people call it: what its options come to."""

import pytest

from segformer_tf import batch
from segformer_tf.pipelines.predict import How


@pytest.fixture
def how_given(call, monkeypatch):
    """The `how` of a job that is called with these options."""
    given = []

    def run(*arguments, how, **options):
        given.append(how)
        return {"pictures": 0, "failed": 0, "skipped": 0, "seconds": 0.0, "output": "out"}

    monkeypatch.setattr(batch, "segment_many", run, raising=False)

    def how(*options):
        status, _, error = call("segment-many", "photos", "out", *options)
        assert (status, error) == (0, "")
        return given.pop()

    return how


def test_windows_that_nobody_gives_are_left_to_the_model(how_given):
    assert how_given() == How() and how_given("--scores") == How(scores=True)
    assert how_given("--mode", "slide") == How("slide") and how_given("--mode", "slide").window is None
    assert how_given("--mode", "slide", "--window", "64", "96").windows() == ((64, 96), (48, 72))
    assert how_given("--mode", "slide", "--stride", "50", "60") == How("slide", stride=(50, 60))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--stride", "8", "8"), "Invalid value for --stride: is for --mode slide only"),
        (("--mode", "slide", "--stride", "0", "8"), "Invalid value for --stride: stride is (0, 8)"),
        (("--mode", "slide", "--window", "64", "64", "--stride", "65", "1"), "Invalid value for --stride: stride is"),
        (("--mode", "slide", "--window", "16", "64"), "Invalid value for --window: window is (16, 64)"),
    ],
)
def test_windows_that_cannot_be_are_wrong_calls_of_their_option(call, options, message):
    status, _, error = call("segment-many", "photos", "out", *options)
    assert status == 2 and message in error
