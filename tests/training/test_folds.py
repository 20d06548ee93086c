import csv
import dataclasses
import json

import pytest
from small_data import tiny_network, write_drives

from segformer_tf.data.folds import fold, inspect_folds
from segformer_tf.training import RECIPES, folds
from segformer_tf.training.folds import summary, table, train_folds
from segformer_tf.training.sources import identity


@pytest.fixture
def groups(tmp_path):
    """Four pictures of two drives, inspected."""
    root = tmp_path / "data"
    write_drives(root)
    return inspect_folds(root, "drive")


@pytest.fixture
def runs(monkeypatch):
    """What `train` was called with; it leaves a log of two evaluations."""
    seen = []

    def train(model, part, run, recipe, *, seed, resume):
        seen.append((run.name, [image.stem for image in part.splits["train"].images], seed, resume))
        run.mkdir(parents=True, exist_ok=True)
        (run / "recipe.json").write_text("{}")
        with open(run / "log.csv", "w", newline="") as stream:
            writer = csv.DictWriter(stream, ["step", "score", "IoU wall", "IoU box"])
            writer.writeheader()
            last = 0.4 if run.name == "fold-a" else 0.6
            writer.writerow({"step": 1, "score": 0.7, "IoU wall": 0.7, "IoU box": 0.7})
            writer.writerow({"step": 2, "score": last, "IoU wall": last, "IoU box": "" if last == 0.4 else 0.5})

    monkeypatch.setattr(folds, "train", train)
    return seen


def test_every_group_is_left_out_once_and_the_last_weights_count(groups, runs, tmp_path):
    made = []
    result = train_folds(made.append, groups, tmp_path / "run", RECIPES["fine-tune"], seed=3)
    assert runs == [("fold-a", ["b_train", "b_val"], 3, False), ("fold-b", ["a_train", "a_val"], 3, False)]
    assert len(made) == 2 and set(made[0].splits) == {"train", "val"}
    assert result["mean"] == pytest.approx(0.5) and result["spread"] == pytest.approx(0.2 / 2**0.5)
    assert result["mean_of_best"] == pytest.approx(0.7) and result["classes"] == {"wall": 0.5, "box": 0.5}
    assert result["folds"][0]["classes"]["box"] is None and result["folds"][0]["images"] == 2
    assert json.loads((tmp_path / "run/folds.json").read_text()) == result
    assert "| a | 2 | 0.4000 | 0.7000 |" in table(result) and "| spread | | 0.1414 | |" in table(result)


def test_a_second_call_goes_on_where_it_is_told_to_and_refuses_otherwise(groups, runs, tmp_path):
    (tmp_path / "run/fold-b").mkdir(parents=True)
    (tmp_path / "run/fold-b/log.csv").touch()
    with pytest.raises(
        FileExistsError,
        match=r"fold-b has a run already, expected none: go on with resume=True",
    ):
        train_folds(id, groups, tmp_path / "run", RECIPES["fine-tune"])
    assert runs == []
    train_folds(id, groups, tmp_path / "run", RECIPES["fine-tune"], resume=True)
    assert [(name, resume) for name, _, _, resume in runs] == [("fold-a", False), ("fold-b", True)]


def test_folds_do_not_go_on_where_a_picture_is_in_another_group(groups, runs, tmp_path):
    train_folds(id, groups, tmp_path / "run", RECIPES["fine-tune"])
    runs.clear()
    pictures = {name: identity(split) for name, split in fold(groups, "b").splits.items()}
    (tmp_path / "run/fold-b/data.json").write_text(json.dumps({"identity": pictures}))
    train_folds(id, groups, tmp_path / "run", RECIPES["fine-tune"], resume=True)
    assert len(runs) == 2
    a, b = groups.splits["a"], groups.splits["b"]
    moved = {"a": dataclasses.replace(a, images=[*a.images, b.images[0]], targets=[*a.targets, b.targets[0]])}
    moved["b"] = dataclasses.replace(b, images=b.images[1:], targets=b.targets[1:])
    with pytest.raises(
        ValueError, match=r"the train pictures are not those that .*fold-b was started with \(3, not 2\)"
    ):
        train_folds(id, dataclasses.replace(groups, splits=moved), tmp_path / "run", RECIPES["fine-tune"], resume=True)
    assert len(runs) == 2  # none went on


def test_a_fold_that_failed_before_its_first_checkpoint_begins_on_other_pictures(groups, runs, tmp_path):
    (tmp_path / "run/fold-b").mkdir(parents=True)
    pictures = {"train": {**identity(groups.splits["a"]), "pictures": 7}}
    (tmp_path / "run/fold-b/data.json").write_text(json.dumps({"identity": pictures}))
    train_folds(id, groups, tmp_path / "run", RECIPES["fine-tune"], resume=True)
    assert [(name, resume) for name, _, _, resume in runs] == [("fold-a", False), ("fold-b", False)]


def test_a_fold_without_a_score_is_left_out_of_the_mean():
    rows = [{"name": name, "images": 1, "score": score, "classes": {}} for name, score in (("a|b", 0.5), ("c", None))]
    found = summary(rows)
    assert found["mean"] == 0.5 and found["spread"] is None
    assert table(found).splitlines()[2:] == [
        "| a\\|b | 1 | 0.5000 |",
        "| c | 1 | - |",
        "| mean | | 0.5000 |",
        "| spread | | - |",
    ]
    assert summary(rows[1:])["mean"] is None


def test_scores_of_one_model_by_group_have_no_best():
    rows = [{"name": name, "images": 1, "score": score, "classes": {}} for name, score in (("a", 0.5), ("b", 0.7))]
    found = summary(rows)
    assert found["mean_of_best"] is None and table(found).splitlines()[-2] == "| mean | | 0.6000 |"


@pytest.mark.long
def test_two_folds_are_trained_for_real(groups, tmp_path):
    recipe = RECIPES["fine-tune"].changed({"steps": 1, "batch_size": 1, "augmentation.crop": (32, 32)})
    result = train_folds(lambda part: tiny_network(), groups, tmp_path / "run", recipe, verbose=0)
    assert [row["name"] for row in result["folds"]] == ["a", "b"] and result["folds"][0]["step"] == 1
    assert (tmp_path / "run/fold-b/last/config.json").is_file()
