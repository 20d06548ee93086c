"""The commands as people call them, in a process of their own, and inside this one where only words are tested."""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from reference import FIXTURES, ROOT

from segformer_tf import cli

EXAMPLE = ROOT / "examples" / "china.jpg"


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "segformer_tf.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def call(capsys):
    """Runs a command in this process -> (exit status, stdout, stderr)."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(list(map(str, arguments)))
        return ended.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def pictures(tmp_path):
    """A directory of small pictures of every kind, and things that are none."""
    directory = tmp_path / "pictures"
    directory.mkdir()
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype("uint8"))
    rgb.save(directory / "rgb.png")
    rgb.save(directory / "rgb.jpg", quality=95)
    rgb.convert("CMYK").save(directory / "cmyk.jpg")
    rgb.quantize(16).save(directory / "palette.png")
    rgb.convert("RGBA").save(directory / "alpha.png")
    Image.fromarray(np.asarray(rgb)[..., 0].astype("uint16") * 257).save(directory / "grey16.png")
    rgb.save(directory / "animated.gif", save_all=True, append_images=[rgb.rotate(90)] * 2)
    turned = Image.Exif()
    turned[274] = 6
    rgb.save(directory / "turned.jpg", exif=turned)
    Image.new("RGB", (5, 3)).save(directory / "small.png")
    return directory


def test_a_fresh_process_segments_a_picture_and_says_nothing_else(tmp_path):
    done = run("segment", EXAMPLE, "--output", tmp_path / "out", "--json")
    assert done.returncode == 0 and done.stderr == ""
    (row,) = json.loads(done.stdout)
    assert row["classes"][0]["name"] == "sky" and row["size"] == {"height": 427, "width": 640}
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "china_labels.png",
        "china_overlay.png",
        "china.json",
    }


def test_help_answers_at_once():
    run("--help")
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert "segment" in run("--help").stdout
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_pictures_of_every_kind_are_done_and_bad_ones_reported(call, pictures, tmp_path):
    (pictures / "empty.jpg").write_bytes(b"")
    (pictures / "text.png").write_text("not a picture")
    (pictures / "cut.jpg").write_bytes((pictures / "rgb.jpg").read_bytes()[:600])
    (pictures / "notes.txt").write_text("left out")
    status, stdout, stderr = call("segment", pictures, "--output", tmp_path / "out", "--json")
    assert stdout, stderr
    rows = {row["path"].rpartition("/")[2]: row for row in json.loads(stdout)}
    assert status == 1
    assert set(rows) == {
        "rgb.png", "rgb.jpg", "cmyk.jpg", "palette.png", "alpha.png", "grey16.png", "animated.gif", "turned.jpg", "small.png",
    }  # fmt: skip
    assert f"{pictures}/empty.jpg is empty (0 bytes); expected an image." in stderr
    assert f"{pictures}/text.png is not an image" in stderr
    assert f"{pictures}/cut.jpg is damaged or cut off" in stderr
    assert "3 of 12 pictures failed; the others are done." in stderr and "Traceback" not in stderr
    assert rows["turned.jpg"]["size"] == {"height": 40, "width": 60}, "EXIF rotation is not asked for"
    files = [file.rpartition("/")[2] for row in rows.values() for file in row["files"]]
    assert len(files) == len(set(files)) == 27, "pictures of the same name do not overwrite each other"
    same = np.asarray(Image.open(tmp_path / "out" / "rgb-2_labels.png"))
    np.testing.assert_array_equal(same, np.asarray(Image.open(tmp_path / "out" / "alpha_labels.png")))


def test_a_decompression_bomb_is_refused(call, tmp_path, monkeypatch):
    Image.new("L", (400, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    status, _, stderr = call("segment", tmp_path / "bomb.png", "--output", tmp_path / "out")
    assert status == 1 and "bomb.png is too large to decode safely" in stderr and not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["segment", "nowhere.jpg"], 1, "nowhere.jpg does not exist; expected an image file."),
        (["segment", "EMPTY"], 1, "EMPTY holds no pictures; expected files such as .jpg or .png in it."),
        (["segment", "china.jpg", "--output", "china.jpg"], 1, "china.jpg cannot be made a directory to write into"),
        (["segment", "china.jpg", "--mode", "half"], 1, 'mode is \'half\'; expected "whole" or "slide"'),
        (["segment", "china.jpg", "--model", "no such"], 1, "There is no file or directory no such, and it cannot be"),
        (["segment", "china.jpg", "--model", "BERT"], 1, "model_type 'bert', expected \"segformer\""),
        (["segment", "china.jpg", "--model", "CUT"], 1, "CUT/model.safetensors"),
        (["segment", "china.jpg", "--model", "EMPTY"], 1, "EMPTY holds no weights: looked for config.json,"),
        (["info", "nowhere/at/all"], 1, "There is no file or directory nowhere/at/all, and it cannot be a Hub id"),
        (["convert", "CUT", "new"], 1, "CUT/model.safetensors"),
        (["segment"], 2, "Missing argument"),
        (["segment", "china.jpg", "--colour"], 2, "No such option"),
        (["classify", "china.jpg"], 2, "Missing option '--model'"),
        (["paint"], 2, "No such command 'paint'"),
    ],
)
def test_failures_are_one_line_and_wrong_calls_are_told_apart(call, tmp_path, monkeypatch, arguments, status, message):
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BERT").mkdir()
    (tmp_path / "BERT" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "CUT").mkdir()
    shutil.copy(FIXTURES / "hf4-seg" / "config.json", tmp_path / "CUT")
    data = (FIXTURES / "hf4-seg" / "model.safetensors").read_bytes()
    (tmp_path / "CUT" / "model.safetensors").write_bytes(data[:9000])
    found, _, stderr = call(*arguments)
    assert found == status
    assert message in " ".join(stderr.split()) and "Traceback" not in stderr
    if status == 1:
        assert len(stderr.strip().splitlines()) == 1 and stderr.startswith("segformer-tf: ")
    assert not (tmp_path / "new").exists() and (tmp_path / "china.jpg").read_bytes() == EXAMPLE.read_bytes()


def test_a_hub_id_without_a_network_says_what_to_do(call, monkeypatch):
    from huggingface_hub import constants  # reads HF_HUB_OFFLINE once, when it is loaded

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, _, stderr = call("info", "nobody/nothing")
    assert status == 1 and "download it once with a network, or give the path of a directory" in stderr


def test_debug_shows_where_it_failed():
    done = run("info", "nowhere/at/all", "--debug")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_info_tells_what_a_checkpoint_is(call):
    status, stdout, _ = call("info", "segformer-b0-camvid", "--json")
    facts = json.loads(stdout)
    assert status == 0 and facts["variant"] == "b0" and facts["parameters"] == 3_717_483
    assert facts["labels"][0] == "sky" and facts["input"] == {"height": 360, "width": 480}
    assert "hidden sizes: 8, 16, 20, 32" in call("info", FIXTURES / "hf4-cls" / "tf_model.h5")[1]


def test_convert_writes_what_info_reads(call, tmp_path):
    status, stdout, _ = call("convert", FIXTURES / "hf4-seg", tmp_path / "tf_model.h5")
    assert status == 0 and f"wrote {tmp_path / 'tf_model.h5'}" in stdout
    assert "names: tf" in call("info", tmp_path / "tf_model.h5")[1]


def test_classify_prints_names_and_scores(call):
    status, stdout, _ = call("classify", EXAMPLE, "--model", FIXTURES / "hf4-cls", "--top-k", "2", "--json")
    (row,) = json.loads(stdout)
    assert status == 0 and len(row["classes"]) == 2 and row["classes"][0]["score"] >= row["classes"][1]["score"]
