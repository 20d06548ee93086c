"""Videos, folders of frames and streams: what is read, what is written, and what stops them."""

import copy
import errno
import io
import json
import sys
import types
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image
from reference import TINY
from turned import lay, turn

from segformer_tf import SegformerConfig, SegformerImageProcessor, SegmentationPipeline
from segformer_tf import TFSegformerForSemanticSegmentation as Segmentation
from segformer_tf.pipelines import files, marks
from segformer_tf.pipelines.runtimes.runtime import Runtime
from segformer_tf.pipelines.video.frames import open_frames
from segformer_tf.pipelines.video.labelling import Smoothed, label_video
from segformer_tf.pipelines.video.recording import Writer

FRAMES = np.random.default_rng(0).integers(0, 256, (7, 50, 70, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def segment():
    model = Segmentation(SegformerConfig(**TINY), data_format="channels_last")
    return SegmentationPipeline(model, SegformerImageProcessor(size=64), name="tiny", runtime="tensorflow")


def write_video(path, frames=FRAMES, sounds=(), rate=10, heard_for=0, ratio=None):
    """A video; `heard_for`: seconds that its sounds go on after the last frame."""
    with av.open(str(path), "w") as file:
        video = file.add_stream("libx264", rate=rate, options={"crf": "10"})
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv444p"
        video.codec_context.sample_aspect_ratio = ratio or Fraction(1)
        tracks = [file.add_stream(kind, rate=16000, layout="stereo") for kind in sounds]

        def hear(seconds):
            for track in tracks:
                kind = "u8" if track.name == "pcm_u8" else "s16"
                samples = np.zeros((1, 2 * round(seconds * 16000)), {"u8": np.uint8, "s16": np.int16}[kind])
                heard = av.AudioFrame.from_ndarray(samples, format=kind, layout="stereo")
                heard.sample_rate = 16000
                file.mux(track.encode(heard))

        for frame in frames:
            file.mux(video.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            hear(1 / rate)
        file.mux(video.encode(None))
        if heard_for:
            hear(heard_for)
        for track in tracks:
            file.mux(track.encode(None))
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(FRAMES, 8):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{number}.png")
    return tmp_path / "frames"


def read_labels(path):
    with av.open(str(path)) as file:
        return [(frame.to_ndarray(format="gray"), frame.time) for frame in file.decode(video=0)]


def test_a_video_becomes_overlay_labels_and_a_line_for_each_frame(segment, tmp_path):
    source = write_video(tmp_path / "street.mp4", sounds=["aac"])
    done = []
    found = label_video(segment, source, tmp_path / "out", batch_size=3, each=lambda: done.append(1))
    assert len(done) == found["frames"] == 7 and found["seconds"] == pytest.approx(0.7)
    names = ["street_frames.jsonl", "street_labels.mkv", "street_overlay.mp4"]
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == names
    assert all(marks.ours(tmp_path / "out" / name) for name in names)
    pictures = [pixels for pixels, _ in open_frames(source)]
    labels = read_labels(tmp_path / "out" / "street_labels.mkv")
    for number, (pixels, (ids, time)) in enumerate(zip(pictures, labels, strict=True)):
        assert (ids == segment(pixels).labels).mean() > 0.999
        assert time == pytest.approx(number / 10, abs=1e-3)
    head, *lines = map(json.loads, (tmp_path / "out" / "street_frames.jsonl").read_text().splitlines())
    assert head["rate"] == 10 and head["classes"][0] == {"id": 0, "name": "LABEL_0"}
    assert [line["frame"] for line in lines] == list(range(7)) and lines[3]["time"] == pytest.approx(0.3)
    assert sum(row["pixels"] for row in lines[0]["classes"]) == 50 * 70
    assert sum(row["share"] for row in found["classes"]) == pytest.approx(1)
    with av.open(str(tmp_path / "out" / "street_overlay.mp4")) as overlay, av.open(str(source)) as original:
        kept, before = (list(file.demux(audio=0)) for file in (overlay, original))
        assert [bytes(packet) for packet in kept if packet.size] == [bytes(packet) for packet in before if packet.size]
    label_video(segment, source, tmp_path / "out", ("labels",))  # what is ours is replaced


def length_of_sound(path):
    """Seconds from the beginning to the end of the last packet; 0 without sound."""
    with av.open(str(path)) as file:
        packets = [packet for packet in file.demux(audio=0) if packet.size] if file.streams.audio else []
        return max((float((packet.pts + packet.duration) * packet.time_base) for packet in packets), default=0)


@pytest.mark.parametrize(("name", "kind"), [("a.avi", "pcm_s16le"), ("a.mkv", "pcm_s24le")])
def test_pcm_whose_channels_have_no_names_is_copied(segment, tmp_path, name, kind):
    source = write_video(tmp_path / name, sounds=[kind])
    label_video(segment, source, tmp_path / "out")
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as overlay, av.open(str(source)) as original:
        assert (overlay.streams.audio[0].name, overlay.streams.audio[0].layout.name) == (kind, "stereo")
        kept, before = (b"".join(map(bytes, file.demux(audio=0))) for file in (overlay, original))
    assert kept == before
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as file:
        assert len(list(file.decode(video=0))) == 7


def test_sound_that_mp4_does_not_take_is_left_out_with_a_warning_and_the_picture_kept(segment, tmp_path):
    source = write_video(tmp_path / "a.avi", sounds=["pcm_u8"])
    begun = []
    with pytest.warns(UserWarning, match=r"overlay of .*a\.avi gets no sound: MP4 does not take pcm_u8") as told:
        label_video(segment, source, tmp_path / "out", each=lambda: begun.append(len(told)))
    assert begun == [1] * 7  # before the first frame, and once
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as file:
        assert len(list(file.decode(video=0))) == 7 and not file.streams.audio
    label_video(segment, source, tmp_path / "out", ("labels", "json"))  # which have no sound anyway


def test_of_several_sound_tracks_the_first_that_mp4_takes_is_kept(segment, tmp_path):
    source = write_video(tmp_path / "a.avi", sounds=["pcm_u8", "aac"])
    with pytest.warns(UserWarning, match=r"a\.avi has 2 sound tracks; the overlay gets the first that MP4 takes"):
        label_video(segment, source, tmp_path / "out", ("overlay",))
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as file:
        assert [track.codec_context.name for track in file.streams.audio] == ["aac"]


def test_names_and_folders_may_have_a_colon(segment, tmp_path, monkeypatch):
    """Relative, as FFmpeg takes what stands before it for a protocol."""
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", FRAMES[:2], sounds=["aac"]).rename("12:30.mp4")
    found = label_video(segment, "12:30.mp4", "data:out")
    assert found["frames"] == 2 and len(list((tmp_path / "data:out").iterdir())) == 3
    with av.open(str(next((tmp_path / "data:out").glob("*_overlay.mp4")))) as file:
        assert file.streams.audio


def test_labels_have_no_sound_and_their_frames_the_times_of_the_video(segment, tmp_path):
    label_video(segment, write_video(tmp_path / "a.mp4", sounds=["aac"]), tmp_path / "out")
    with av.open(str(tmp_path / "out" / "a_labels.mkv")) as file:
        assert not file.streams.audio
    times = [json.loads(line)["time"] for line in (tmp_path / "out" / "a_frames.jsonl").read_text().splitlines()[1:]]
    assert [time for _, time in read_labels(tmp_path / "out" / "a_labels.mkv")] == pytest.approx(times, abs=1e-9)


def test_sound_goes_on_after_the_last_frame_but_not_where_the_video_was_ended_early(segment, tmp_path):
    source = write_video(tmp_path / "a.mp4", sounds=["aac"], heard_for=2)
    label_video(segment, source, tmp_path / "whole")
    assert length_of_sound(tmp_path / "whole" / "a_overlay.mp4") == pytest.approx(2.7, abs=0.1)
    done = []

    def stop():
        done.append(1)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label_video(segment, source, tmp_path / "cut", each=stop, batch_size=1)
    assert length_of_sound(tmp_path / "cut" / "a_overlay.mp4") == pytest.approx(0.3, abs=0.07)


def test_odd_sides_are_kept_in_the_labels_and_made_even_in_the_overlay(segment, tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(2):
        Image.fromarray(FRAMES[number, :49, :67]).save(tmp_path / "frames" / f"{number}.png")
    label_video(segment, tmp_path / "frames", tmp_path / "out", ("labels", "overlay"), rate=5)
    assert read_labels(tmp_path / "out" / "frames_labels.mkv")[0][0].shape == (49, 67)
    with av.open(str(tmp_path / "out" / "frames_overlay.mp4")) as file:
        assert (file.streams.video[0].height, file.streams.video[0].width) == (50, 68)


@pytest.mark.parametrize("count", [5, 300])
def test_label_frames_are_lossless_for_any_number_of_classes(tmp_path, count):
    ids = np.random.default_rng(0).integers(0, count, (3, 40, 60))
    writer = Writer(tmp_path / "labels.mkv", "labels", Fraction(25), wide=count > 256)
    for number, frame in enumerate(ids):
        writer.add(frame, number / 25)
    writer.close()
    with av.open(str(tmp_path / "labels.mkv")) as file:
        kind = "gray16le" if count > 256 else "gray"
        found = [frame.to_ndarray(format=kind) for frame in file.decode(video=0)]
    np.testing.assert_array_equal(found, ids)


def test_frames_of_a_folder_come_by_their_numbers(folder):
    frames = open_frames(folder, rate=5)
    assert frames.count == 7 and frames.rate == 5
    for (pixels, seconds), expected, number in zip(frames, FRAMES, range(7), strict=True):
        np.testing.assert_array_equal(pixels, expected)
        assert seconds == number / 5


@pytest.mark.parametrize("kind", ["grey of 16 bits", "float", "transparent", "palette"])
def test_frames_of_a_folder_are_read_as_pictures_are(segment, tmp_path, kind):
    (tmp_path / "frames").mkdir()
    for number, frame in enumerate(FRAMES[:3]):
        picture, grey = Image.fromarray(frame), frame[..., 0]
        if kind == "grey of 16 bits":
            picture = Image.fromarray(grey.astype(np.uint16) * 257)
        elif kind == "float":
            picture = Image.fromarray(grey.astype(np.float32) / 255)
        else:
            picture = picture.convert("RGBA") if kind == "transparent" else picture.quantize(64)
        suffix = {"float": "tif", "palette": "gif"}.get(kind, "png")
        picture.save(tmp_path / "frames" / f"{number}.{suffix}")
    label_video(segment, tmp_path / "frames", tmp_path / "out", ("labels", "overlay"), alpha=0)
    with av.open(str(tmp_path / "out" / "frames_overlay.mp4")) as file:
        painted = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    labels = read_labels(tmp_path / "out" / "frames_labels.mkv")
    for file, (ids, _), shown in zip(sorted((tmp_path / "frames").iterdir()), labels, painted, strict=True):
        expected = segment(file)
        np.testing.assert_array_equal(ids, expected.labels)
        assert abs(shown.mean() - expected.pixels.mean()) < 3


def test_a_processors_range_of_values_holds_for_frames(segment, tmp_path):
    (tmp_path / "frames").mkdir()
    Image.fromarray(FRAMES[0, ..., 0].astype(np.uint16) * 16).save(tmp_path / "frames" / "0.png")
    processor = SegformerImageProcessor(size=64, value_range=(0, 4095))
    stretched = SegmentationPipeline(segment.model, processor, runtime="tensorflow")
    label_video(stretched, tmp_path / "frames", tmp_path / "out", ("labels",))
    [(ids, _)] = read_labels(tmp_path / "out" / "frames_labels.mkv")
    np.testing.assert_array_equal(ids, stretched(tmp_path / "frames" / "0.png").labels)


def test_a_folder_gives_the_files_that_pictures_are_taken_from(segment, folder, tmp_path):
    (folder / "._8.png").write_bytes(b"junk")
    (folder / "9.5.png").mkdir()
    (folder / "notes.txt").touch()
    Image.fromarray(FRAMES[0]).save(folder / "1\u00b2.jfif", format="JPEG")  # a digit that is no number
    segment(folder / "9.png").save(folder, ("labels", "overlay"))
    frames = open_frames(folder)
    assert frames.count == len(list(frames)) == 8
    told = "1 hidden file, 2 results of segformer-tf itself, 1 other file (notes.txt), 1 folder."
    assert frames.left_out == f"{folder}: left out {told}"


@pytest.mark.parametrize("rate", [0, -5, float("inf"), float("nan"), 0.0001])
def test_a_rate_that_cannot_be_is_named(folder, rate):
    with pytest.raises(ValueError, match=rf"rate is {rate:g}; expected 0\.01 to 1000 frames a second"):
        open_frames(folder, rate)


def test_a_video_has_a_rate_of_its_own(tmp_path):
    with pytest.raises(ValueError, match=r"rate is 5, and .*a\.mp4 has its own; leave it out"):
        open_frames(write_video(tmp_path / "a.mp4"), 5)


def test_a_stream_comes_from_stdin(tmp_path, monkeypatch):
    class Stdin:
        buffer = io.BytesIO(write_video(tmp_path / "a.mkv").read_bytes())

    monkeypatch.setattr("sys.stdin", Stdin)
    frames = open_frames("-")
    assert frames.name == "stdin" and len(list(frames)) == 7


def as_stdin(monkeypatch, data, seekable):
    class Pipe(io.BytesIO):
        def seekable(self):
            return seekable

        def seek(self, *where):
            if not seekable:
                raise io.UnsupportedOperation("seek")
            return super().seek(*where)

        def peek(self, size):
            return self.getbuffer()[self.tell() :][:size].tobytes()

    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(buffer=Pipe(data)))


def test_an_mp4_whose_index_is_at_its_end_is_told_of_where_it_comes_through_a_pipe(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (25, 256, 320, 3), dtype=np.uint8)
    data = write_video(tmp_path / "a.mp4", noise).read_bytes()
    as_stdin(monkeypatch, data, seekable=True)
    assert len(list(open_frames("-"))) == 25
    as_stdin(monkeypatch, data, seekable=False)
    with pytest.raises(
        OSError, match=r"stdin is .* cannot come through a pipe: give the file, or write it with -movfl"
    ):
        list(open_frames("-"))
    as_stdin(monkeypatch, b"no video" * 99, seekable=False)
    with pytest.raises(OSError, match=r"stdin is no video that FFmpeg reads, or is cut off \([^)]*\)\.$"):
        list(open_frames("-"))


def test_stdin_without_bytes_is_told(monkeypatch):
    as_stdin(monkeypatch, b"", seekable=False)
    with pytest.raises(ValueError, match="- is the video on stdin, which has no bytes: give one, as in"):
        open_frames("-")
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ValueError, match="- is the video on stdin, which has no bytes: give one, as in"):
        open_frames("-")


def test_without_smoothing_nothing_changes_and_with_it_probabilities_are_averaged(segment):
    pixels = np.random.default_rng(1).normal(size=(4, 64, 64, 3)).astype("float32")
    plain = segment.runtime(pixels)
    off = Smoothed(segment.runtime, 0)(pixels)
    second, first = np.moveaxis(np.sort(plain, -1)[..., -2:], -1, 0)
    clear = first - second > 1e-5  # float32 rounds others to a tie
    np.testing.assert_array_equal(off.argmax(-1)[clear], plain.argmax(-1)[clear])
    rates = np.exp(plain) / np.exp(plain).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(off), rates, atol=1e-5)
    smoothed = Smoothed(segment.runtime, 0.7)
    found = np.concatenate([smoothed(pixels[:3]), smoothed(pixels[3:])])  # it goes on from batch to batch
    expected = rates[0]
    for number in range(4):
        expected = expected if number == 0 else 0.7 * expected + 0.3 * rates[number]
        np.testing.assert_allclose(np.exp(found[number]), expected, atol=1e-5)


def test_smoothing_is_for_whole_frames(segment, folder, tmp_path):
    with pytest.raises(ValueError, match="smoothing is for whole frames at one scale"):
        label_video(segment, folder, tmp_path, smoothing=0.5, options={"mode": "slide"})
    with pytest.raises(ValueError, match="smoothing is 1; expected 0"):
        label_video(segment, folder, tmp_path, smoothing=1)


def test_what_an_overlay_cannot_be_is_said_before_a_frame_is_read(segment, folder, tmp_path):
    with pytest.raises(ValueError, match="alpha is 2; expected 0 to 1"):
        label_video(segment, folder, tmp_path / "out", alpha=2)
    with pytest.raises(ValueError, match="LABEL_99"):
        label_video(segment, folder, tmp_path / "out", skip="LABEL_99")
    assert not (tmp_path / "out").exists()


def test_frames_before_one_of_another_size_are_kept(segment, folder, tmp_path):
    Image.fromarray(FRAMES[0, :30]).save(folder / "12.png")
    with pytest.raises(ValueError, match=r"Frame 4 of .*frames is 30 x 70; expected 50 x 70, as the first"):
        label_video(segment, folder, tmp_path / "out", batch_size=3)
    assert len(read_labels(tmp_path / "out" / "frames_labels.mkv")) == 4
    assert len((tmp_path / "out" / "frames_frames.jsonl").read_text().splitlines()) == 5
    with av.open(str(tmp_path / "out" / "frames_overlay.mp4")) as file:
        assert len(list(file.decode(video=0))) == 4


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_what_stops_a_video_leaves_whole_files_of_the_frames_before(segment, folder, tmp_path, error):
    done = []

    def stop():
        done.append(1)
        if len(done) == 5:
            raise error

    with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else OSError):
        label_video(segment, folder, tmp_path / "out", each=stop, batch_size=1)
    assert len(read_labels(tmp_path / "out" / "frames_labels.mkv")) == 5
    assert len((tmp_path / "out" / "frames_frames.jsonl").read_text().splitlines()) == 6


def test_a_video_of_another_folder_is_not_replaced_by_one_of_its_name(segment, folder, tmp_path):
    label_video(segment, folder, tmp_path / "out", ("json",))
    other = tmp_path / "other" / "frames"
    other.mkdir(parents=True)
    Image.fromarray(FRAMES[0]).save(other / "1.png")
    for kinds in (("json",), ("overlay",)):
        with pytest.raises(
            FileExistsError, match=rf"frames_frames\.jsonl in .*out is of {folder}, and {other} has the"
        ):
            label_video(segment, other, tmp_path / "out", kinds)
    label_video(segment, other, tmp_path / "out", ("json",), overwrite=True)
    assert marks.source_of(tmp_path / "out" / "frames_frames.jsonl") == str(other)


def test_a_folders_name_has_no_ending(tmp_path, monkeypatch):
    (tmp_path / "v1.0").mkdir()
    monkeypatch.chdir(tmp_path / "v1.0")
    assert [files.video_name(source) for source in (".", str(tmp_path / "v1.0"), "my street.mp4")] == [
        "v1.0", "v1.0", "my street"
    ]  # fmt: skip
    assert files.video_name("my street.mp4", whole=True) == "my street.mp4"


def test_a_record_says_whether_a_video_is_complete(segment, folder, tmp_path):
    label_video(segment, folder, tmp_path / "out", ("json",))
    assert marks.done(tmp_path / "out" / "frames_frames.jsonl")
    Image.fromarray(FRAMES[0, :30]).save(folder / "12.png")
    ends = []
    with pytest.raises(ValueError, match="Frame 4"):
        label_video(segment, folder, tmp_path / "out", ("json",), ended=lambda *end: ends.append(end))
    record = tmp_path / "out" / "frames_frames.jsonl"
    assert marks.ours(record) and not marks.done(record) and ends == [(4, [record])]


@pytest.mark.parametrize("kinds", [("overlay",), files.DEFAULT])
def test_a_full_disk_is_a_sentence_that_names_the_directory_and_what_is_kept(segment, folder, tmp_path, kinds):
    class Full(Writer):
        def add(self, picture, seconds, ratio=None):
            if seconds > 0.1:
                raise OSError(errno.ENOSPC, "No space left on device", "out/.segformer-tf-draft-1/a.mp4")
            super().add(picture, seconds, ratio)

        def close(self):
            super().close()
            raise OSError(errno.ENOSPC, "No space left on device")

    ends = []
    with pytest.MonkeyPatch.context() as patch, pytest.raises(OSError) as told:
        patch.setattr("segformer_tf.pipelines.video.labelling.Writer", Full)
        label_video(segment, folder, tmp_path / "out", kinds, ended=lambda *end: ends.append(end))
    assert str(told.value).startswith(f"Cannot write to {tmp_path / 'out'} (No space left on device); make room")
    assert told.value.errno == errno.ENOSPC
    assert ends == [(3, [tmp_path / "out" / "frames_frames.jsonl"] if "json" in kinds else [])]
    assert [file for file in (tmp_path / "out").iterdir()] == ends[0][1]


@pytest.mark.parametrize("turned", [False, True])
def test_pixels_that_are_not_square_are_shown_as_they_were(segment, tmp_path, turned):
    source = write_video(tmp_path / "a.mp4", ratio=Fraction(3, 2))
    if turned:
        turn(source, 1)
    label_video(segment, source, tmp_path / "out", ("overlay",))
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as file:
        assert file.streams.video[0].sample_aspect_ratio == (Fraction(2, 3) if turned else Fraction(3, 2))


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
        ((1, 0, 0, -1), lambda x: x[::-1]),
        ((0, 1, 1, 0), lambda x: x.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda x: x.swapaxes(0, 1)[::-1, ::-1]),
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, -1), lambda x: x[::-1, ::-1]),
    ],
)
def test_mirrored_and_turned_videos_lie_as_they_are_shown(segment, tmp_path, matrix, shown):
    plain, source = write_video(tmp_path / "plain.mp4", FRAMES[:2]), write_video(tmp_path / "a.mp4", FRAMES[:2])
    lay(source, *matrix)
    for (found, _), (pixels, _) in zip(open_frames(source), open_frames(plain), strict=True):
        np.testing.assert_array_equal(found, shown(pixels))
    label_video(segment, source, tmp_path / "out", ("overlay",), alpha=0)
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as file:
        drawn = next(file.decode(video=0)).to_ndarray(format="gray").astype(int)
    grey = np.asarray(Image.fromarray(np.ascontiguousarray(shown(FRAMES[0]))).convert("L"), int)
    assert drawn.shape == grey.shape and np.corrcoef(drawn.ravel(), grey.ravel())[0, 1] > 0.8


def test_times_and_sound_go_on_where_those_of_joined_videos_begin_anew(segment, tmp_path):
    part = write_video(tmp_path / "part.ts", sounds=["aac"]).read_bytes()
    (tmp_path / "a.ts").write_bytes(2 * part)
    found = label_video(segment, tmp_path / "a.ts", tmp_path / "out")
    lines = (tmp_path / "out" / "a_frames.jsonl").read_text().splitlines()[1:]
    times = [json.loads(line)["time"] for line in lines]
    assert len(times) == found["frames"] == 14 and np.diff(times) == pytest.approx(0.1, abs=1e-3)
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as file:
        assert [frame.time for frame in file.decode(video=0)] == pytest.approx(times, abs=1e-3)
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as file:
        heard = [float(packet.pts * packet.time_base) for packet in file.demux(audio=0) if packet.size]
    gaps = np.diff(heard)
    assert gaps.min() > 0 and gaps.max() < 0.2 and heard[-1] == pytest.approx(times[-1], abs=0.2)


@pytest.mark.parametrize(("name", "begin"), [("a.ts", 95_439), ("a.ts", 3600), ("a.mpg", 3600)])
def test_times_of_a_broadcast_count_from_its_first_frame_or_sound(segment, tmp_path, name, begin):
    """MPEG-TS and MPEG-PS begin where the sender's clock was, whose 33 bits run over: FFmpeg has times below 0 then."""
    source, late = tmp_path / name, 0.2
    with av.open(str(source), "w", format="mpegts" if name == "a.ts" else "mpeg") as file:
        video = file.add_stream("libx264", rate=10, options={"bf": "0"})
        heard = file.add_stream("mp2", rate=48000)
        video.height, video.width, video.pix_fmt = 50, 70, "yuv420p"

        def write(track, made, after):
            for packet in track.encode(made):
                moved = round((begin + after) / packet.time_base)
                packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
                file.mux(packet)

        for number, frame in enumerate(FRAMES):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 4800), np.int16), format="s16", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48000, 4800 * number, Fraction(1, 48000)
            write(heard, sound, 0)
            write(video, av.VideoFrame.from_ndarray(frame, "rgb24"), late)
        write(video, None, late)
        write(heard, None, 0)
    found = label_video(segment, source, tmp_path / "out")
    times = [time for _, time in read_labels(tmp_path / "out" / "a_labels.mkv")]
    assert times == pytest.approx([late + number / 10 for number in range(7)], abs=0.02)
    assert found["seconds"] == pytest.approx(0.9, abs=0.1)
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as overlay:
        assert [frame.time for frame in overlay.decode(video=0)] == pytest.approx(times, abs=1e-3)
    with av.open(str(tmp_path / "out" / "a_overlay.mp4")) as overlay:
        assert float(next(overlay.demux(audio=0)).pts * Fraction(1, 48000)) == pytest.approx(0, abs=0.03)


def test_of_several_picture_tracks_the_first_is_labelled_with_a_warning(tmp_path):
    with av.open(str(tmp_path / "two.mkv"), "w") as file:
        tracks = [file.add_stream("ffv1", rate=10) for _ in range(2)]
        for side, track in zip((40, 50), tracks, strict=True):
            track.width, track.height, track.pix_fmt = side, side, "gray"
        for side, track in zip((40, 50), tracks, strict=True):
            pixels = np.zeros((side, side), np.uint8)
            file.mux(track.encode(av.VideoFrame.from_ndarray(pixels, "gray")))
            file.mux(track.encode(None))
    with pytest.warns(UserWarning, match=r"two\.mkv has 2 picture tracks; the first is labelled, and no other"):
        frames = open_frames(tmp_path / "two.mkv")
    assert [pixels.shape for pixels, _ in frames] == [(40, 40, 3)]


def test_an_animated_webp_is_a_video(segment, tmp_path):
    first, *others = map(Image.fromarray, FRAMES[:3])
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=[100, 300, 100], lossless=True)
    frames = list(open_frames(tmp_path / "a.webp"))
    assert [seconds for _, seconds in frames] == [0, 0.1, 0.4]
    np.testing.assert_array_equal([pixels for pixels, _ in frames], FRAMES[:3])
    assert label_video(segment, tmp_path / "a.webp", tmp_path / "out")["frames"] == 3
    first.save(tmp_path / "one.webp")
    assert len(list(open_frames(tmp_path / "one.webp"))) == 1


def test_a_video_that_is_cut_off_keeps_its_frames_and_is_not_complete(segment, tmp_path):
    data = write_video(tmp_path / "a.mkv", np.repeat(FRAMES, 4, 0)).read_bytes()
    (tmp_path / "a.mkv").write_bytes(data[: len(data) // 2])
    with pytest.raises(OSError, match=r"a\.mkv has [\d,]+ of [\d,]+ bytes: it is cut off, copy it anew"):
        label_video(segment, tmp_path / "a.mkv", tmp_path / "out")
    first, *frames = (tmp_path / "out/a_frames.jsonl").read_text().splitlines()
    assert not json.loads(first)["complete"] and 10 < len(frames) < 20
    assert len(read_labels(tmp_path / "out/a_labels.mkv")) == len(frames)


def test_what_is_no_video_is_named_and_writes_nothing(segment, tmp_path):
    video = write_video(tmp_path / "a.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(video[:900])
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "none").mkdir()
    for name in ("cut.mp4", "empty.mp4", "text.mp4"):
        with pytest.raises(OSError, match=rf"{name} is no video that FFmpeg reads, or is cut off"):
            label_video(segment, tmp_path / name, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="none holds no pictures"):
        open_frames(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"missing\.mp4 does not exist; expected a video, a folder"):
        open_frames(tmp_path / "missing.mp4")
    with pytest.raises(
        FileNotFoundError, match=r"rtsp://camera/1 does not exist; .* number\. An address is read by FFmpeg"
    ):
        open_frames("rtsp://camera/1")
    with av.open(str(tmp_path / "sound.mp4"), "w") as file:
        heard = file.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 16000
        file.mux(heard.encode(frame))
        file.mux(heard.encode(None))
    with pytest.raises(ValueError, match=r"sound\.mp4 has no pictures; expected a video"):
        open_frames(tmp_path / "sound.mp4")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_camera_that_is_not_there_is_named(segment, tmp_path, monkeypatch):
    class Closed:
        def __init__(self, number):
            self.number = number

        def isOpened(self):
            return False

    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace(setLogLevel=lambda level: None, VideoCapture=Closed))
    for number in ("3", 3):
        with pytest.raises(OSError, match="There is no camera 3, or another program has it; 0 is the first"):
            open_frames(number)
    with pytest.raises(OSError, match="There is no camera 3"):
        label_video(segment, 3, tmp_path)
    with pytest.raises(FileNotFoundError, match="\u00b2 does not exist; expected a video"):
        open_frames("\u00b2")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="Camera 3 needs OpenCV, which is not installed"):
        open_frames("3")


@pytest.mark.parametrize("skip", [("background", "LABEL_1"), "LABEL_1", (), None])
def test_skipped_classes_may_be_named_as_those_of_pictures_and_leave_the_files_their_names(
    segment, folder, tmp_path, skip
):
    found = label_video(segment, folder, tmp_path / "out", ("json",), skip=skip)
    assert found["files"] == [str(tmp_path / "out" / "frames_frames.jsonl")]
    with pytest.raises(ValueError, match="has no class 'sky'"):
        label_video(segment, folder, tmp_path / "out", ("json",), skip=("background", "sky"))


def test_a_file_without_the_record_says_which_video_it_is_of(segment, folder, tmp_path):
    kinds = ("labels", "overlay")
    written = label_video(segment, folder, tmp_path / "out", kinds)["files"]
    assert {marks.made_by(tmp_path / "out" / file) for file in written} == {marks.mark(folder)}
    label_video(segment, folder, tmp_path / "out", kinds)
    (tmp_path / "other").mkdir()
    other = folder.rename(tmp_path / "other" / "frames")
    with pytest.raises(FileExistsError, match="is of another picture or video"):
        label_video(segment, other, tmp_path / "out", kinds)


def test_a_cameras_frames_are_rgb_and_come_at_its_rate(monkeypatch):
    class Camera:
        def __init__(self, number):
            self.frames = [(True, frame[..., ::-1]) for frame in FRAMES[:3]]  # OpenCV's are BGR
            self.released, opened[number] = False, self

        def isOpened(self):
            return True

        def read(self):
            return self.frames.pop(0) if self.frames else (False, None)

        def release(self):
            self.released = True

    opened = {}
    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace(setLogLevel=lambda level: None, VideoCapture=Camera))
    frames = open_frames("2", rate=5)
    pixels, times = zip(*frames, strict=True)
    np.testing.assert_array_equal(pixels, FRAMES[:3])
    assert times == (0, 0.2, 0.4) and all(each.flags.c_contiguous for each in pixels)
    assert (frames.rate, frames.count, list(opened)) == (5, None, [2]) and opened[2].released


class Halves(Runtime):
    """Class 1 to the left and class 2 to the right of the middle, unless `logits` of a picture say other; notes how
    many pictures came together."""

    backend, size, at_once = "tensorflow", None, 1

    def __init__(self, runtime, logits=None):
        super().__init__(runtime.source, runtime.description)
        ids = np.repeat([1, 2], 8)[np.newaxis].repeat(16, 0)
        self.logits = logits or (lambda pixels: np.eye(5, dtype=np.float32)[ids] * 9)
        self.together = []

    def __call__(self, pixel_values):
        self.together.append(len(pixel_values))
        return np.stack([self.logits(pixels) for pixels in pixel_values]).astype(np.float32)


def with_runtime(segment, *logits):
    segment = copy.copy(segment)
    segment.runtime = Halves(segment.runtime, *logits)
    return segment


@pytest.fixture
def grey_folder(tmp_path):
    (tmp_path / "grey").mkdir()
    for number in range(4):
        Image.new("RGB", (64, 64), (100, 100, 100)).save(tmp_path / "grey" / f"{number}.png")
    return tmp_path / "grey"


def test_smoothing_of_one_logit_keeps_its_sign_and_averages_its_probability(segment):
    one = Halves(segment.runtime, lambda pixels: pixels[..., :1])
    pixels = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(Smoothed(one, 0)(pixels), pixels[..., :1], atol=1e-5)
    first, second = 1 / (1 + np.exp(-pixels[..., :1]))
    found = Smoothed(one, 0.7)(pixels)[1]
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), 0.7 * first + 0.3 * second, atol=1e-5)


def test_smoothing_holds_for_the_frames_of_a_video(segment, folder, tmp_path):
    brightness = iter([1.0, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4])  # of class 3 against a steady 0.5 of class 0
    sure = with_runtime(segment, lambda pixels: np.full((16, 16, 5), (0.5, -9, -9, next(brightness), -9)))
    found = label_video(sure, folder, tmp_path / "out", ("labels",), smoothing=0.9, batch_size=1)
    assert [ids.max() for ids, _ in read_labels(tmp_path / "out" / "frames_labels.mkv")] == [3] * 7
    assert found["classes"][0]["name"] == "LABEL_3"


def test_options_and_the_size_of_a_batch_are_those_of_the_call(segment, folder, tmp_path):
    sliding = {"mode": "slide", "window": (32, 32), "stride": (16, 16)}
    label_video(segment, folder, tmp_path / "out", ("labels",), options=sliding)
    labels = read_labels(tmp_path / "out" / "frames_labels.mkv")
    expected = [segment(frame, **sliding).labels for frame in FRAMES]
    assert np.mean([(ids == each).mean() for (ids, _), each in zip(labels, expected, strict=True)]) > 0.999
    assert (
        np.mean([(segment(frame).labels == each).mean() for frame, each in zip(FRAMES, expected, strict=True)]) < 0.99
    )
    for size in (1, 3):
        noted = with_runtime(segment)
        label_video(noted, folder, tmp_path / "out", ("labels",), batch_size=size)
        assert max(noted.runtime.together) == size


@pytest.mark.parametrize("skip", ["LABEL_1", ("LABEL_2",), (), None])
def test_skipped_classes_are_not_painted(segment, grey_folder, tmp_path, skip):
    label_video(with_runtime(segment), grey_folder, tmp_path / "out", ("overlay",), alpha=1, skip=skip)
    with av.open(str(tmp_path / "out" / "grey_overlay.mp4")) as file:
        drawn = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    for column, number in ((12, 1), (52, 2)):
        expected = [100] * 3 if f"LABEL_{number}" in (skip or ()) else segment.palette[number]
        assert np.abs(drawn[20:40, column] - expected).max() < 12


@pytest.mark.parametrize("outline", [False, True])
def test_rims_are_drawn_where_they_are_asked_for(segment, grey_folder, tmp_path, outline):
    label_video(with_runtime(segment), grey_folder, tmp_path / "out", ("overlay",), alpha=0, outline=outline)
    with av.open(str(tmp_path / "out" / "grey_overlay.mp4")) as file:
        grey = next(file.decode(video=0)).to_ndarray(format="gray").astype(int)
    away = np.abs(grey - grey[0, 0]).max(0)
    assert bool(away[30:34].max() > 20) is outline and away[[8, 20, 44, 60]].max() < 6
