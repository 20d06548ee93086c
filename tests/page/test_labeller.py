"""What the page says of a picture, without the page: Gradio is not needed for it."""

import base64
import io
import json
import re
import warnings

import numpy as np
import pytest
from PIL import Image
from small_data import small_checkpoint

from segformer_tf.page.labeller import Labeller
from segformer_tf.page.uploads import Picture


@pytest.fixture(scope="module")
def labeller():
    return Labeller()


@pytest.fixture
def jpeg(tmp_path):
    file = tmp_path / "p.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(file)
    return file.read_bytes()


def test_a_picture_becomes_an_answer(labeller, jpeg):
    html = labeller(Picture("my street.jpg", jpeg), str(small_checkpoint()), "auto")
    assert "sf-answer" in html and "60 x 40" in html and "download='my street_labels.png'" in html


@pytest.mark.parametrize(
    "data, told",
    [
        (b"", "p.jpg is empty (0 bytes); expected an image."),
        (b"no picture", "p.jpg is not an image in a format that Pillow reads."),
        (None, "p.jpg is damaged or cut off"),
    ],
)
def test_a_broken_file_is_one_sentence_with_its_name(labeller, jpeg, data, told):
    html = labeller(Picture("p.jpg", jpeg[:700] if data is None else data), str(small_checkpoint()), "auto")
    assert "sf-problem" in html and told in html and "Traceback" not in html


def test_too_many_pixels_are_one_sentence(labeller, jpeg, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    html = labeller(Picture("p.jpg", jpeg), str(small_checkpoint()), "auto")
    assert "sf-problem" in html and "p.jpg" in html and "pixels" in html


def test_what_nobody_expected_is_in_the_log_and_not_on_the_page(jpeg, capsys):
    def broken(model, runtime):
        raise RuntimeError("a secret of the server")

    html = Labeller(broken)(Picture("p.jpg", jpeg), str(small_checkpoint()), "auto")
    assert "could not be labelled; the log of the server says why" in html and "secret" not in html
    assert "a secret of the server" in capsys.readouterr().err


def test_a_model_is_opened_once_for_each_runtime(jpeg):
    opened = []

    def opening(model, runtime):
        opened.append((model, runtime))
        raise OSError("gone") if model == "b" else ValueError("not here")

    labeller = Labeller(lambda model, runtime: opened.append((model, runtime)))
    for asked in [("a", "auto"), ("a", "onnx"), ("a", "auto"), ("b", "auto")]:
        labeller.open(*asked)
    assert opened == [("a", "auto"), ("a", "onnx"), ("b", "auto")]
    assert "gone" in Labeller(opening)(Picture("p.jpg", jpeg), "b", "auto")


def saved(pages, form, **options):
    data = io.BytesIO()
    pages[0].save(data, form, save_all=len(pages) > 1, append_images=pages[1:], **options)
    return data.getvalue()


def said_of(labeller, name, data):
    html = labeller(Picture(name, data), str(small_checkpoint()), "auto")
    return re.sub(r"base64,[^']*", "", html)


PAGES = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
FOR_THE_SHELL = re.compile(r"page=|--page|value_range|segformer-tf|pip install|PIL\.|num_channels")


def test_a_picture_of_several_pages_is_told_in_words_of_the_page(labeller):
    html = said_of(labeller, "scan.tif", saved(PAGES, "TIFF"))
    assert "scan.tif has 2 pages, expected one picture: save the page that you mean as a picture of its own" in html
    assert not FOR_THE_SHELL.search(html)


def test_bands_and_pixels_too_many_are_told_in_words_of_the_page(labeller, monkeypatch):
    import tifffile

    bands = io.BytesIO()
    tifffile.imwrite(bands, np.zeros((40, 40, 5), np.uint8), photometric="minisblack", planarconfig="contig")
    told = [said_of(labeller, "bands.tif", bands.getvalue())]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    told += [said_of(labeller, "large.png", saved(PAGES[:1], "PNG"))]
    assert "bands.tif has 5 bands" in told[0] and "make it smaller." in told[1]
    assert not any(FOR_THE_SHELL.search(html) for html in told)


def test_what_was_left_out_of_a_picture_is_on_the_page(labeller):
    html = said_of(labeller, "moving.gif", saved(PAGES, "GIF"))
    assert "<p class=sf-note>moving.gif has several frames, of which the first is taken.</p>" in html
    dark = said_of(labeller, "dark.png", saved([Image.fromarray(np.full((40, 40), 4000, np.uint16))], "PNG"))
    assert "sf-answer" in dark and "data of 12 bits? Convert it to 8 bits, and give that." in dark
    assert not FOR_THE_SHELL.search(html + dark)


def test_warnings_of_something_else_go_to_the_log(jpeg):
    def opening(model, runtime):
        def label(source, scores):
            warnings.warn("something of the server", UserWarning, stacklevel=1)
            raise ValueError("no")

        return label

    def log(message, *where):
        logged.append(str(message))

    logged, usual = [], warnings.showwarning
    warnings.showwarning = log
    try:
        html = Labeller(opening)(Picture("p.jpg", jpeg), "a", "auto")
    finally:
        warnings.showwarning = usual
    assert "something" not in html and logged == ["something of the server"]


def test_the_polygons_name_the_file_that_was_given(labeller, jpeg):
    html = labeller(Picture("my street.jpg", jpeg), str(small_checkpoint()), "auto")
    found = re.search(r"download='my street_polygons.json' href='data:application/json;base64,([^']*)'", html)
    assert json.loads(base64.b64decode(found[1]))["images"][0]["file_name"] == "my street.jpg"
