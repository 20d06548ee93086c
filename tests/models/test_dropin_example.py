"""The keras.io flow on pictures made here; on real ones it is run by hand (docs/migrating.md)."""

import importlib.util
import json

import keras
import numpy as np
import pytest
from PIL import Image
from reference import FIXTURES, ROOT


@pytest.fixture
def channels_last_again():
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:Tensors of another shape")
def test_the_keras_io_flow_learns(tmp_path, channels_last_again):
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "annotations"):
            (tmp_path / kind / split).mkdir(parents=True)
        for number in range(4):
            ids = np.kron(random.integers(0, 3, size=(3, 4)), np.ones((32, 32), int)).astype("uint8")
            ids[:4] = 255
            Image.fromarray(ids).save(tmp_path / "annotations" / split / f"{number}.png")
            picture = np.stack([ids * 80, 255 - ids * 60, ids], -1).astype("uint8")
            Image.fromarray(picture).save(tmp_path / "images" / split / f"{number}.jpg")
    classes = [{"id": id, "name": f"class {id}", "color": [0, 0, 0]} for id in range(3)]
    (tmp_path / "classes.json").write_text(json.dumps(classes))
    spec = importlib.util.spec_from_file_location("keras_io", ROOT / "examples" / "keras_io_finetuning.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    losses = example.main(
        [
            "--data",
            str(tmp_path),
            "--checkpoint",
            str(FIXTURES / "hf4-seg"),
            "--epochs",
            "3",
            "--side",
            "64",
            "--learning-rate",
            "0.003",
        ]
    )
    assert len(losses) == 3 and losses[-1] < losses[0]
