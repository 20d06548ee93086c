import json
import shlex

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
from segformer_tf.cli import main
from segformer_tf.cli import training as commands
from segformer_tf.cli.app import app
from segformer_tf.training import read_split


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


@pytest.mark.long
def test_train_then_evaluate_then_resume(data, recipe, checkpoint, tmp_path):
    out = tmp_path / "run"
    arguments = ("train", "--data", data, "--model", checkpoint, "--output", out, "--recipe", recipe)
    with pytest.warns(UserWarning, match="classifier"):
        trained = run(*arguments, "--steps", 2, "--crop", 64, 96, "--seed", 1)
    assert trained.exit_code == 0, trained.output
    last = trained.stdout.strip().splitlines()[-1]
    assert last.startswith(f"report {out / 'report.html'}; best model {out / 'best'} (mIoU 0.")
    assert last.endswith(f"next: segformer-tf segment PICTURE --model {out}")
    assert "steps       2, 1.0 times every picture; batch 2, crop 64 x 96" in trained.stderr
    assert "evaluation every 2 steps" in trained.stderr and (out / "train_batch.png").is_file()
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
    of_run = run("evaluate", "--model", out, "--data", data, "--json", "--flip", "--scales", "0.75", "--scales", "1")
    assert json.loads(of_run.stdout)["protocol"].endswith(
        "scales 0.75, 1, flip, logits resized bilinearly to the mask's size, class probabilities averaged"
    )
    (tmp_path / "map.json").write_text(json.dumps({"road": "sky", "sky": None}))
    mapped = json.loads(
        run("evaluate", "--model", out, "--data", data, "--json", "--map-classes", tmp_path / "map.json").stdout
    )
    assert mapped["per_class"][0]["Acc"] is None  # no pixel's truth is road any more
    with pytest.warns(UserWarning, match="classifier"):
        longer = run(*arguments[:-2], "--steps", 3, "--resume")
    assert longer.exit_code == 0, longer.output
    assert "goes on at step 2" in longer.stderr and "changed since the start: steps 2 to 3" in longer.stderr
    assert "the learning rate falls to 0 at step 3" in longer.stderr


def test_a_split_is_written_as_shards(data, tmp_path):
    found = run("shard", "--data", data, "--output", tmp_path / "out", "--pictures-per-shard", 3)
    assert found.exit_code == 0 and "2 shards" in found.output
    assert (tmp_path / "out/train-00001-of-00002.tfrecord").is_file()


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("learning_rat=1", "'learning_rat' is unknown, expected learning_rate"),
        ("learning_rate=fast", "learning_rate is 'fast', expected a number"),
        ("steps", "has no value, expected KEY=VALUE"),
        ("steps=2", "length is given as steps (2) and as epochs (1), expected one of them"),
        ("augmentation=5", "augmentation is 5, expected names and their values"),
        ("one_logit=true", "the recipe's one_logit is true, expected that of masks of one foreground class"),
    ],
)
def test_a_wrong_setting_is_a_wrong_call(data, tmp_path, setting, told):
    found = run("train", "--data", data, "--model", "b0", "--output", tmp_path / "r", "--epochs", 1, "--set", setting)
    assert found.exit_code == 2 and told in " ".join(found.stderr.replace("│", " ").split())
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("saved", [False, True])
def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(
    data, recipe, checkpoint, tmp_path, monkeypatch, capsys, saved
):
    def stopped(*arguments, **keywords):
        if saved:
            (tmp_path / "my run").mkdir()
            (tmp_path / "my run/log.csv").touch()
        assert keywords["resume"] is False and arguments[3].freeze == "encoder" and arguments[3].learning_rate == 1e-4
        raise KeyboardInterrupt("stopped at step 7 of 9, which RUN/last holds")

    monkeypatch.setattr("segformer_tf.training.train", stopped)
    call = ["train", f"--data={data}", f"--model={checkpoint}", f"--output={tmp_path / 'my run'}", f"--recipe={recipe}"]
    given = ["--crop", "64", "96", "--set=learning_rate=1e-4", "--set=name=my own", "--freeze=encoder", "--skip-broken"]
    given += ["--distribute=none", "--tensorboard"]
    with pytest.raises(SystemExit) as stop, pytest.warns(UserWarning, match="classifier"):
        main([*call, *given])
    assert stop.value.code == 130
    told = capsys.readouterr().err.strip().splitlines()[-1]
    begun = "segformer-tf: stopped at step 7 of 9, which RUN/last holds; "
    begun += "go on with: " if saved else "start again with: "
    assert told.startswith(begun)
    words = shlex.split(told.removeprefix(begun))
    assert words[:5] == ["segformer-tf", "train", *call[1:4]] and (words[-1] == "--resume") == saved
    given = {*given, call[-1]} - {"--distribute=none"}  # as by default
    assert {*words[5:]} - {"--resume"} == given and words[words.index("--crop") :][1:3] == ["64", "96"]


def test_epochs_and_steps_together_are_a_wrong_call(data, tmp_path):
    found = run("train", "--data", data, "--model", "b0", "--output", tmp_path / "r", "--epochs", 1, "--steps", 1)
    assert found.exit_code == 2


def test_the_data_sets_own_directory_is_no_run(data):
    before = sorted(data.rglob("*"))
    found = run("train", "--data", data, "--model", "b0", "--output", data / "images" / "..", "--epochs", 1)
    assert found.exit_code == 2 and "own directory" in " ".join(found.stderr.replace("│", " ").split())
    assert sorted(data.rglob("*")) == before


def test_classes_in_another_order_take_the_heads_rows_along(data, tiny_config, tmp_path):
    """Of as many classes, names were replaced and the rows stayed."""
    names = {0: "Sky", 1: "road"}
    config = SegformerConfig.from_dict(tiny_config.to_dict(), id2label=names)
    TFSegformerForSemanticSegmentation(config, data_format="channels_last").save_pretrained(tmp_path / "turned")
    options = ("--data", data, "--output", tmp_path / "r", "--steps", 1, "--batch-size", 1, "--crop", 32, 32)
    found = run("train", "--model", tmp_path / "turned", *options)
    assert found.exit_code == 0 and "classes are put into the order of the data set's" in found.stderr, found.stderr
    again = run("train", "--model", tmp_path / "turned", *options, "--steps", 2, "--resume")
    assert again.exit_code == 0 and "put into the order" not in again.stderr, again.stderr


def test_one_class_more_keeps_what_the_head_has_learnt_of_the_others(data, tiny_config, tmp_path, recwarn):
    names = ["road", "sky", "wall"]
    (data / "classes.json").write_text(json.dumps(names))
    config = SegformerConfig.from_dict(tiny_config.to_dict(), id2label=dict(enumerate(names[:2])))
    before = TFSegformerForSemanticSegmentation(config, data_format="channels_last")
    before.save_pretrained(tmp_path / "two")
    options = ("--data", data, "--output", tmp_path / "r", "--steps", 1, "--batch-size", 1, "--crop", 32, 32)
    found = run("train", "--model", tmp_path / "two", *options, "--set", "learning_rate=1e-9")
    assert found.exit_code == 0, found.output
    assert "random for wall; of 2 of 3 classes it keeps what it has learnt" in found.stderr
    assert not [each for each in recwarn if "classifier" in str(each.message)]
    after = TFSegformerForSemanticSegmentation.from_pretrained(tmp_path / "r/last").decode_head.classifier.kernel
    np.testing.assert_allclose(after.numpy()[:, :2], before.decode_head.classifier.kernel.numpy(), atol=1e-5)


def test_bad_data_is_one_line_and_exit_1(data, tmp_path, capsys):
    Image.new("RGB", (64, 48), (9, 8, 7)).save(data / "annotations/train/1.png")
    with pytest.raises(SystemExit) as stop:
        main(["train", "--data", str(data), "--model", "b0", "--output", str(tmp_path / "run"), "--steps", "1"])
    assert stop.value.code == 1
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1 and "1.png is in colours ((9, 8, 7)" in told[0]
    assert not (tmp_path / "run").exists()


def test_no_picture_of_a_training_with_another_seed_is_evaluated(data, recipe, checkpoint, tmp_path):
    """A data set without splits: both draw the same one, whatever the seed of the run."""
    flat = tmp_path / "flat"
    for kind in ("images", "annotations"):
        (flat / kind).mkdir(parents=True)
        for i in range(12):
            source = next((data / kind / "train").glob(f"{i % 4}.*"))
            (flat / kind / f"p{i}{source.suffix}").write_bytes(source.read_bytes())
    trained = []

    def kept(network, found, *arguments, **keywords):
        trained.append((found, keywords["seed"]))
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched, pytest.warns(UserWarning, match="classifier"):
        patched.setattr("segformer_tf.training.train", kept)
        call = ("train", "--data", flat, "--model", checkpoint, "--output", tmp_path / "r", "--recipe", recipe)
        assert run(*call, "--seed", 5).exit_code == 130
    (found, seed), evaluated = trained[0], read_split(flat, "val")
    assert seed == 5 and len(evaluated) >= 2
    assert not set(evaluated.images) & set(found.splits["train"].images)
    assert found.splits["val"].images == evaluated.images
    assert found.to_dict()["drawn"]["val"]["seed"] == 0  # what RUN/data.json says


def test_the_recipe_that_nobody_named_is_the_datas_and_the_models(data, tmp_path):
    for split in ("train", "val"):
        (tmp_path / "flowers" / split / "rose").mkdir(parents=True)
    assert commands._default_recipe("b0", tmp_path / "flowers") == "classify"
    assert commands._default_recipe("nvidia/mit-b0", tmp_path / "flowers") == "classify"
    assert commands._default_recipe("b0", data) == "from-scratch"
    assert commands._default_recipe("nvidia/mit-b0", data) == "fine-tune"
    assert commands._default_recipe("b0", tmp_path / "nowhere") == "from-scratch"
