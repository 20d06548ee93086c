import base64
import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from reference import SMALL
from small_data import tiny_network

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation
from segformer_tf.data.pictures import read_picture
from segformer_tf.training import RECIPES, Augmentation, evaluate, read_split
from segformer_tf.training.augment import normalize
from segformer_tf.training.console import Console
from segformer_tf.training.plan import make_plan, processor_for
from segformer_tf.training.report import tensorboard, writing
from segformer_tf.training.report.page import Code, Heading, Picture, Table, Text, write_page
from segformer_tf.training.statistics import Statistics, both_scores

ROWS = [
    {"step": step, "seconds": 30.0 * step, "loss": 1.0, "score": score, "mIoU": score, "IoU box": score}
    for step, score in ((2, 0.5), (4, 0.25))
]


@pytest.fixture
def written(data, tmp_path, capsys):
    """(the run's directory, the model, the validation split, what was said) after a report."""

    def write(charts=True):
        network, source = tiny_network(), read_split(data, "val")
        plan = make_plan(RECIPES["from-scratch"], read_split(data), source)
        run = tmp_path / "run"
        run.mkdir()
        writing.write_report(run, network, source, SegformerImageProcessor(), plan, ROWS, Console())
        return run, network, source, capsys.readouterr().err

    return write


def test_the_report_says_the_best_weights_scores_and_shows_pictures(written):
    run, network, source, _ = written()
    text = (run / "report.md").read_text()
    assert "Best mIoU 0.5000 at step 2 (`best/`), last 0.2500" in text
    found = evaluate(network, source)
    box = found["per_class"][1]
    assert f"| box | {box['IoU']:.4f} | {box['Acc']:.4f} | {box['Dice']:.4f} |" in text
    assert f"| mean | {found['mIoU']:.4f} |" in text and f"Pixels right: {found['aAcc']:.4f}" in text
    assert "BatchNorm: mIoU" in text and '"learning_rate": 0.008' in text
    files = re.findall(r"!\[.*\]\((.*)\)", text)
    assert files[:2] == ["curves.png", "confusion.png"] and "picture_worst_1.png" in files
    assert len(files) == 2 + 9
    for file in files:
        with Image.open(run / file) as picture:
            assert picture.width > 300


def test_the_html_file_needs_no_other(written):
    run = written()[0]
    page = (run / "report.html").read_text()
    shown = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert len(shown) == 11 and "http" not in page.replace("http-equiv", "")
    assert base64.b64decode(shown[0]) == (run / "curves.png").read_bytes()


def test_without_matplotlib_the_rest_is_written_and_one_line_says_so(written, monkeypatch):
    monkeypatch.setattr(writing, "can_draw", lambda: False)
    run, *_, said = written()
    assert [line for line in said.splitlines() if "BatchNorm" not in line] == [
        "report without curves and drawn matrix: pip install 'segformer-tf[report]' for matplotlib"
    ]
    assert not (run / "curves.png").exists() and (run / "picture_best_1.png").exists()
    assert "true \\ predicted, %" in (run / "report.md").read_text()


def test_a_page_escapes_what_it_is_given(tmp_path):
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    blocks = [Heading("R<1>", 1), Text("a & b"), Table(("c|d", "e"), [("f", "<g>")]), Picture("a.png", "h"), Code("{}")]
    write_page(tmp_path, "page", blocks)
    page, text = (tmp_path / "page.html").read_text(), (tmp_path / "page.md").read_text()
    assert "<h1>R&lt;1&gt;</h1>" in page and "<td>&lt;g&gt;</td>" in page and "a &amp; b" in page
    assert "| c\\|d | e |\n| --- | --: |\n| f | &lt;g&gt; |" in text
    assert "# R&lt;1&gt;" in text and "![h](a.png)" in text


def test_the_report_scores_pictures_as_the_run_does(data, tmp_path, capsys):
    """BatchNorm's statistics agree where they are those of the pictures as they are normalised in the run."""
    recipe = dataclasses.replace(
        RECIPES["from-scratch"], augmentation=Augmentation(image_mean=(0.0,) * 3, image_std=(0.01,) * 3)
    )
    network, source = tiny_network(), read_split(data, "val")
    plan = make_plan(recipe, read_split(data), source)
    processor, how = processor_for(plan, source), recipe.augmentation
    running, own = both_scores(network, source, processor, how)
    images = [normalize(tf.cast(read_picture(file), tf.float32), how)[None] for file in source.images]
    assert running == evaluate(network, source, processor=processor)["mIoU"]
    Statistics(network, [(image,) for image in images]).take()
    assert own == evaluate(network, source, processor=processor)["mIoU"]
    (tmp_path / "run").mkdir()
    writing.write_report(tmp_path / "run", network, source, processor, plan, ROWS, Console())
    assert (
        f"mIoU {own:.4f} on 3 pictures with its running statistics, {own:.4f} with"
        in (tmp_path / "run/report.md").read_text()
    ), capsys.readouterr().err


def test_statistics_are_the_same_where_the_last_stage_comes_as_tokens(pixels):
    found = []
    for reshape in (True, False):
        network = TFSegformerForSemanticSegmentation(SegformerConfig(**SMALL, reshape_last_stage=reshape))
        network.set_weights(found[0][1] if found else network.get_weights())
        weights = network.get_weights()
        Statistics(network, [(tf.constant(pixels),)]).take()
        found.append((network.decode_head.batch_norm.moving_variance.numpy(), weights))
    np.testing.assert_array_equal(found[0][0], found[1][0])


def test_tensorboard_shows_what_the_run_s_own_processor_gives(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(tensorboard, "predictions", lambda *given, **more: asked.append(more["processor"]) or [])
    keeper = SimpleNamespace(rows=[], evaluated=tiny_network(), source=read_split(data, "val"), processor=object())
    tensorboard.TensorBoard(tmp_path, keeper)._write_pictures()
    assert asked == [keeper.processor]
