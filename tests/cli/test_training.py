import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segformer_tf import TFSegformerForSemanticSegmentation
from segformer_tf.cli import main
from segformer_tf.cli import training as commands  # noqa: F401  (it registers the commands)
from segformer_tf.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((48, 64), np.uint8)
            mask[:, : rng.integers(20, 50)] = 1
            Image.fromarray((mask[..., None] * [90, 30, 0] + 80).astype(np.uint8)).save(
                root / f"images/{split}/{i}.jpg"
            )
            Image.fromarray(mask).save(root / f"annotations/{split}/{i}.png")
    (root / "classes.json").write_text(json.dumps([{"id": 0, "name": "road"}, {"id": 1, "name": "sky"}]))
    return root


@pytest.fixture
def recipe(tmp_path):
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps({"name": "quick", "steps": 4, "batch_size": 2, "warmup_steps": 1}))
    return file


@pytest.fixture
def checkpoint(tmp_path, tiny_config):
    TFSegformerForSemanticSegmentation(tiny_config, data_format="channels_last").save_pretrained(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_train_then_evaluate_then_resume(data, recipe, checkpoint, tmp_path):
    out = tmp_path / "run"
    arguments = ("train", "--data", data, "--model", checkpoint, "--output", out, "--recipe", recipe)
    with pytest.warns(UserWarning, match="classifier"):
        trained = run(*arguments, "--steps", 2, "--crop", 64, 96, "--seed", 1)
    assert trained.exit_code == 0, trained.output
    assert "best score" in trained.output
    model = TFSegformerForSemanticSegmentation.from_pretrained(out / "best")
    assert model.config.id2label == {0: "road", 1: "sky"}

    scored = run("evaluate", "--model", out / "best", "--data", data, "--json")
    found = json.loads(scored.stdout)
    assert set(found) == {"mIoU", "mAcc", "aAcc", "mDice", "per_class", "protocol", "images"}
    assert {"id", "name", "IoU", "Acc"} <= set(found["per_class"][0]) and found["images"] == 2
    table = run("evaluate", "--model", out / "best", "--data", data, "--dump", tmp_path / "dump")
    assert "plain: whole picture" in table.output and f"mIoU {found['mIoU']:.4f}" in table.output
    assert len(list((tmp_path / "dump").iterdir())) == 2

    with pytest.warns(UserWarning, match="classifier"):
        again = run("train", "--data", data, "--model", checkpoint, "--output", out, "--resume")
    assert again.exit_code == 0, again.output
    with pytest.warns(UserWarning, match="classifier"), pytest.raises(ValueError, match="steps 2 to 3"):
        CliRunner().invoke(app, [*map(str, arguments), "--steps", "3", "--resume"], catch_exceptions=False)


def test_a_split_is_written_as_shards(data, tmp_path):
    found = run("shard", "--data", data, "--output", tmp_path / "out", "--pictures-per-shard", 3)
    assert found.exit_code == 0 and "2 shards" in found.output
    assert (tmp_path / "out/train-00001-of-00002.tfrecord").is_file()


def test_epochs_and_steps_together_are_a_wrong_call(data, tmp_path):
    found = run("train", "--data", data, "--model", "b0", "--output", tmp_path / "r", "--epochs", 1, "--steps", 1)
    assert found.exit_code == 2


def test_bad_data_is_one_line_and_exit_1(data, tmp_path, capsys):
    Image.new("RGB", (64, 48), (9, 8, 7)).save(data / "annotations/train/1.png")
    with pytest.raises(SystemExit) as stop:
        main(["train", "--data", str(data), "--model", "b0", "--output", str(tmp_path / "run"), "--steps", "1"])
    assert stop.value.code == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1 and "1.png is in colours ((9, 8, 7)" in told[0]
    assert not (tmp_path / "run").exists()
