"""Files that are images, and the sentences for those that are not."""

import io

import numpy as np
import pytest
from PIL import Image

from segformer_tf.images import open_image


@pytest.fixture
def street(tmp_path):
    path = tmp_path / "street.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return path


def test_paths_bytes_and_files_give_the_same_picture(street):
    expected = np.asarray(Image.open(street))
    with street.open("rb") as file:
        for source in (street, str(street), street.read_bytes(), file):
            np.testing.assert_array_equal(np.asarray(open_image(source)), expected)


def test_pictures_and_arrays_stay_what_they_are():
    array = np.zeros((2, 3, 3))
    picture = Image.new("L", (3, 2))
    assert open_image(array) is array and open_image(picture) is picture


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "a.gif").convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_what_cannot_be_decoded_is_named(street, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"missing.png does not exist; expected an image file"):
        open_image(tmp_path / "missing.png")
    with pytest.raises(IsADirectoryError, match="is a directory; expected an image file"):
        open_image(tmp_path)
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(OSError, match=r"empty.jpg is empty \(0 bytes\); expected an image"):
        open_image(empty)
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    with pytest.raises(OSError, match=r"notes.jpg is not an image in a format that Pillow reads"):
        open_image(text)
    half = tmp_path / "half.png"
    half.write_bytes(street.read_bytes()[:1500])
    with pytest.raises(OSError, match=r"half.png is damaged or cut off"):
        open_image(half)
    with pytest.raises(OSError, match="The image given as 10 bytes is not an image"):
        open_image(b"no picture")
    with pytest.raises(OSError, match="The file object is empty"):
        open_image(io.BytesIO())
    with pytest.raises(TypeError, match="image is a int; expected a path"):
        open_image(7)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(OSError, match=r"street.png is too large to decode safely"):
        open_image(street)


def test_a_large_picture_warns_as_pillow_does(street, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.warns(Image.DecompressionBombWarning):
        assert open_image(street).size == (40, 30)
    with pytest.raises(Image.DecompressionBombWarning):  # pytest makes warnings errors here
        open_image(street)
