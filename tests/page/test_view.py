"""The HTML of an answer: what it says, what it carries, and that it fetches nothing."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from segformer_tf import images
from segformer_tf.images import palette_for
from segformer_tf.images.polygons import polygons
from segformer_tf.page import view
from segformer_tf.pipelines.result import SegmentationResult

NAMES = {0: "background", 1: "<b>car</b>", 2: "tree 'n' sky"}


def result_of(labels, scores=None, name="street"):
    pixels = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3), np.uint8)
    return SegmentationResult(name, labels, pixels, NAMES, palette_for(NAMES), "tiny", scores, runtime="tensorflow")


@pytest.fixture
def result():
    labels = np.zeros((60, 90), np.int32)
    labels[10:30, 20:50] = 1
    labels[40:55, 5:80] = 2
    labels[45:50, 30:40] = 0  # a hole
    labels[0:8, 70:88] = 1
    scores = np.random.default_rng(1).random(labels.shape).astype(np.float16)
    return result_of(labels, scores)


def carried(html, ending):
    """The bytes of the file that a link hands out."""
    found = re.search(rf"download='([^']*{ending})' href='data:([^;]*);base64,([^']*)'", html)
    assert found, ending
    return base64.b64decode(found[3])


def test_the_sum_over_a_region_comes_from_its_upright_edges_alone():
    random = np.random.default_rng(0)
    mask, values = random.random((17, 23)) > 0.4, random.random((17, 23))
    found = [(region.area, view.region_sum(region, view.sums(values))) for region in polygons(mask)]
    assert len(found) > 3 and sum(area for area, _ in found) == mask.sum()
    assert sum(total for _, total in found) == pytest.approx(values[mask].sum())


def test_each_region_carries_its_class_share_and_own_score(result):
    html = view.answer(result, 0.1, "street.jpg")
    regions = re.findall(r"<path data-id='1' data-name='([^']*)' data-share='([^']*)' data-score='([^']*)'", html)
    labels, scores = result.labels, result.scores
    expected = [(scores[0:8, 70:88], "0.0267"), (scores[10:30, 20:50], "0.1111")]
    for (name, share, score), (inside, its_share) in zip(regions, expected, strict=True):
        assert name == "&lt;b&gt;car&lt;/b&gt;" and share == its_share
        assert float(score) == pytest.approx(inside.mean(dtype=np.float64), abs=6e-4)
    (hollow,) = re.findall(r"<path data-id='2' [^>]*data-score='([^']*)'", html)
    assert float(hollow) == pytest.approx(scores[labels == 2].mean(dtype=np.float64), abs=6e-4)


def test_the_files_to_download_are_the_results_own(result):
    html = view.answer(result, 0.1, "street.jpg")
    mask = Image.open(io.BytesIO(carried(html, "street_labels.png")))
    assert mask.mode == "P" and np.array_equal(np.asarray(mask), result.labels)
    assert json.loads(carried(html, "street_classes.json")) == json.loads(json.dumps(result.to_dict()))
    assert json.loads(carried(html, "street_polygons.json")) == {
        **json.loads(json.dumps(result.to_coco())),
        "images": [{"id": 1, "file_name": "street.jpg", "height": 60, "width": 90}],
    }


def test_pixels_are_counted_once(result, monkeypatch):
    counted, table = [], images.class_table
    monkeypatch.setattr(images, "class_table", lambda *given: counted.append(1) or table(*given))
    view.answer(result, 0.1, "street.jpg")
    assert len(counted) == 1


def test_the_background_is_clear_and_the_rest_solid(result):
    source = re.search(
        r"class='sf-colours'[^>]*src='data:image/png;base64,([^']*)'", view.answer(result, 0.1, "street.jpg")
    )
    colours = np.asarray(Image.open(io.BytesIO(base64.b64decode(source[1]))))
    np.testing.assert_array_equal(colours[..., 3] == 255, result.labels != 0)
    assert (colours[result.labels == 2, :3] == result.palette[2]).all()


def test_nothing_is_fetched_and_names_are_text(result):
    html = view.answer(result.renamed("a'><script>alert(1)</script>"), 0.1, "street.jpg")
    assert "<script" not in html and "<b>car" not in html and "//" not in re.sub(r"base64,[^']*", "", html)
    assert all(source.startswith("data:") for source in re.findall(r"(?:src|href)='([^']*)'", html))
    assert view.problem("<img src=x>").count("<") == 2


def test_a_large_picture_is_shown_small_and_handed_out_whole():
    labels = np.zeros((2000, 3000), np.int32)
    labels[:, 1500:] = 2
    html = view.answer(result_of(labels), 0.1, "street.jpg")
    shown = base64.b64decode(re.search(r"image/jpeg;base64,([^']*)'", html)[1])
    assert Image.open(io.BytesIO(shown)).size == (1000, 667)
    assert Image.open(io.BytesIO(carried(html, "labels.png"))).size == (3000, 2000)
    assert "data-share='0.5000'" in html and len(html) < 1_000_000


def test_a_picture_of_few_pixels_has_its_regions():
    html = view.answer(result_of(np.array([[1, 2, 2]], np.int32)), 0.1, "street.jpg")
    assert html.count("<path") == 2
