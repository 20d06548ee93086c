"""What the page does with pictures, without the page: Gradio is not needed for it."""

import numpy as np
import pytest
from PIL import Image
from small_data import small_checkpoint

from segformer_tf.page import app
from segformer_tf.page.app import Labeller, Picture


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


def test_an_upload_is_read_once_and_its_file_is_gone(tmp_path):
    folder = tmp_path / "uploads"
    (folder / "hash").mkdir(parents=True)
    (folder / "hash" / "street.jpg").write_bytes(b"picture")
    assert app.taken(str(folder / "hash" / "street.jpg"), str(folder)) == Picture("street.jpg", b"picture")
    assert folder.is_dir() and not any(folder.iterdir())


def test_a_path_outside_the_uploads_is_not_read_and_not_deleted(tmp_path):
    folder, other = tmp_path / "uploads", tmp_path / "secret.jpg"
    folder.mkdir()
    other.write_bytes(b"secret")
    (folder / "link.jpg").symlink_to(other)
    for path in (str(other), f"{folder}/../secret.jpg", str(folder / "link.jpg"), None):
        assert app.taken(path, str(folder)) is None
    assert other.read_bytes() == b"secret"


def test_what_a_page_names_on_other_hosts_is_cut_out():
    page = (
        b'<meta\n property="og:image"\n content="https://raw.example.com/a.jpg" />'
        b'<link rel="preconnect" href="https://fonts.example.com"><link rel="icon" href="/favicon.ico">'
        b'<script src="https://cdn.example.com/x.js" async></script><script type="module" src="./assets/i.js"></script>'
        b"<p>left</p>"
    )
    left = app.FOREIGN.sub(b"", page)
    assert b"https" not in left
    assert (
        left == b'<link rel="icon" href="/favicon.ico"><script type="module" src="./assets/i.js"></script><p>left</p>'
    )


def test_only_runtimes_that_are_installed_are_offered(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else object())
    assert app.installed() == ["auto", "tensorflow", "openvino", "litert", "numpy"]
