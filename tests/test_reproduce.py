"""Every command of docs/reproduce.md, on stand-ins in the data sets' own layouts."""

import json
import re
import shlex
import warnings

import numpy as np
import pytest
from PIL import Image
from reference import ROOT
from small_data import tiny_network

from segformer_tf.cli import main
from segformer_tf.images.palettes import DATASETS

PAGE = (ROOT / "docs/reproduce.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]
# What would take minutes, in a form that takes a second.
SMALLER = {
    "--scales 0.5 0.75 1 1.25 1.5 1.75": "--scales 0.5 0.75",
    "--corruptions cityscapes-c": "--corruptions contrast --severity 1",
    "--steps 80000": "--steps 1 --batch-size 1 --crop 64 64",
}


def picture(file, size):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize(size).save(file)


def mask(file, size, values):
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.resize(np.array(values, np.uint8), (size[1] // 8, size[0] // 8))
    Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST).save(file)


def model(directory, names):
    tiny_network(id2label=dict(enumerate(names))).save_pretrained(directory)


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    """The directories of the page's data sets and models, tiny."""
    root = tmp_path_factory.mktemp("paper")
    ade, city, coco = (root / name for name in ("ADEChallengeData2016", "cityscapes", "cocostuff"))
    for split, short in (("training", "train"), ("validation", "val")):
        picture(ade / f"images/{split}/ADE_{short}_00000001.jpg", (96, 72))
        mask(ade / f"annotations/{split}/ADE_{short}_00000001.png", (96, 72), range(150))
    for split in ("train", "val", "test"):
        name = "aachen/aachen_000000_000019"
        picture(city / f"leftImg8bit/{split}/{name}_leftImg8bit.png", (2048, 1024))
        mask(city / f"gtFine/{split}/{name}_gtFine_labelTrainIds.png", (2048, 1024), [*range(19), 255])
    for split in ("train", "val"):
        picture(coco / f"images/{split}/000000000009.jpg", (96, 80))
        mask(coco / f"annotations/{split}/000000000009.png", (96, 80), [*range(171), 255])
    (coco / "classes.json").write_text(json.dumps([f"thing {number}" for number in range(171)]))
    for name in sorted(set(re.findall(r"nvidia/[\w-]+", "\n".join(COMMANDS)))):
        tiny = root / ("ade" if "-ade-" in name else "city" if "cityscapes" in name else "encoder")
        if not tiny.exists():
            known = DATASETS.get({"ade": "ade20k", "city": "cityscapes"}.get(tiny.name, ""), [["a", "b"]])
            model(tiny, known[0])
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(tiny, target_is_directory=True)
    return root


def in_short(command):
    for long, short in SMALLER.items():
        command = command.replace(long, short)
    return command


def test_the_page_has_a_command_for_every_table_it_can():
    titles = re.findall(r"^## (Table \d)", PAGE, re.MULTILINE)
    assert titles == ["Table 1", "Table 2", "Table 3", "Table 4", "Table 5"] and len(COMMANDS) >= 20


def rows():
    """Commands that differ in the size of the model alone are one row; windows of 1024 and training take long."""
    single = dict.fromkeys(re.sub(r"segformer-b[1-4]-", "segformer-b0-", line) for line in COMMANDS)
    coco = [line for line in single if "coco" in line]
    for commands in [*([line] for line in single if line not in coco), coco]:
        quick = "ADEChallengeData2016" in commands[0] or "cityscapes-whole" in commands[0]
        name = " ".join(shlex.split(commands[0])[1:])[:70]
        yield pytest.param(commands, id=name, marks=[] if quick else [pytest.mark.long])


@pytest.mark.parametrize("commands", list(rows()))
def test_a_row_s_command_runs_on_the_data_set_s_own_layout(stand_ins, commands, monkeypatch, capsys):
    monkeypatch.chdir(stand_ins)
    for command in commands:
        program, *arguments = shlex.split(in_short(command))
        assert program == "segformer-tf"
        capsys.readouterr()
        with warnings.catch_warnings(), pytest.raises(SystemExit) as end:
            if "mit-b0" in command:
                warnings.simplefilter("ignore")  # of the new head
            main(arguments)
        out = capsys.readouterr().out
        assert end.value.code == 0, out
        assert "mIoU" in out or "wrote" in out or "labels" in out


def test_what_it_costs_follows_from_the_benchmarks():
    """The page's milliseconds are those of benchmarks.md; its hours, to 3 %, those milliseconds times the pictures."""
    tables = (ROOT / "docs/benchmarks.md").read_text("utf-8")
    sized = tables.split("**1024x1024, batch 1, float32**")[1].split("segformer_tf, SavedModel")[1].splitlines()[0]
    plain = tables.split("segformer_tf, SavedModel")[1].splitlines()[0]
    (b0, _, b5, *_), (b0_large, b5_large) = (re.findall(r"(\d+) ms \(", row) for row in (plain, sized))
    step = re.findall(r"(\d+) ms \(", tables.split("segformer_tf, fit after compile()")[1].splitlines()[0])[1]
    page = " ".join(PAGE.split())
    assert f"b0 and b5 at 512x512: {b0} and {b5} ms; at 1024x1024: {b0_large} and {b5_large} ms;" in page
    assert f"`fit` of b0, batch 4, 512x512: {step} ms a step." in page
    one_scale = [2000 * 683 / 512 * int(ms) for ms in (b0, b5)] + [500 * 3 * int(ms) for ms in (b0_large, b5_large)]
    expected = [*one_scale[:2], *(17 * ms for ms in one_scale[:2]), *one_scale[2:], *(17 * ms for ms in one_scale[2:])]
    expected += [80 * ms for ms in one_scale[2:]] + [160_000 * 4 * int(step), 80_000 * 4 * int(step)]
    costs = PAGE.split("## What it costs")[1].split("## ")[0]
    found = [
        float(number) * {"minutes": 60_000, "hours": 3_600_000}[unit]
        for number, unit in re.findall(r"\| ([\d.]+) (minutes|hours)", costs)
    ]
    assert len(found) == len(expected)
    for said, counted in zip(found, expected, strict=True):
        assert said == pytest.approx(counted, rel=0.03), (said, counted)
