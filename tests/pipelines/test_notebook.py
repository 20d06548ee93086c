"""HTML of results: well-formed, small, and of the right pixels."""

import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from segformer_tf.images import class_table, palette_for
from segformer_tf.pipelines import notebook
from segformer_tf.pipelines.result import ClassificationResult

NAMES = {0: "sky", 1: "</style><script>alert(1)</script>", 2: "'car' & \"road\""}
PALETTE = palette_for(NAMES)


class Checked(html.parser.HTMLParser):
    """Every element that is opened is closed; counts them."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.data = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.data.append(data)


def shown(labels, pixels=None, skip=()):
    pixels = np.full((*labels.shape, 3), 100, np.uint8) if pixels is None else pixels
    rows = class_table(labels, NAMES)
    return notebook.segmentation(labels, pixels, rows, PALETTE, skip, "a <b>, tiny")


def picture_of(text):
    data = re.search(r"data:image/(?:jpeg|png);base64,([^']+)", text)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_names_are_text_and_elements_are_closed():
    page = Checked(shown(np.array([[0, 1], [2, 2]], np.int32)))
    assert "script" not in [tag for tag, _ in page.seen]
    for name in NAMES.values():
        assert name in page.data
    assert [tag for tag, _ in page.seen].count("path") == 3


def test_each_output_answers_to_its_own_table():
    labels = np.zeros((4, 4), np.int32)
    first, second = (re.search(r"segformer-tf (of\d+)", shown(labels))[1] for _ in range(2))
    assert first != second


@pytest.mark.parametrize("size", [(1300, 2600), (2601, 90), (999, 1000)])
def test_a_large_picture_is_shown_small_with_its_regions_in_their_places(size):
    labels = np.zeros(size, np.int32)
    labels[size[0] // 2 :] = 2
    picture = picture_of(shown(labels, skip=("sky",)))
    assert max(picture.shape) <= notebook.LONGEST
    assert picture.shape[0] / picture.shape[1] == pytest.approx(size[0] / size[1], rel=0.05)
    middle = len(picture) // 2
    np.testing.assert_allclose(picture[: middle - 8].mean((0, 1)), 100, atol=2)
    np.testing.assert_allclose(picture[middle + 8 :].mean((0, 1)), 50 + PALETTE[2] / 2, atol=2)


def test_a_map_of_noise_stays_small():
    labels = np.random.default_rng(0).integers(0, 3, (600, 800)).astype(np.int32)
    assert len(shown(labels)) < 1_000_000


def test_a_file_that_is_read_in_parts_is_shown_as_its_array_is():
    class Parts:
        def __init__(self, array):
            self.array, self.shape, self.most = array, array.shape, 0

        def __getitem__(self, place):
            self.most = max(self.most, len(self.array[place]))
            return self.array[place]

    array = np.random.default_rng(0).integers(0, 256, (2111, 37, 3)).astype(np.uint8)
    parts = Parts(array)
    np.testing.assert_array_equal(notebook._reduced(parts, 3), np.asarray(Image.fromarray(array).reduce(3)))
    assert parts.most <= 64 * 3


def test_a_classifier_s_answer_is_a_list_that_shows_a_table():
    answer = ClassificationResult(
        [{"id": 1, "label": NAMES[1], "score": 0.75}, {"id": 0, "label": "sky", "score": 0.2}]
    )
    page = Checked(answer._repr_html_())
    assert NAMES[1] in page.data and "75.0%" in page.data
    assert answer == json.loads(json.dumps(answer))
