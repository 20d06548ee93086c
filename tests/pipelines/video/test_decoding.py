"""Which track of a video is meant, how its frames lie, when they are shown, and when they end."""

import struct
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from segformer_tf.pipelines.video.decoding import ASF_DATA, ASF_FILE, Clock, picture_track, upright
from segformer_tf.pipelines.video.frames import open_frames

# Container, codec, options of the container, what is said where it is cut off (None: nothing can be known).
CONTAINERS = {
    "mp4": ("mp4", "mpeg4", {"movflags": "faststart"}, r"ends after \d+ of 40 frames: it is cut off"),
    "mp4 of parts": ("mp4", "mpeg4", {"movflags": "frag_keyframe"}, r"ends after \d+ of \d+ frames: it is cut off"),
    "mp4 with B-frames": ("mp4", "libx264", {"movflags": "faststart"}, r"ends after \d+ of 40 frames: it is cut off"),
    "mov": ("mov", "mpeg4", {"movflags": "faststart"}, r"ends after \d+ of 40 frames: it is cut off"),
    "avi": ("avi", "mpeg4", {}, r"ends after 2\.\d of 4\.0 seconds: it is cut off"),
    "mkv": ("matroska", "mpeg4", {}, r"has [\d,]+ of [\d,]+ bytes: it is cut off"),
    "webm": ("webm", "libvpx-vp9", {}, r"has [\d,]+ of [\d,]+ bytes: it is cut off"),
    "mkv of a stream": ("matroska", "mpeg4", {"live": "1"}, None),
    "ts": ("mpegts", "mpeg4", {}, "ends in the middle of a packet: it is cut off"),
    "m2ts": ("mpegts", "libx264", {"mpegts_m2ts_mode": "1"}, "ends in the middle of a packet: it is cut off"),
    "flv": ("flv", "flv1", {}, r"has [\d,]+ of [\d,]+ bytes: it is cut off"),
    "flv with an index": ("flv", "libx264", {"flvflags": "add_keyframe_index"}, r"has [\d,]+ of [\d,]+ bytes"),
    "flv of a stream": ("flv", "flv1", {"flvflags": "no_duration_filesize"}, "ends in the middle of a packet"),
    "wmv": ("asf", "wmv2", {}, r"has [\d,]+ of [\d,]+ bytes: it is cut off"),
}


def write_noise(path, kind, codec, options, sounding=True):
    """Forty frames, four seconds, and sound for half a second more."""
    random = np.random.default_rng(0)
    with av.open(str(path), "w", format=kind, options=options) as file:
        video = file.add_stream(codec, rate=10, bit_rate=2_000_000)
        video.height, video.width, video.pix_fmt, video.codec_context.gop_size = 64, 96, "yuv420p", 10
        heard = file.add_stream("libopus" if kind == "webm" else "mp2", rate=48000) if sounding else None
        for _ in range(40):
            noise = random.integers(0, 256, (64, 96, 3), np.uint8)
            file.mux(video.encode(av.VideoFrame.from_ndarray(noise, "rgb24")))
            if heard:
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="stereo")
                frame.sample_rate = 48000
                file.mux(heard.encode(frame))
        file.mux(video.encode(None))
    return path


@pytest.mark.parametrize("sounding", [False, True])
@pytest.mark.parametrize("case", CONTAINERS)
def test_a_file_that_is_cut_off_is_told_after_its_frames_and_a_whole_one_is_not(tmp_path, case, sounding):
    kind, codec, options, told = CONTAINERS[case]
    data = write_noise(tmp_path / "a", kind, codec, options, sounding and kind != "flv").read_bytes()
    assert len(list(open_frames(tmp_path / "a"))) == 40
    (tmp_path / "a").write_bytes(data[: len(data) * 6 // 10])
    read = iter(open_frames(tmp_path / "a"))
    found = [next(read) for _ in range(15)]
    if told is None:
        found += list(read)
        assert len(found) < 40
    else:
        with pytest.raises(OSError, match=told):
            found += list(read)


@pytest.mark.parametrize("options", [{}, {"mpegts_m2ts_mode": "1"}])
def test_mpeg_ts_is_whole_with_bytes_before_and_after_its_packets_or_cut_between_two(tmp_path, options):
    data = write_noise(tmp_path / "a", "mpegts", "libx264", options, sounding=False).read_bytes()
    step = 192 if options else 188
    for changed in (data[100:], data + bytes(100), data + bytes(4096), data[: len(data) // step * 6 // 10 * step]):
        (tmp_path / "a").write_bytes(changed)
        assert len(list(open_frames(tmp_path / "a"))) > 20
    for short in (1, 100, step - 1):
        (tmp_path / "a").write_bytes(data[:-short])
        with pytest.raises(OSError, match="ends in the middle of a packet"):
            list(open_frames(tmp_path / "a"))


def test_a_broadcast_in_wmv_and_a_live_recording_in_flv_have_lengths_that_mean_nothing(tmp_path):
    data = bytearray(write_noise(tmp_path / "a.wmv", "asf", "wmv2", {}).read_bytes())
    assert len(list(open_frames(tmp_path / "a.wmv"))) == 40
    data[data.index(ASF_FILE) + 88] |= 1
    struct.pack_into("<Q", data, data.index(ASF_DATA) + 16, 2**40)
    (tmp_path / "a.wmv").write_bytes(data)
    assert len(list(open_frames(tmp_path / "a.wmv"))) == 40
    data = bytearray(write_noise(tmp_path / "a.flv", "flv", "flv1", {}, sounding=False).read_bytes())
    for number in (0.0, -1.0, float("nan"), float("inf")):
        for key in (b"duration\0", b"filesize\0"):
            struct.pack_into(">d", data, data.index(key) + 9, number)
        (tmp_path / "a.flv").write_bytes(data)
        assert len(list(open_frames(tmp_path / "a.flv"))) == 40


@pytest.mark.parametrize("name", ["a.avi", "a.mkv", "a.mp4"])
def test_a_whole_file_of_frames_that_come_unevenly_is_whole(tmp_path, name):
    with av.open(str(tmp_path / name), "w") as file:
        video = file.add_stream("mpeg4", rate=10)
        video.height, video.width, video.pix_fmt = 64, 96, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        for time in (0, 100, 500, 600, 2000, 2100, 3000, 5000):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
    assert len(list(open_frames(tmp_path / name))) == 8


@pytest.mark.parametrize(("begin", "seconds", "count"), [(0.75, 2.5, 25), (0.2, 1.0, 10), (0.2, 9.0, 40)])
def test_frames_that_an_edit_list_leaves_out_are_not_missing(tmp_path, begin, seconds, count):
    data = bytearray(write_noise(tmp_path / "a.mp4", "mp4", "libx264", {}, sounding=False).read_bytes())
    place = data.index(b"elst") + 12
    (scale,) = struct.unpack_from(">I", data, data.index(b"mdhd") + 16)
    struct.pack_into(">Ii", data, place, round(seconds * 1000), round(begin * scale))
    (tmp_path / "a.mp4").write_bytes(data)
    assert len(list(open_frames(tmp_path / "a.mp4"))) == count


def test_frames_before_the_first_key_frame_are_not_missing(tmp_path):
    whole = write_noise(tmp_path / "a.mp4", "mp4", "libx264", {}, sounding=False)
    with av.open(str(whole)) as source, av.open(str(tmp_path / "b.mp4"), "w") as file:
        track = file.add_stream_from_template(source.streams.video[0])
        for packet in list(source.demux(video=0))[5:-1]:
            packet.stream = track
            file.mux(packet)
    assert 20 < len(list(open_frames(tmp_path / "b.mp4"))) < 40


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
