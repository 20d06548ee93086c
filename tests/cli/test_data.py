import json

from people_data import COLOURS, HALF, folders, save
from typer.testing import CliRunner

from segformer_tf.cli import data as commands  # noqa: F401  (it registers the commands)
from segformer_tf.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_inspect_prints_the_classes_with_their_pixels(tmp_path):
    folders(tmp_path)
    found = run("inspect", tmp_path)
    assert found.exit_code == 0 and "4,800" not in found.output
    assert "2,400" in found.output and "50.00%" in found.output and "Nothing is wrong." in found.output


def test_inspect_as_json_is_only_json_and_wrong_data_is_exit_1(tmp_path):
    folders(tmp_path, mask=HALF * 255)
    found = run("inspect", tmp_path, "--json")
    assert found.exit_code == 1 and "--binary" in json.loads(found.stdout)["errors"][0]
    assert run("inspect", tmp_path, "--binary", "--picture", tmp_path / "sheet.png").exit_code == 0
    assert (tmp_path / "sheet.png").is_file()


def test_inspect_counts_pictures_whose_masks_cannot_be_used(tmp_path):
    folders(tmp_path)
    (tmp_path / "annotations/train/p0.png").write_text("no picture")
    for name in ("p0", "p1"):
        save(tmp_path, f"annotations/val/{name}.png", COLOURS[HALF])
    shown = run("inspect", tmp_path).output
    assert "train: 2 pictures, 1 of which cannot be used" in shown
    assert "val: 2 pictures, 2 of which cannot be used" in shown
    found = json.loads(run("inspect", tmp_path, "--json").stdout)
    assert found["pictures"] == {"train": 1, "val": 0} and found["unusable"] == {"train": 1, "val": 2}


def test_every_layout_is_shown_without_data():
    found = run("inspect", "--layouts")
    assert found.exit_code == 0
    for name in ("COCO", "YOLO", "labelme", "Roboflow", "ADE20K", "Cityscapes", "CVAT"):
        assert name in found.output


def test_convert_masks_writes_the_first_layout(tmp_path):
    folders(tmp_path / "src", mask=HALF * 255)
    found = run("convert-masks", tmp_path / "src", tmp_path / "dst", "--binary")
    assert found.exit_code == 0 and "train 2 pictures" in found.output
    assert (tmp_path / "dst/annotations/val/p1.png").is_file()


def test_convert_masks_says_that_a_split_without_masks_is_left_out(tmp_path, call):
    folders(tmp_path / "src")
    save(tmp_path / "src", "images/test/p.jpg", HALF)
    status, out, err = call("convert-masks", tmp_path / "src", tmp_path / "dst")
    assert status == 0 and "train 2 pictures, val 2 pictures" in out
    assert "warning: left out: the split 'test': " in err and "annotations/test is not a directory" in err
    assert not (tmp_path / "dst/images/test").exists()


def test_a_directory_that_is_not_there_is_named(tmp_path):
    found = run("inspect", tmp_path / "nowhere")
    assert "is not a directory" in str(found.exception)


def test_shards_do_not_go_into_the_data_sets_own_directory(tmp_path, call):
    folders(tmp_path / "src")
    before = sorted(tmp_path.rglob("*"))
    status, _, err = call("shard", "--data", tmp_path / "src", "--output", tmp_path / "src" / ".." / "src")
    assert status == 2 and "--output: " in err and "is the data set's own directory" in err
    assert sorted(tmp_path.rglob("*")) == before
