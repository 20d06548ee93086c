"""The story of docs/training.md, command by command: from pictures with masks in colours to a served answer."""

import base64
import json
import re
import shlex
import urllib.request
from pathlib import Path

import local_server
import numpy as np
import pytest
from PIL import Image
from reference import ROOT
from small_data import tiny_network

from segformer_tf import SegmentationPipeline, cli

CLASSES = [
    {"id": 0, "name": "sky", "color": [70, 130, 180]},
    {"id": 1, "name": "temple", "color": [190, 40, 40]},
    {"id": 2, "name": "garden", "color": [60, 150, 60]},
]
SIZE = (64, 96)


def write_pictures(root: Path) -> None:
    """24 pieces of a photograph with masks in colours, and no folders of splits."""
    colours = np.array([row["color"] for row in CLASSES], np.uint8)
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for i, (pixels, ids) in enumerate(of_a_photograph()):
        Image.fromarray(pixels).save(root / f"images/view{i:02}.jpg", quality=95)
        Image.fromarray(colours[ids]).save(root / f"masks/view{i:02}.png")
    (root / "classes.json").write_text(json.dumps(CLASSES))


def of_a_photograph():
    """24 pieces of the repository's own photograph, by simple rules: sky, temple, garden."""
    with Image.open(ROOT / "examples/china.jpg") as image:
        photograph = np.asarray(image.convert("RGB"))
    red, green, blue = (photograph[..., i].astype(int) for i in range(3))
    ids = np.full(photograph.shape[:2], 2)
    ids[(red > green + 15) & (red > blue + 15)] = 1
    ids[(red + green + blue > 540) & (np.arange(len(ids))[:, None] < 260)] = 0
    for i in range(24):
        top, left = 10 + 80 * (i // 6), 100 * (i % 6)
        piece = np.s_[top : top + SIZE[0], left : left + SIZE[1]]
        yield photograph[piece], ids[piece]


def commands() -> list[list[str]]:
    """The words of each `segformer-tf` line of the page's story, in order."""
    page = (ROOT / "docs/training.md").read_text("utf-8")
    story = page.partition("<!-- story -->")[2].partition("<!-- /story -->")[0]
    lines = [line for block in re.findall(r"```sh\n(.*?)```", story, re.DOTALL) for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("segformer-tf ")]


# What is other here than on the page: a model and a run that take seconds.
QUICK = {"segformer-b0-camvid": "tiny", "600": "30", "900": "40"}
FASTER = ["--crop", *map(str, SIZE), "--set", "batch_size=4", "--set", "learning_rate=5e-3", "--set", "warmup_steps=3"]
FASTER += ["--set", "ema_momentum=0.8", "--evaluate-every", "20"]


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*classifier")
def test_the_page_s_story_from_masks_in_colours_to_a_served_answer(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "photos")
    tiny_network().save_pretrained("tiny")
    told = {}
    for words in commands():
        words = [QUICK.get(word, word) for word in words]
        if words[0] == "serve":
            continue  # below: it does not end
        if words[0] == "train" and "--resume" not in words:
            words += FASTER
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        told[words[0]] = capsys.readouterr()
        assert ended.value.code == 0, (words, told[words[0]].err)
    assert list(told) == ["inspect", "convert-masks", "train", "evaluate", "segment", "export"]
    assert "sky" in told["inspect"].out and "Nothing is wrong." in told["inspect"].out
    assert sorted(path.name for path in Path("data/annotations").iterdir()) == ["train", "val"]
    assert (
        float(re.search(r"mIoU ([\d.]+)", told["evaluate"].out)[1]) > 0.35
    )  # one class alone would give less than 0.3
    assert "goes on at step 30" in told["train"].err and Path("run/report.html").is_file()

    picture = next(Path("data/images/val").iterdir())
    served = commands()[-1]
    assert served[0] == "serve"
    with local_server.running(tmp_path / served[1]) as server:
        body = {"instances": [{"b64": base64.b64encode(picture.read_bytes()).decode()}]}
        with urllib.request.urlopen(f"{server.url}:predict", json.dumps(body).encode()) as answer:
            row = json.load(answer)["predictions"][0]
    Path("served.png").write_bytes(base64.b64decode(row["mask_bytes"]["b64"]))
    expected = SegmentationPipeline.from_pretrained("run")(picture).labels
    np.testing.assert_array_equal(np.asarray(Image.open("served.png")), expected)
    assert len(np.unique(expected)) > 1
