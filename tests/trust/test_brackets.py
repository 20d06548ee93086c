"""Square brackets are markup to rich and patterns to glob; in names they are neither."""

import glob
import json
import shutil

import pytest
from small_data import CLASSES, tiny_network, write_split
from typer.testing import CliRunner

from segformer_tf.cli import data, pictures, scoring, training  # noqa: F401  (they register the commands)
from segformer_tf.cli.app import app

NAMES = ("[x]", "[/red]", "[bold]")


def said(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout + result.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("names") / "[red]"
    write_split(root / "[x]data", "train", 2)
    write_split(root / "[x]data", "val", 2)
    classes = [{**row, "name": name} for row, name in zip(CLASSES, NAMES, strict=True)]
    (root / "[x]data" / "classes.json").write_text(json.dumps(classes))
    tiny_network(id2label=dict(enumerate(NAMES))).save_pretrained(root / "[x]model")
    for number in (0, 1):
        shutil.copy(root / "[x]data" / "images" / "val" / f"p{number}.jpg", root / f"[{number}].jpg")
    return root


def test_pictures_and_classes_are_called_by_their_names(place, tmp_path):
    one = said("segment", place / "[0].jpg", "--model", place / "[x]model", "--output", tmp_path / "[out]")
    assert str(place / "[0].jpg") in one and any(name in one for name in NAMES)
    assert f"wrote {tmp_path / '[out]'}" in one and any("[0]" in file.name for file in (tmp_path / "[out]").iterdir())
    both = said(
        "segment", f"{glob.escape(place)}/[[]?].jpg", "--model", place / "[x]model", "--output", tmp_path / "both"
    )
    assert "2 pictures" in both and any(name in both for name in NAMES)
    folder = said("segment", place, "--model", place / "[x]model", "--output", tmp_path / "folder", "--json")
    assert {row["path"] for row in json.JSONDecoder().raw_decode(folder)[0]} == {
        str(place / f"[{number}].jpg") for number in (0, 1)
    }


def test_data_is_shown_under_its_names(place, tmp_path):
    shown = said("inspect", place / "[x]data")
    assert all(name in shown for name in NAMES)
    scores = said("evaluate", "--model", place / "[x]model", "--data", place / "[x]data")
    assert all(name in scores for name in NAMES)
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps({"[/b]": ["train/p0", "val/p0"], "[i]": ["train/p1", "val/p1"]}))
    told = said("evaluate", "--model", place / "[x]model", "--data", place / "[x]data", "--folds", groups)
    assert "[/b]" in told and "[i]" in told


def test_a_run_tells_and_reports_its_names(place, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({"steps": 1, "batch_size": 2, "warmup_steps": 0}))
    run = tmp_path / "[run]"
    arguments = ("--data", place / "[x]data", "--model", place / "[x]model", "--recipe", tmp_path / "recipe.json")
    told = said("train", *arguments, "--crop", 32, 64, "--output", run)
    assert str(run) in told and all(name in told for name in NAMES)
    report = (run / "report.html").read_text()
    assert all(name in report for name in NAMES)
