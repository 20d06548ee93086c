"""`segment` and `classify` as people call them: in their own process where noise and signals are tested."""

import contextlib
import errno
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image
from reference import FIXTURES, ROOT
from small_data import small_checkpoint as small

from segformer_tf.images.png import write_png
from segformer_tf.pipelines import files, marks

pytestmark = pytest.mark.filterwarnings("ignore:.*has several frames")  # of `pictures`' animation the first is taken
EXAMPLE = ROOT / "examples" / "china.jpg"


def said(stderr: str) -> str:
    """What a command said, but for what TensorFlow 2.18 logs before it is asked to be silent."""
    old = tuple(map(int, version("tensorflow").split(".")[:2])) < (2, 19)
    return re.sub(r"(?m)^(WARNING: All log messages before absl|I0000 ).*\n", "", stderr) if old else stderr


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


def test_a_fresh_process_segments_a_picture_and_says_nothing_else(run, tmp_path):
    done = run("segment", EXAMPLE, "--output", tmp_path / "out", "--json")
    assert done.returncode == 0 and said(done.stderr) == ""
    (row,) = json.loads(done.stdout)
    assert row["classes"][0]["name"] == "sky" and row["size"] == {"height": 427, "width": 640}
    written = {file.name: file for file in (tmp_path / "out").iterdir()}
    assert set(written) == {"china_labels.png", "china_overlay.png", "china.json"}
    assert json.loads(written["china.json"].read_text())["path"] == str(EXAMPLE)


def test_pictures_of_every_kind_are_done_and_bad_ones_reported(call, pictures, tmp_path):
    (pictures / "empty.jpg").write_bytes(b"")
    (pictures / "text.png").write_text("not a picture")
    (pictures / "cut.jpg").write_bytes((pictures / "rgb.jpg").read_bytes()[:600])
    (pictures / "notes.txt").write_text("left out")
    arguments = ["segment", pictures, "--output", tmp_path / "out", "--json"]
    status, stdout, stderr = call(*arguments)
    rows = {row["path"].rpartition("/")[2]: row for row in json.loads(stdout)}
    assert status == 1
    assert set(rows) == {
        "cmyk.jpg", "palette.png", "alpha.png", "grey16.png", "animated.gif", "turned.jpg", "small.png"
    }  # fmt: skip
    assert f"{pictures}/empty.jpg is empty (0 bytes); expected an image." in stderr
    assert f"{pictures}/text.png is not an image" in stderr
    assert f"{pictures}/cut.jpg is damaged or cut off" in stderr
    assert f"{pictures}/rgb.jpg and {pictures}/rgb.png would both be written as" in stderr
    assert "5 of 12 pictures failed; the others are done." in stderr and "Traceback" not in stderr
    assert "left out 1 other file (notes.txt)" in stderr
    rows = {row["path"].rpartition("/")[2]: row for row in json.loads(call(*arguments, "--whole-names")[1])}
    written = [file.rpartition("/")[2] for row in rows.values() for file in row["files"]]
    assert len(written) == len(set(written)) == 27 and "rgb.png_labels.png" in written
    same = np.asarray(Image.open(tmp_path / "out" / "rgb.png_labels.png"))
    np.testing.assert_array_equal(same, np.asarray(Image.open(tmp_path / "out" / "alpha_labels.png")))


NAMES = ["[red]x[bold] [y].png", "a\nb.png", os.fsdecode(b"\xff\xfe.png"), "ä" * 120 + ".png", "-x.png", "a b;c.png"]


@pytest.mark.parametrize("as_json", [False, True])
def test_pictures_of_any_name_are_done(call, tmp_path, monkeypatch, as_json):
    (tmp_path / "p").mkdir()
    for name in NAMES:
        Image.new("RGB", (40, 36), (200, 30, 30)).save(tmp_path / "p" / name, "PNG")
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = call("segment", "p", "--model", small(), *(["--json"] if as_json else []))
    assert (status, stderr) == (0, "")
    assert len(list((tmp_path / "out").iterdir())) == 3 * len(NAMES)
    if as_json:
        assert {row["path"] for row in json.loads(stdout)} == {f"p/{name}" for name in NAMES}
    else:
        assert f"{len(NAMES)} pictures in " in stdout
    for name in NAMES:
        status, stdout, stderr = call("segment", f"p/{name}", "--output", "one", "--model", small())
        assert (status, stderr) == (0, "") and stdout.count("wrote one/") == 3


def test_one_picture_alone_is_reported_by_an_unprintable_name(call, tmp_path):
    (broken := tmp_path / "[bold]a\nb.png").write_text("no picture")
    status, _, stderr = call("segment", broken, "--output", tmp_path / "out", "--model", small())
    assert status == 1 and stderr.count("\n") == 1 and "[bold]a" in stderr and "is not an image" in stderr


def test_files_of_others_stay_even_where_results_would_go(call, pictures):
    (pictures / "cmyk.json").write_text('{"shapes": []}')
    before = {path: path.read_bytes() for path in pictures.iterdir()}
    arguments = [
        "segment",
        pictures / "cmyk.jpg",
        pictures / "small.png",
        "--output",
        pictures,
        "--model",
        small(),
    ]
    status, _, stderr = call(*arguments)
    assert status == 1 and "cmyk.json was not written by segformer-tf and is not replaced" in stderr
    assert "1 of 2 pictures failed; the others are done." in stderr
    assert all(path.read_bytes() == data for path, data in before.items())
    assert marks.ours(pictures / "small_labels.png") and not (pictures / "cmyk_labels.png").exists()
    assert call(*arguments, "--overwrite")[0] == 0 and marks.ours(pictures / "cmyk.json")


def test_a_second_run_does_what_is_left(call, pictures, tmp_path):
    arguments = [
        "segment",
        pictures / "*.gif",
        pictures / "cmyk.jpg",
        "--output",
        tmp_path / "out",
        "--model",
        small(),
    ]
    assert call(*arguments[:2], *arguments[3:])[0] == 0
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    status, stdout, stderr = call(*arguments, "--skip-existing")
    assert status == 0 and "1 of 2 pictures are done already and are left out." in stderr and "cmyk" in stdout
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    status, _, stderr = call(*arguments, "--skip-existing")
    assert status == 0 and "warning" not in stderr


def test_of_pictures_that_another_model_has_done_is_told(call, pictures, tmp_path):
    again = ["segment", pictures / "rgb.png", "--output", tmp_path, "--skip-existing"]
    assert call(*again, "--model", small())[0] == 0
    other = shutil.copytree(small(), tmp_path / "other")
    status, _, stderr = call(*again, "--model", other)
    told = f"warning: of those, some are by {small()}, not by {other}: for its labels leave out --skip-existing, or "
    assert status == 0 and told in stderr


def test_folders_of_folders_are_written_the_same_way(call, pictures, tmp_path):
    (pictures / "sub").mkdir()
    shutil.copy(pictures / "small.png", pictures / "sub" / "small.png")
    for name in ("rgb.png", "cmyk.jpg", "palette.png", "alpha.png", "grey16.png", "turned.jpg", "rgb.jpg"):
        (pictures / name).unlink()
    status, stdout, _ = call("segment", pictures, "--output", tmp_path / "out", "--model", small(), "--recursive")
    assert status == 0 and "3 pictures in " in stdout and f"their files are in {tmp_path / 'out'}" in stdout
    assert (tmp_path / "out" / "sub" / "small_labels.png").is_file() and (tmp_path / "out" / "small.json").is_file()


def test_a_picture_comes_from_stdin(run, tmp_path):
    done = run("segment", "-", "--output", tmp_path, "--json", input=EXAMPLE.read_bytes(), text=False)
    assert done.returncode == 0 and said(done.stderr.decode()) == ""
    (row,) = json.loads(done.stdout)
    assert row["path"] == "-" and (tmp_path / "stdin_labels.png").is_file()
    assert json.loads((tmp_path / "stdin.json").read_text())["path"] is None


def test_one_file_goes_to_stdout(call, pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["segment", pictures / "palette.png", "--model", small(), "--output", "-"]
    status, stdout, stderr = call(*arguments, "--save", "svg")
    assert (status, stderr) == (0, "") and stdout.startswith("<svg ") and stdout.count("<path") >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]
    for more in ([], ["--save", "json", "--json"], [pictures / "rgb.png", "--save", "json"]):
        status, _, stderr = call(*arguments, *more)
        assert status == 2 and "--output -: takes one picture and one kind of --save" in stderr
    for option in ("--overwrite", "--skip-existing", "--whole-names"):
        status, _, stderr = call(*arguments, "--save", "svg", option)
        assert status == 2 and f"{option}: is for files, and --output - writes none" in stderr
    assert json.loads(call(*arguments, "--save", "json")[1])["image"] == "palette"


def test_sliding_follows_window_and_stride(call, pictures, tmp_path):
    arguments = [
        "segment",
        pictures / "palette.png",
        "--model",
        small(),
        "--output",
        tmp_path,
        "--mode",
        "slide",
    ]
    assert call(*arguments, "--window", "32", "32", "--stride", "16", "16")[0] == 0
    status, _, stderr = call(*arguments, "--window", "32", "32", "--stride", "64", "16")
    assert status == 2 and "--stride: stride is (64, 16); expected at most the window" in stderr


def test_a_decompression_bomb_is_refused(call, tmp_path, monkeypatch):
    Image.new("L", (400, 300)).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)
    status, _, stderr = call("segment", tmp_path / "bomb.png", "--output", tmp_path / "out", "--model", small())
    assert status == 1 and "bomb.png is too large to decode safely" in stderr and not (tmp_path / "out").exists()


def test_a_full_disk_ends_the_run_and_says_how_to_go_on(call, pictures, tmp_path, monkeypatch):
    def until_full(picture, file, made_by):
        if "rgb" in str(file):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_png(picture, file, made_by)

    monkeypatch.setattr("segformer_tf.pipelines.result.write_png", until_full)
    arguments = [
        "segment",
        pictures / "cmyk.jpg",
        pictures / "rgb.jpg",
        "--output",
        tmp_path / "out",
        "--model",
        small(),
    ]
    status, _, stderr = call(*arguments)
    assert status == 1 and stderr == (
        f"segformer-tf: The disk of {tmp_path / 'out'} is full (No space left on device): 1 of 2 pictures are done; "
        "make room; --skip-existing goes on.\n"
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cmyk_labels.png", "cmyk_overlay.png", "cmyk.json"}


def test_ctrl_c_ends_with_130_and_leaves_whole_files(tmp_path):
    (tmp_path / "p").mkdir()
    for number in range(90):
        os.link(EXAMPLE, tmp_path / "p" / f"{number:04}.jpg") if number else shutil.copy(
            EXAMPLE, tmp_path / "p/0000.jpg"
        )
    command = [sys.executable, "-m", "segformer_tf.cli", "segment", "p", "--output", "out", "--batch-size", "1"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for _ in range(1200):
        if (tmp_path / "out" / "0002.json").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "pictures are done; --skip-existing goes on." in stderr
    assert "Traceback" not in stderr
    left = sorted((tmp_path / "out").iterdir())
    assert len(left) % 3 == 0 and all(marks.ours(path) for path in left)


def test_pictures_of_one_name_are_told_once_and_make_no_directory(call, pictures, tmp_path):
    status, _, stderr = call("segment", pictures / "rgb.jpg", pictures / "rgb.png", "--output", tmp_path / "out")
    assert status == 1 and not (tmp_path / "out").exists()
    assert stderr.count("would both be written as") == 1
    assert "2 of 2 pictures failed.\n" in stderr and "the others" not in stderr


def test_what_was_written_before_ctrl_c_is_counted(call, pictures, tmp_path, monkeypatch):
    @contextlib.contextmanager
    def stopped(total):
        def advance():
            raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr("segformer_tf.cli.pictures.progress", stopped)
    status, _, stderr = call("segment", pictures / "rgb.png", "--output", tmp_path / "out", "--model", small())
    assert status == 130 and len(list((tmp_path / "out").iterdir())) == 3
    assert "interrupted: 1 of 1 pictures are done; --skip-existing goes on." in stderr


def test_a_page_of_a_tiff_is_chosen(call, tmp_path):
    page = Image.new("RGB", (40, 36), (200, 30, 30))
    page.save(tmp_path / "a.tif", save_all=True, append_images=[page.resize((60, 40))])
    arguments = ["segment", tmp_path / "a.tif", "--output", tmp_path / "out", "--model", small(), "--json"]
    assert "give page=1 for the first (in the shell --page 1)" in call(*arguments)[2]
    (row,) = json.loads(call(*arguments, "--page", 2)[1])
    assert row["size"] == {"height": 40, "width": 60}


def test_the_kinds_of_files_are_all_in_the_help(call, monkeypatch):
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    told = call("segment", "--help")[1]
    assert all(kind in told for kind in files.ENDINGS) and "…" not in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment", "nowhere.jpg"], "nowhere.jpg does not exist; expected an image file."),
        (["segment", "EMPTY"], "EMPTY holds no pictures; expected files such as .jpg or .png in it."),
        (["segment", "*.tif"], "No file matches *.tif; expected pictures such as .jpg or .png."),
        (["segment", "china.jpg", "--output", "china.jpg"], "china.jpg cannot be made a directory to write into"),
        (
            ["segment", "china.jpg", "--model", "no/such/path"],
            "There is no file or directory no/such/path, and it cannot",
        ),
        (["segment", "china.jpg", "--model", "BERT"], "model_type 'bert', expected \"segformer\""),
        (["segment", "china.jpg", "--model", "CUT"], "CUT/model.safetensors"),
        (["segment", "china.jpg", "--model", "EMPTY"], "EMPTY holds no weights: looked for config.json,"),
    ],
)
def test_failures_are_one_line_and_status_1(call, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLE, tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BERT").mkdir()
    (tmp_path / "BERT" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "CUT").mkdir()
    shutil.copy(small() / "config.json", tmp_path / "CUT")
    data = (small() / "model.safetensors").read_bytes()
    (tmp_path / "CUT" / "model.safetensors").write_bytes(data[:9000])
    status, _, stderr = call(*arguments)
    assert status == 1 and message in stderr
    assert stderr.count("\n") == 1 and stderr.startswith("segformer-tf: ")
    assert (tmp_path / "china.jpg").read_bytes() == EXAMPLE.read_bytes()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (("--mode", "slide", "--window", "64", "64", "--stride", "65", "1"), "Invalid value for --stride: stride is"),
        (("--mode", "slide", "--window", "16", "64"), "Invalid value for --window: window is"),
        (("--skip-class", "nope"), "Invalid value for --skip-class"),
    ],
)
def test_a_wrong_option_is_named_and_leaves_no_directory(call, pictures, tmp_path, wrong, named):
    code, _, stderr = call("segment", str(pictures / "a.jpg"), "--output", str(tmp_path / "x" / "y"), *wrong)
    assert code == 2 and named in stderr
    assert not (tmp_path / "x").exists()


def test_where_every_picture_fails_no_directory_stays(call, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    assert call("segment", str(tmp_path / "a.jpg"), "--output", str(tmp_path / "x"))[0] == 1
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("stdin", [None, io.TextIOWrapper(io.BytesIO())], ids=["closed", "empty"])
def test_no_bytes_on_stdin_are_told(call, monkeypatch, stdin):
    monkeypatch.setattr(sys, "stdin", stdin)
    code, _, stderr = call("segment", "-")
    assert code == 1 and "- is the picture on stdin, which has no bytes: give one" in stderr


def test_classify_prints_names_and_scores(call):
    status, stdout, _ = call("classify", EXAMPLE, "--model", FIXTURES / "hf4-cls", "--top-k", "2", "--json")
    (row,) = json.loads(stdout)
    assert status == 0 and len(row["classes"]) == 2 and row["classes"][0]["score"] >= row["classes"][1]["score"]


def test_all_kinds_of_files_and_options_together(call, pictures, tmp_path):
    status, stdout, _ = call(
        "segment", pictures / "palette.png", "--model", small(), "--output", tmp_path, "--json", "--flip",
        "--scales", "0.75", "1", "--alpha", "0.3", "--skip-class", "Class_0", "--skip-class", "background",
        "--save", "labels,polygons,scores,json",
    )  # fmt: skip
    (row,) = json.loads(stdout)
    assert status == 0 and [path.rpartition("_")[2] for path in row["files"][:1]] == ["labels.png"]
    assert 0 < row["classes"][0]["score"] <= 1
    with np.load(tmp_path / "palette_scores.npz") as arrays:
        assert arrays["scores"].shape == (40, 60) and arrays["scores"].dtype == np.float16
    assert json.loads((tmp_path / "palette_polygons.json").read_text())["annotations"]
    status, _, stderr = call("segment", pictures / "palette.png", "--model", small(), "--skip-class", "clas 0")
    assert status == 2 and "did you mean 'class 0'?" in stderr
    arguments = ["segment", pictures / "palette.png", "--model", small(), "--output", "-", "--save", "svg"]
    status, _, stderr = call(*arguments, "--skip-class", "background", "--skip-class", "clas 0")
    assert status == 2 and "--skip-class: The model has no class 'clas 0'" in stderr


@pytest.mark.parametrize(
    ("command", "model", "other"), [("classify", "hf4-seg", "segment"), ("segment", "hf4-cls", "classify")]
)
def test_a_model_for_another_task_is_refused_and_the_command_named(call, tmp_path, command, model, other):
    arguments = [] if command == "classify" else ["--output", tmp_path]
    status, stdout, stderr = call(command, EXAMPLE, "--model", FIXTURES / model, *arguments)
    assert status == 1 and f"`segformer-tf {other}`" in stderr and stdout == "" and stderr.count("\n") == 1


def test_another_error_does_not_name_another_command_whatever_words_are_in_it(call, tmp_path):
    model = tmp_path / "random needs a"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "other"}')
    status, _, stderr = call("segment", EXAMPLE, "--model", model, "--output", tmp_path / "out")
    assert status == 1 and "random needs a" in stderr and "segformer-tf classify" not in stderr
