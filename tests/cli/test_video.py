"""`video`, and `segment` of a video, as people call them."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from small_data import small_checkpoint as small

from segformer_tf.cli import video


@pytest.fixture
def frames(tmp_path):
    (tmp_path / "frames").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{number}.png")
    return tmp_path / "frames"


def test_a_video_is_labelled_by_both_commands_alike(call, frames, tmp_path):
    skipped = ["--skip-class", "background", "--skip-class", "class 1"]
    status, stdout, stderr = call(
        "video", frames, "--model", small(), "--output", tmp_path / "out", "--fps", 5, *skipped
    )
    assert (status, stderr) == (0, "") and f"{frames}: 4 frames in " in stdout
    assert f"wrote {tmp_path / 'out' / 'frames_overlay.mp4'}" in stdout
    source = tmp_path / "out" / "frames_overlay.mp4"
    arguments = ["--model", small(), "--output", tmp_path / "again", "--save", "json"]
    status, stdout, _ = call("segment", source, *arguments, "--json")
    (row,) = json.loads(stdout)
    assert status == 0 and row["path"] == str(source) and row["frames"] == 4 and row["classes"]
    assert [file.name for file in (tmp_path / "again").iterdir()] == ["frames_overlay_frames.jsonl"]


def test_what_is_no_video_is_one_line(call, frames, tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    for source, told in [
        (tmp_path / "empty.mp4", "is no video that FFmpeg reads"),
        (tmp_path / "missing.mp4", "does not exist; expected a video"),
    ]:
        status, _, stderr = call("video", source, "--model", small(), "--output", tmp_path / "out")
        assert status == 1 and told in stderr and stderr.count("\n") == 1
    status, _, stderr = call("segment", tmp_path / "empty.mp4", frames, "--model", small())
    assert status == 2 and "videos and pictures are given together" in stderr
    status, _, stderr = call("video", frames, "--save", "polygons")
    assert status == 2 and "expected some of labels,overlay,json" in stderr


@pytest.fixture
def videos(call, frames, tmp_path):
    """A folder with a.mp4, b.mp4, and empty.mp4, which is none."""
    assert call("video", frames, "--model", small(), "--output", tmp_path / "made", "--save", "overlay")[0] == 0
    (tmp_path / "v").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(tmp_path / "made" / "frames_overlay.mp4", tmp_path / "v" / name)
    (tmp_path / "v" / "empty.mp4").write_bytes(b"")
    return tmp_path / "v"


def test_one_bad_video_of_several_is_told_and_the_others_done(call, videos, tmp_path):
    arguments = ["--model", small(), "--output", tmp_path / "out", "--save", "json", "--json"]
    status, stdout, stderr = call("segment", videos / "*.mp4", *arguments)
    assert status == 1 and [row["path"] for row in json.loads(stdout)] == [str(videos / n) for n in ("a.mp4", "b.mp4")]
    assert "empty.mp4 is no video that FFmpeg reads" in stderr and "1 of 3 videos failed; the others are done" in stderr
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_full_disk_ends_all_videos_and_says_how_to_go_on(call, videos, tmp_path, monkeypatch):
    label = video._label

    def until_full(pipeline, one, *rest):
        if one.shown.endswith("b.mp4"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return label(pipeline, one, *rest)

    monkeypatch.setattr(video, "_label", until_full)
    given = [videos / "a.mp4", videos / "b.mp4", "--model", small(), "--output", tmp_path / "out", "--save"]
    for kinds, go_on in (("labels,json", "; --skip-existing goes on"), ("labels", "")):
        status, _, stderr = call("segment", *given, kinds)
        assert status == 1 and stderr.endswith(
            f"segformer-tf: The disk of {tmp_path / 'out'} is full (No space left on device): 1 of 2 videos are done; "
            f"make room{go_on}.\n"
        )


def test_two_videos_of_one_name_are_refused_and_whole_names_tell_them_apart(call, videos, tmp_path):
    shutil.copy(videos / "a.mp4", videos / "a.mov")
    arguments = ["--model", small(), "--output", tmp_path / "out", "--save", "json"]
    status, _, stderr = call("segment", videos / "a.mp4", videos / "a.mov", *arguments)
    assert status == 1 and stderr.count("would both be written as") == 1 and not (tmp_path / "out").exists()
    (videos / "a.mp4").rename(videos / "a b.mp4")
    assert call("segment", videos / "a b.mp4", videos / "a.mov", *arguments, "--whole-names")[0] == 0
    names = sorted(file.name for file in (tmp_path / "out").iterdir())
    assert names == ["a b.mp4_frames.jsonl", "a.mov_frames.jsonl"]


def test_videos_that_are_done_are_left_out_if_asked_unless_they_ended_early(call, videos, tmp_path):
    arguments = ["--model", small(), "--output", tmp_path / "out", "--save", "json", "--skip-existing"]
    assert call("segment", videos / "a.mp4", *arguments)[0] == 0
    status, stdout, stderr = call("segment", videos / "a.mp4", videos / "b.mp4", *arguments)
    assert status == 0 and "1 of 2 videos are done already" in stderr and "a.mp4" not in stdout
    record = tmp_path / "out" / "b_frames.jsonl"
    record.write_text(record.read_text().replace('"complete": true ', '"complete": false'))
    status, stdout, stderr = call("segment", videos / "a.mp4", videos / "b.mp4", *arguments)
    assert status == 0 and f"{videos / 'b.mp4'}: 4 frames" in stdout


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--output", "-"], "--output -: is for pictures"),
        (["--recursive"], "--recursive: is for pictures"),
        (["--legend", "inside"], "--legend: is for pictures"),
        (["--page", "2"], "--page: is for pictures"),
        (["--skip-existing", "--save", "overlay"], "--skip-existing: of videos needs json"),
    ],
)
def test_options_that_videos_do_not_take_are_wrong_calls(call, option, told):
    status, _, stderr = call("segment", "a.mp4", "--model", small(), *option)
    assert status == 2 and told in stderr.replace("Invalid value for ", "")


def test_a_rate_is_for_folders_and_cameras(call, frames):
    status, _, stderr = call("video", "a.mp4", "--model", small(), "--fps", "5")
    assert status == 2 and "--fps" in stderr and "a video has a rate of its own" in stderr
    status, _, stderr = call("video", frames, "--model", small(), "--fps", "inf")
    assert status == 2 and "--fps" in stderr


def test_what_is_left_out_of_a_folder_is_told(call, frames, tmp_path):
    (frames / "._0.png").write_bytes(b"junk")
    status, _, stderr = call("video", frames, "--model", small(), "--output", tmp_path / "out", "--save", "json")
    assert (status, stderr) == (0, f"segformer-tf: {frames}: left out 1 hidden file.\n")


def test_frames_before_a_wrong_one_are_kept_and_told(call, frames, tmp_path):
    Image.new("RGB", (30, 20)).save(frames / "7.png")
    status, _, stderr = call("video", frames, "--model", small(), "--output", tmp_path / "out")
    assert status == 1 and f"{frames}: stopped after 4 frames, which are in {tmp_path / 'out'}." in stderr
    assert "is 20 x 30; expected 40 x 60" in stderr and len(list((tmp_path / "out").iterdir())) == 3
