"""`video`, and `segment` of a video, as people call them."""

import json

import numpy as np
import pytest
from PIL import Image
from small_data import small_checkpoint as small


@pytest.fixture
def frames(tmp_path):
    (tmp_path / "frames").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (4, 40, 60, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "frames" / f"{number}.png")
    return tmp_path / "frames"


def test_a_video_is_labelled_by_both_commands_alike(call, frames, tmp_path):
    status, stdout, stderr = call("video", frames, "--model", small(), "--output", tmp_path / "out", "--fps", 5)
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


def test_frames_before_a_wrong_one_are_kept_and_told(call, frames, tmp_path):
    Image.new("RGB", (30, 20)).save(frames / "7.png")
    status, _, stderr = call("video", frames, "--model", small(), "--output", tmp_path / "out")
    assert status == 1 and f"{frames}: stopped after 4 frames, which are in {tmp_path / 'out'}." in stderr
    assert "is 20 x 30; expected 40 x 60" in stderr and len(list((tmp_path / "out").iterdir())) == 3
