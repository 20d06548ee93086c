"""Masks of 0 and 255 with `--binary`, from training to an exported file and a picture's legend."""

import json

import numpy as np
import pytest
from PIL import Image
from small_data import tiny_network

from segformer_tf import SegmentationPipeline


@pytest.fixture
def data(tmp_path):
    """Bright blocks on a dark ground, 255 in the masks; no names."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for kind in ("images", "annotations"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
        for i in range(count):
            mask = np.zeros((48, 64), np.uint8)
            mask[8:40, 4 * i : 30 + 4 * i] = 255
            pixels = np.clip(mask[..., None] // 2 + rng.normal(60, 8, (48, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"data/images/{split}/{i}.png")
            Image.fromarray(mask).save(tmp_path / f"data/annotations/{split}/{i}.png")
    return tmp_path / "data"


@pytest.mark.filterwarnings("ignore:.*classifier")
@pytest.mark.long
@pytest.mark.parametrize("one_logit", [False, True])
def test_a_binary_model_is_trained_scored_exported_and_used(data, call, tmp_path, one_logit):
    tiny_network().save_pretrained(tmp_path / "tiny")
    run = tmp_path / "run"
    settings = [f"one_logit={json.dumps(one_logit)}", "batch_size=2", "warmup_steps=2", "learning_rate=5e-3"]
    settings += ["ema_momentum=null", "augmentation.scale=[1, 1]", "augmentation.photometric=false"]
    options = [word for setting in settings for word in ("--set", setting)]
    status, out, err = call(
        *("train", "--data", data, "--model", tmp_path / "tiny", "--output", run, "--binary", "--steps", 40),
        *("--crop", 48, 64, *options),
    )
    assert status == 0, err
    assert "2: background, foreground" in err
    assert ("binary cross-entropy of one logit" in err) == one_logit

    status, out, err = call("evaluate", "--model", run, "--data", data, "--binary", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert [row["name"] for row in found["per_class"]] == ["background", "foreground"]
    # All of one class would give less than 0.4; bright and dark is soon learnt.
    assert found["mIoU"] > 0.6 and min(row["IoU"] for row in found["per_class"]) > 0.5

    status, out, err = call("evaluate", "--model", run, "--data", data)
    if one_logit:  # which says by itself that masks are binary
        assert status == 0 and f"mIoU {found['mIoU']:.4f}" in out
    else:
        assert status == 1 and "say --binary" in err

    status, out, err = call("export", run, tmp_path / "street")
    assert status == 0, err
    status, out, err = call("evaluate", "--model", tmp_path / "street", "--data", data, "--binary", "--json")
    assert status == 0, err
    assert json.loads(out)["mIoU"] == pytest.approx(found["mIoU"], abs=0.01)

    picture = data / "images/val/0.png"
    result = SegmentationPipeline.from_pretrained(run)(picture)
    truth = np.asarray(Image.open(data / "annotations/val/0.png")) == 255
    assert set(np.unique(result.labels)) == {0, 1} and (result.labels[truth] == 1).mean() > 0.7
    status, out, err = call("segment", picture, "--model", run, "--output", tmp_path / "out", "--json")
    assert status == 0, err
    assert "foreground" in out and "class 1" not in out
    with Image.open(tmp_path / "out/0_overlay.png") as overlay:
        overlay.load()
    assert overlay.width > 64 or overlay.height > 48  # with its legend
