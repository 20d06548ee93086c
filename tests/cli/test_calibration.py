"""`calibrate`, and the pictures that `export --calibrate` takes."""

import json
import shutil
import sys

import pytest
from PIL import Image
from serving_models import picture, processor

from segformer_tf.cli.calibration import calibration_of
from segformer_tf.training.scoring import calibration


@pytest.mark.filterwarnings("ignore:the temperature")  # of random weights
def test_a_temperature_is_saved_with_the_model(call, data, model, tmp_path, monkeypatch):
    diagram, draw, titles = tmp_path / "diagram.png", calibration.draw, []
    monkeypatch.setattr(
        calibration, "draw", lambda rows, file: (titles.extend(title for title, _ in rows), draw(rows, file))
    )
    status, out, _ = call("calibrate", model, "--data", data, "--diagram", diagram)
    assert status == 0 and f"saved in {model / 'config.json'}" in out and diagram.is_file()
    assert titles == ["without a temperature", "calibrated"]
    saved = json.loads((model / "config.json").read_text())["calibration_temperature"]
    assert f"temperature {saved:.4f}, of 4,000 pixels of 2 pictures" in out
    status, _, _ = call("calibrate", model, "--data", data, "--output", tmp_path / "warm")
    assert status == 0 and (tmp_path / "warm/preprocessor_config.json").is_file()
    assert json.loads((tmp_path / "warm/config.json").read_text())["calibration_temperature"] == saved


def test_calibrate_says_that_matplotlib_is_missing_before_it_computes(call, data, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(calibration, "calibrate", lambda *_: pytest.fail("it computed"))
    status, _, line = call("calibrate", model, "--data", data, "--diagram", model / "diagram.png")
    assert status == 1 and "needs matplotlib: pip install 'segformer-tf[report]'" in line


@pytest.mark.filterwarnings("ignore:the temperature")
def test_a_temperature_is_saved_though_its_diagram_cannot_be_drawn(call, data, model, tmp_path):
    (tmp_path / "file").touch()
    status, _, _ = call("calibrate", model, "--data", data, "--diagram", tmp_path / "file" / "diagram.png")
    assert status and "calibration_temperature" in json.loads((model / "config.json").read_text())


def test_a_model_that_is_not_one_s_own_is_calibrated_into_an_output(call, data):
    status, _, line = call("calibrate", "segformer-b0-camvid", "--data", data)
    assert status == 2 and "give --output" in line


def test_pictures_to_calibrate_by_are_found_or_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no pictures"):
        calibration_of(tmp_path, 300, None, processor())
    for i in range(5):
        picture(40, 50, seed=i).save(tmp_path / f"{i}.png")
    found = calibration_of(tmp_path, 2, 1.5, processor(), (64, 96))
    assert [x.shape for x in found.pixels()] == [(1, 64, 96, 3)] * 2 and found.score is None and found.max_drop == 1.5
    four = processor(image_mean=[0.5] * 4, image_std=[0.5] * 4)
    Image.new("L", (40, 50)).save(tmp_path / "0.png")
    with pytest.raises(ValueError, match=r"0\.png: image has 1 channels .* expected 4"):
        calibration_of(tmp_path, 300, None, four)


def test_a_damaged_picture_is_left_out_of_a_calibration_and_told(tmp_path, capsys):
    for i in range(3):
        picture(40, 50, seed=i).save(tmp_path / f"{i}.png")
    (tmp_path / "0.png").write_bytes(b"no picture")
    found = calibration_of(tmp_path, 300, None, processor())
    assert [len(list(found.pixels())) for _ in range(2)] == [2, 2]
    said = capsys.readouterr().err
    assert said.count("0.png") == said.count("left out") == 1
    for i in (1, 2):
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
    with pytest.raises((OSError, ValueError), match=r"0\.png"):
        calibration_of(tmp_path, 300, None, processor())


def test_the_masks_of_a_data_set_are_no_pictures_to_calibrate_by(tmp_path, capsys):
    """Whichever splits it has: the ranges would be of class ids."""
    for folder, kind in (("images", "RGB"), ("annotations", "L")):
        (tmp_path / folder / "train").mkdir(parents=True)
        for i in range(3):
            Image.new(kind, (50, 40), i).save(tmp_path / folder / "train" / f"{i}.png")
    found = calibration_of(tmp_path, 300, None, processor())
    assert len(list(found.pixels())) == 3 and found.score is None
    assert f"{tmp_path} has no split val: int8 is judged by labels that stay the same" in capsys.readouterr().err
    for folder in ("images", "annotations"):
        shutil.copytree(tmp_path / folder / "train", tmp_path / folder / "val")
    assert calibration_of(tmp_path, 300, None, processor()).score is not None
    assert calibration_of(tmp_path, 300, None, processor(), classifies=True).score is None
    for folder in ("images", "annotations"):
        shutil.rmtree(tmp_path / folder / "train")
    with pytest.raises(FileNotFoundError, match="train"):
        calibration_of(tmp_path, 300, None, processor())


def test_of_folders_of_classes_the_training_pictures_alone_are_taken(tmp_path):
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("cat", "dog"):
            (folder := tmp_path / split / kind).mkdir(parents=True)
            for i in range(count):
                picture(40, 50, seed=i).save(folder / f"{i}.png")
    found = calibration_of(tmp_path, 300, None, processor(), classifies=True)
    assert len(list(found.pixels())) == 6 and found.score is None
