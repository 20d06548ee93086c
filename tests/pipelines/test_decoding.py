"""Which track of a video is meant, how its frames lie, and when they are shown."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from segformer_tf.pipelines.decoding import Clock, picture_track, upright


def test_times_go_on_where_those_of_the_file_jump_back_or_are_not_said():
    clock = Clock(Fraction(10))
    given = [5.0, 5.1, 5.08, 5.2, 0.0, 0.1, None, 0.3, 2.0, 0.5, 0.6]
    wanted = [5.0, 5.1, 5.08, 5.2, 5.3, 5.4, 5.5, 5.6, 7.3, 7.4, 7.5]
    assert [clock.at(seconds) for seconds in given] == pytest.approx(wanted)
    assert clock.jumps == pytest.approx([5.3, 6.9])
    unsaid = Clock(Fraction(4))
    assert [unsaid.at(None) for _ in range(3)] == [0, 0.25, 0.5]


def tracks(*dispositions):
    return SimpleNamespace(streams=SimpleNamespace(video=[SimpleNamespace(disposition=each) for each in dispositions]))


def test_a_cover_is_no_video_but_where_there_is_nothing_else():
    for cover in (0x400, 0x401, 0x800, 0x100000):
        both = tracks(cover, 1)
        assert picture_track(both, "a.mkv") is both.streams.video[1]
    alone = tracks(0x400)
    assert picture_track(alone, "a.mp3") is alone.streams.video[0]
    with pytest.warns(UserWarning, match=r"a\.mkv has 2 picture tracks"):
        several = tracks(0x400, 0, 1)
        assert picture_track(several, "a.mkv") is several.streams.video[1]


def test_a_rotation_is_followed_where_side_data_cannot_be_read():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)

    def unknown(key):
        raise ValueError("29 is not a valid Type")

    frame = SimpleNamespace(to_ndarray=lambda format: pixels, side_data=SimpleNamespace(get=unknown), rotation=90)
    turned, moved, swapped = upright(frame)
    assert moved and swapped
    np.testing.assert_array_equal(turned, np.rot90(pixels))
