import json

import numpy as np
import pytest
from PIL import Image
from small_data import tiny_network

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForImageClassification
from segformer_tf.data.folds import inspect_folds
from segformer_tf.export.export import export
from segformer_tf.training import read_split
from segformer_tf.training.evaluate import predictions
from segformer_tf.training.scoring.corruptions import corrupt
from segformer_tf.training.sources import identity


def test_evaluate_shows_all_that_is_asked_for(call, data, model, tmp_path):
    (tmp_path / "groups.json").write_text(json.dumps({"things": ["box", "leaf"]}))
    asked = ("--boundary", "--intervals", "--calibration", "--groups", tmp_path / "groups.json")
    status, out, _ = call("evaluate", "--model", model, "--data", data, *asked)
    assert status == 0 and "BoundaryIoU" in out and "ECE 0." in out and "things" in out and "mIoU_groups" in out
    lines = out.splitlines()
    assert lines[-1].startswith("2 pictures; plain: whole") and "mIoU 0." in lines[-3] and "[" in lines[0]
    status, out, _ = call("evaluate", "--model", model, "--data", data, "--json", *asked)
    found = json.loads(out)
    assert {"mBoundaryIoU", "groups", "mIoU_groups", "intervals", "calibration"} <= set(found)


def test_corrupted_pictures_score_as_those_that_corrupt_writes(call, data, model, tmp_path):
    status, out, _ = call("corrupt", data, tmp_path / "dark", "--corruption", "contrast", "--severity", 5)
    assert status == 0 and out.strip().endswith("val 2 pictures, contrast of strength 5")
    with Image.open(data / "images/val/b_val.jpg") as picture:
        expected = corrupt(np.asarray(picture), "contrast", 5, 1)
    with Image.open(tmp_path / "dark/images/val/b_val.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), expected)
    file = tmp_path / "scores.json"
    asked = ("--corruptions", "contrast", "--severity", 5, "--output", file)
    status, out, told = call("evaluate", "--model", model, "--data", data, *asked)
    assert status == 0 and "| model |" in out and "Digital: Contr" in out and "contrast 5: mIoU" in told
    status, out, _ = call("evaluate", "--model", model, "--data", tmp_path / "dark", "--json")
    score = json.loads(out)["mIoU"]
    assert json.loads(file.read_text())["scores"]["contrast"]["5"] == pytest.approx(score, abs=1e-12)


def test_a_small_picture_is_corrupted_as_evaluate_does_it(call, data, tmp_path):
    for kind, file in (("images", "a_val.jpg"), ("annotations", "a_val.png")):
        with Image.open(data / kind / "val" / file) as picture:
            picture.crop((0, 0, 60, 20)).save(data / kind / "val" / file)
    assert call("corrupt", data, tmp_path / "foggy", "--corruption", "fog", "--severity", 2)[0] == 0
    with Image.open(tmp_path / "foggy/images/val/a_val.png") as picture:
        written = np.asarray(picture)
    seen = next(predictions(tiny_network(), read_split(data, "val"), corruption=("fog", 2))).image
    assert written.shape == (20, 60, 3) and seen.shape == (32, 60, 3)
    np.testing.assert_array_equal(written, seen[:20])


def test_a_classifier_is_not_scored_on_corrupted_pictures(call, tmp_path):
    for name in "ab":
        (tmp_path / "classes/val" / name).mkdir(parents=True)
        Image.new("RGB", (40, 50)).save(tmp_path / f"classes/val/{name}/x.png")
    config = SegformerConfig.from_dict(tiny_network().config.to_dict(), id2label={0: "a", 1: "b"})
    TFSegformerForImageClassification(config).save_pretrained(tmp_path / "model")
    asked = ("evaluate", "--model", tmp_path / "model", "--data", tmp_path / "classes")
    status, out, told = call(*asked, "--corruptions", "fog")
    assert status == 2 and not out and "--corruptions" in told and "has no masks" in " ".join(told.split())
    (tmp_path / "map.json").write_text(json.dumps({"a": "b", "b": None}))
    status, out, told = call(*asked, "--map-classes", tmp_path / "map.json")
    assert status == 0 and "1 pictures; whole picture" in out, told


def test_scores_by_group_are_of_one_model_or_of_the_folds_of_a_run(call, data, model, tmp_path):
    status, out, _ = call("evaluate", "--model", model, "--data", data, "--folds", "drive", "--json")
    by_one = json.loads(out)
    assert status == 0 and by_one["models"] == "all groups by one model"
    assert [(row["name"], row["images"]) for row in by_one["folds"]] == [("a", 2), ("b", 2)]
    for group in "ab":
        tiny_network().save_pretrained(tmp_path / f"run/fold-{group}/last")
    status, out, _ = call("evaluate", "--model", tmp_path / "run", "--data", data, "--folds", "drive")
    assert status == 0 and "that left it out" in out and f"| mean | | {by_one['mean']:.4f} |" in out
    (tmp_path / "run/fold-b/last").rename(tmp_path / "run/fold-b/best")
    status, _, told = call("evaluate", "--model", tmp_path / "run", "--data", data, "--folds", "drive")
    assert status == 1 and "fold-b/last does not exist, expected the run of a fold" in told


def test_a_run_of_folds_is_not_scored_by_another_rule(call, data, tmp_path):
    for group in "xy":
        tiny_network().save_pretrained(tmp_path / f"run/fold-{group}/last")
    status, out, told = call("evaluate", "--model", tmp_path / "run", "--data", data, "--folds", "drive")
    assert status == 2 and not out and "has the folds x, y, and 'drive' makes the groups a, b" in " ".join(told.split())


def test_folds_are_scored_on_the_pictures_that_they_left_out_alone(call, data, model, tmp_path):
    for group in "ab":
        tiny_network().save_pretrained(tmp_path / f"run/fold-{group}/last")
        pictures = identity(inspect_folds(data, "drive").splits[group])
        (tmp_path / f"run/fold-{group}/data.json").write_text(json.dumps({"identity": {"val": pictures}}))
    asked = ("evaluate", "--model", tmp_path / "run", "--data", data, "--folds")
    assert call(*asked, "drive")[0] == 0
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps({"a": ["a_train"], "b": ["a_val", "b_train", "b_val"]}))
    status, _, told = call(*asked, groups)
    assert status == 1 and "fold-a was started with (1, not 2), expected the same" in told


def test_groups_without_labels_have_no_score(call, data, model, tmp_path):
    classes = np.zeros((48, 72), np.uint8)
    for split in ("train", "val"):
        Image.fromarray(classes).save(data / f"annotations/{split}/b_{split}.png")
    (tmp_path / "map.json").write_text(json.dumps({"wall": None, "box": "box", "leaf": "leaf"}))
    asked = ("evaluate", "--model", model, "--data", data, "--folds", "drive", "--map-classes", tmp_path / "map.json")
    status, out, told = call(*asked)
    assert status == 0 and "| b | 2 | - |" in out and "| spread | | - |" in out, told


def test_groups_of_a_model_of_one_logit_need_no_binary(call, data, tmp_path):
    for file in data.glob("annotations/*/*.png"):
        mask = np.zeros((48, 72), np.uint8)
        mask[:20] = 255
        Image.fromarray(mask).save(file)
    (data / "classes.json").unlink()
    tiny_network(id2label={0: "foreground"}).save_pretrained(tmp_path / "one")
    status, out, told = call("evaluate", "--model", tmp_path / "one", "--data", data, "--folds", "drive")
    assert status == 0 and "| mean | | 0." in out, told


@pytest.mark.parametrize("more", [(), ("--folds", "drive")])
def test_broken_files_are_left_out_where_that_is_asked_for(call, data, model, more):
    (data / "images/val/b_val.jpg").write_bytes(b"no picture")
    assert call("evaluate", "--model", model, "--data", data, *more)[0] == 1
    status, out, told = call("evaluate", "--model", model, "--data", data, "--skip-broken", *more)
    assert status == 0 and "left out: " in told and "b_val.jpg" in told
    assert "| b | 1 |" in out if more else "1 pictures;" in out


@pytest.mark.filterwarnings("ignore:the temperature")
@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "--model", "MODEL"),
        ("evaluate", "--model", "FILE"),
        ("evaluate", "--model", "MODEL", "--folds", "drive"),
        ("calibrate", "MODEL"),
        ("train", "--model", "MODEL", "--output", "RUN", "--steps", "1", "--crop", "32", "32", "--set", "batch_size=1"),
    ],
    ids=["evaluate", "a file", "folds", "calibrate", "train"],
)
def test_pictures_are_not_turned_for_a_model_that_does_not_turn_them(call, data, model, tmp_path, command):
    turned = Image.Exif()
    turned[0x0112] = 6
    for file in data.glob("images/*/*.jpg"):
        with Image.open(file) as image:
            image.load()
        image.save(file, exif=turned, quality=95)
    processor = SegformerImageProcessor(size=(48, 72), do_exif_transpose=False)
    processor.save_pretrained(model)
    places = {"MODEL": model, "RUN": tmp_path / "run", "FILE": tmp_path / "served"}
    if "FILE" in command:
        export(tiny_network(), tmp_path / "served", processor=processor, names=["logits"])
    status, _, told = call(*(places.get(word, word) for word in command), "--data", data)
    assert status == 0, told
    if command[0] == "train":
        assert SegformerImageProcessor.from_pretrained(tmp_path / "run").do_exif_transpose is False
    processor.do_exif_transpose = None
    processor.save_pretrained(model)
    if "FILE" not in command:
        places["RUN"] = tmp_path / "another"
        status, _, told = call(*(places.get(word, word) for word in command), "--data", data)
        assert status == 1 and "expected 72 x 48 as its picture" in told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("evaluate", "--protocol", "fast"), "protocol is 'fast', expected plain, processor"),
        (("evaluate", "--window", 32, 32), "whose windows cannot be changed"),
        (("evaluate", "--corruptions", "rain"), "corruption is 'rain', expected one of motion_blur"),
        (("evaluate", "--corruptions", ""), "the word after --corruptions is empty"),
        (("train", "--model", "b0", "--output", "nowhere", "--seed", -1), "greater than or equal to 0"),
        (("train", "--model", "b0", "--output", "model/config.json"), "is a file"),
        (("evaluate", "--severity", 3), "are of --corruptions: give that too"),
        (("evaluate", "--corruptions", "fog", "--boundary"), "score these in calls of their own"),
        (("evaluate", "--folds", "drive", "--corruptions", "fog"), "score these in calls of their own"),
        (("evaluate", "--folds", "(x"), "is no regular expression"),
        (("train", "--folds", "^(a|b)", "--model", "b0", "--output", "nowhere", "--batch-size", 0), "batch-size"),
        (("train", "--folds", "(v)al", "--model", "b0", "--output", "nowhere"), "2 of 4 pictures are in no group"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_why(call, data, model, command, told, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    more = ("--model", model) if command[0] == "evaluate" else ()
    status, _, line = call(*command, *more, "--data", data)
    assert status == 2 and told in line and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--corruption", "rain"), "corruption is 'rain'"),
        (("--corruption", "fog", "--severity", 6), "severity is 6, expected 1, 2, 3, 4 or 5"),
    ],
)
def test_corrupt_tells_what_is_no_corruption(call, data, tmp_path, given, told):
    status, _, line = call("corrupt", data, tmp_path / "out", *given)
    assert status == 2 and told in line and not (tmp_path / "out").exists()


def test_folds_of_a_file_that_is_not_there_are_a_wrong_call(call, data, model, tmp_path):
    status, _, error = call("evaluate", "--model", model, "--data", data, "--folds", tmp_path / "nothere.json")
    assert status == 2 and "there is no file" in error
