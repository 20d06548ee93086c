"""A frame's overlay, drawn on brightness and colour as they are coded, beside the one that is drawn on RGB."""

from fractions import Fraction

import av
import numpy as np
import pytest
from turned import turn

from segformer_tf.images import overlay
from segformer_tf.pipelines.video.frames import open_frames
from segformer_tf.pipelines.video.painting import ITU601, Frame, in_planes, painted, planes
from segformer_tf.pipelines.video.recording import Writer

ITU709, FULL, LIMITED = 1, 2, 1
PALETTE = np.array([[200, 30, 90], [10, 220, 40], [90, 90, 250]], np.uint8)


def blocks(height, width, draw, top=256):
    """(H, W) of squares of 2 x 2, so that half as many colours are enough."""
    return draw.integers(0, top, ((height + 1) // 2, (width + 1) // 2)).repeat(2, 0).repeat(2, 1)[:height, :width]


def a_frame(height=60, width=80, space=ITU601, top=4):
    draw = np.random.default_rng(0)
    pixels = np.stack([blocks(height, width, draw) for _ in range(3)], -1).astype(np.uint8)
    even = np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], "edge")
    coded = in_planes(even, space)
    seen = np.ascontiguousarray(coded.to_ndarray(format="rgb24")[:height, :width])
    labels = blocks(height, width, draw, top)
    return Frame.of(seen, coded), np.where(labels == 3, 255, labels).astype(np.int32)


@pytest.mark.parametrize("space", [ITU601, ITU709])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_it_is_the_overlay_of_rgb_up_to_rounding(space, alpha):
    frame, labels = a_frame(space=space)
    inside = np.zeros((60, 80), bool)  # a reader's colours run into the next block
    inside[::2, ::2] = True
    for skip in ((), ("class 1",)):
        drawn = painted(frame, labels, PALETTE, None, alpha, skip)
        assert drawn.colorspace == space and drawn.color_range == LIMITED
        expected = np.asarray(overlay(np.asarray(frame), labels, PALETTE, None, alpha, False, skip), int)
        assert np.abs(drawn.to_ndarray(format="rgb24") - expected)[inside].mean() < 2
    assert painted(frame, labels, PALETTE, None, 0.0).to_ndarray().tobytes() == frame.coded.to_ndarray().tobytes()


def test_rims_have_their_classes_full_colour():
    frame, labels = a_frame()
    labels[:, :40], labels[:, 40:60], labels[:, 60:] = 0, 1, 255
    made = {
        name: planes(painted(frame, labels, PALETTE, None, alpha, ("class 1",), outline))
        for name, alpha, outline in (("rims", 0.3, True), ("without", 0.3, False), ("full", 1.0, False))
    }
    for channel, column in enumerate((39, 19, 19)):  # the last of class 0; what is not painted has no rim
        beside = [values[channel] for values in (made["rims"], made["without"], made["full"])]
        rim = np.zeros(beside[0].shape[1], bool)
        rim[column] = channel == 0  # of a rim one pixel wide, colour has the even columns
        np.testing.assert_array_equal(beside[0][:, ~rim], beside[1][:, ~rim])
        np.testing.assert_array_equal(beside[0][:, rim], beside[2][:, rim])


@pytest.mark.parametrize("size", [(59, 80), (60, 79), (1, 1)])
def test_frames_that_come_from_elsewhere_are_converted_and_made_even(size):
    frame, labels = a_frame(*size)
    assert frame.coded is None
    drawn = painted(np.asarray(frame), labels, PALETTE, None, 1.0)
    assert (drawn.height, drawn.width) == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert drawn.colorspace == ITU601 and drawn.color_range == LIMITED
    known = labels != 255
    found = drawn.to_ndarray(format="rgb24")[: size[0], : size[1]].astype(int)
    inside = np.zeros(size, bool)
    inside[::2, ::2] = True
    away = np.abs(found - PALETTE[np.where(known, labels, 0)])[known & inside]
    assert away.size == 0 or away.mean() < 2


@pytest.mark.parametrize("count", [2, 255, 256, 300])
def test_any_number_of_classes(count):
    draw = np.random.default_rng(count)
    palette = draw.integers(0, 256, (count, 3)).astype(np.uint8)
    frame, _ = a_frame()
    labels = np.full((60, 80), count - 1)
    found = painted(frame, labels, palette, None, 1.0).to_ndarray(format="rgb24").astype(int)
    assert np.abs(found - palette[-1]).max() <= 3


@pytest.mark.parametrize(
    ("form", "space", "range_", "kept"),
    [
        ("yuv420p", ITU601, LIMITED, True),
        ("yuv420p", ITU709, LIMITED, True),
        ("yuv420p", ITU709, FULL, False),
        ("yuvj420p", None, None, False),
        ("yuv444p", ITU709, LIMITED, False),
    ],
)
def test_the_overlay_of_a_video_has_the_colours_of_the_video(tmp_path, form, space, range_, kept):
    pixels = np.full((64, 96, 3), (180, 60, 30), np.uint8)
    pixels[:, 48:] = (20, 90, 200)
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"crf": "2"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, form
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frame = frame.reformat(format=form, dst_colorspace=space, dst_color_range=range_)
        if space:
            stream.codec_context.colorspace, stream.codec_context.color_range = space, range_
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    [(read, _)] = open_frames(tmp_path / "a.mkv")
    assert np.abs(np.asarray(read, int) - pixels).mean() < 4 and (read.coded is not None) == kept
    writer = Writer(tmp_path / "b.mp4", "overlay", Fraction(10))
    writer.add(painted(read, np.full((64, 96), 255), PALETTE), 0.0)
    writer.close()
    [(shown, _)] = open_frames(tmp_path / "b.mp4")
    assert np.abs(np.asarray(shown, int) - pixels).mean() < 5
    if kept:
        assert shown.coded.colorspace == space and shown.coded.color_range == LIMITED


def turned_video(path, quarters):
    """As telephones write upright videos: the pictures lie on their side, and the file says how to turn them."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:24, :32] = (200, 40, 40)
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=10, options={"crf": "2"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        file.mux(stream.encode(None))
    turn(path, quarters)
    return np.rot90(pixels, -quarters)  # clockwise


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_telephones_video_is_drawn_upright(tmp_path, quarters):
    expected = turned_video(tmp_path / "a.mp4", quarters)
    [(read, _)] = open_frames(tmp_path / "a.mp4")
    assert read.shape == expected.shape and np.abs(np.asarray(read, int) - expected).mean() < 3
    assert (read.coded is not None) == (quarters == 0)  # else the decoder's frame lies on its side
    drawn = painted(read, np.full(read.shape[:2], 255), PALETTE)
    assert np.abs(drawn.to_ndarray(format="rgb24") - expected.astype(int)).mean() < 5
