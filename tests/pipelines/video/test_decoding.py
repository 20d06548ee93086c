"""Which track of a video is meant, how its frames lie, when they are shown, and when they end."""

import struct
import warnings
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest
from PIL import Image

from segformer_tf.pipelines.video.decoding import ASF_DATA, ASF_FILE, Clock, picture_track, rate_of, upright
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
    "ivf": ("ivf", "libvpx", {}, "ends in the middle of a packet: it is cut off"),
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
    data = write_noise(tmp_path / "a", kind, codec, options, sounding and kind not in ("flv", "ivf")).read_bytes()
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a last frame that is not whole
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
    each = [SimpleNamespace(disposition=disposition, frames=0, duration=None) for disposition in dispositions]
    return SimpleNamespace(streams=SimpleNamespace(video=each))


def test_a_cover_is_no_video_and_a_still_is_none_beside_a_video():
    for cover in (0x400, 0x401, 0x800, 0x100000):
        both = tracks(cover, 1)
        assert picture_track(both, "a.mkv") is both.streams.video[1]
    alone = tracks(0x800)
    assert picture_track(alone, "a.mkv") is alone.streams.video[0]
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


def test_sound_with_a_cover_is_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp3"), "w") as file:
        heard, cover = file.add_stream("libmp3lame", rate=48000), file.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 96, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48000
        file.mux(heard.encode(frame))
        for picture in (av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24"), None):
            file.mux(cover.encode(picture))
        file.mux(heard.encode(None))
    with pytest.raises(ValueError, match=r"a\.mp3 has no pictures but a cover; expected a video"):
        open_frames(tmp_path / "a.mp3")


def test_text_is_no_video(tmp_path):
    (tmp_path / "notes.txt").write_text("what FFmpeg would draw\n" * 99)
    with pytest.raises(OSError, match=r"notes\.txt is text, and no video that FFmpeg reads"):
        open_frames(tmp_path / "notes.txt")


def test_an_animated_avif_is_its_frames_and_not_its_first_picture(tmp_path):
    first, *others = (Image.new("RGB", (96, 64), (60 * number, 0, 0)) for number in range(4))
    first.save(tmp_path / "a.avif", save_all=True, append_images=others, duration=[100, 300, 100, 100])
    frames = list(open_frames(tmp_path / "a.avif"))
    assert [round(float(np.mean(pixels[..., 0])) / 60) for pixels, _ in frames] == [0, 1, 2, 3]
    assert [seconds for _, seconds in frames] == pytest.approx([0, 0.1, 0.4, 0.5])


def cut_out(data, begin, end):
    """Other bytes instead of some, from one share of them to another."""
    begin, end = round(len(data) * begin), round(len(data) * end)
    noise = np.random.default_rng(1).integers(0, 256, end - begin, np.uint8).tobytes()
    return data[:begin] + noise + data[end:]


def test_what_is_damaged_in_the_middle_is_told(tmp_path):
    data = write_noise(tmp_path / "a.avi", "avi", "mpeg4", {}, sounding=False).read_bytes()
    assert len(list(open_frames(tmp_path / "a.avi"))) == 40
    (tmp_path / "a.avi").write_bytes(cut_out(data, 0.4, 0.45))
    with pytest.warns(UserWarning, match=r"a\.avi is damaged: the decoder mended \d frames, from frame 1\d on") as told:
        assert len(list(open_frames(tmp_path / "a.avi"))) > 30
    assert len(told) == 1
    data = write_noise(tmp_path / "a.mkv", "matroska", "libvpx-vp9", {}).read_bytes()
    (tmp_path / "a.mkv").write_bytes(cut_out(data, 0.4, 0.99))
    with pytest.raises(OSError, match=r"a\.mkv ends after 1\.\d of 4\.0 seconds: it is cut off"):
        list(open_frames(tmp_path / "a.mkv"))


def test_an_apng_that_is_cut_off_is_told(tmp_path):
    first, *others = (
        Image.fromarray(np.random.default_rng(n).integers(0, 256, (64, 96, 3), np.uint8)) for n in range(9)
    )
    first.save(tmp_path / "a.png", save_all=True, append_images=others, duration=100)
    data = (tmp_path / "a.png").read_bytes()
    assert len(list(open_frames(tmp_path / "a.png"))) == 9
    (tmp_path / "a.png").write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(OSError, match=r"a\.png ends in the middle of a packet"):
        list(open_frames(tmp_path / "a.png"))


@pytest.mark.parametrize(("kind", "codec"), [("h264", "libx264"), ("hevc", "libx265"), ("ivf", "libvpx")])
def test_frames_of_a_bare_stream_come_at_the_rate_that_it_says(tmp_path, kind, codec):
    frames = open_frames(write_noise(tmp_path / "a", kind, codec, {}, sounding=False))
    assert frames.rate == 10
    assert np.diff([seconds for _, seconds in frames]) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("mean", "fits", "unit", "rate"),
    [
        (60000, 25, Fraction(1, 60000), 25),  # DV
        (5, 50, Fraction(1, 1000), 5),  # frames that come unevenly
        (25, 60, Fraction(1, 1_200_000), 60),  # bare H.264
        (25, 90_000, Fraction(1, 1_200_000), 25),
        (2400, 2400, Fraction(1, 19_200), 2400),
        (None, None, Fraction(1, 1000), None),
    ],
)
def test_a_rate_that_is_made_up_is_not_taken(mean, fits, unit, rate):
    assert rate_of(SimpleNamespace(average_rate=mean, guessed_rate=fits, time_base=unit)) == rate


@pytest.mark.parametrize("transfer", ["PQ", "HLG", None])
def test_of_hdr_a_warning_tells(tmp_path, transfer):
    with av.open(str(tmp_path / "a.mkv"), "w") as file:
        video = file.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        video.height, video.width, video.pix_fmt = 64, 96, "yuv420p10le"
        video.codec_context.color_trc = {"PQ": 16, "HLG": 18, None: 1}[transfer]
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24")
        for frame in (picture, None):
            file.mux(video.encode(frame))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert len(list(open_frames(tmp_path / "a.mkv"))) == 1
    assert [f"is HDR ({transfer}): its colours are taken as they are" in str(each.message) for each in told] == (
        [True] if transfer else []
    )
