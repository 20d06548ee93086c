import zlib

import numpy as np
import pytest
from PIL import Image

from segformer_tf.training.scoring.corruptions import CORRUPTIONS, corrupt
from segformer_tf.training.scoring.weather import FROST, FROST_VARIABLE


@pytest.fixture(scope="module")
def golden(fixtures):
    """What the package imagecorruptions 1.1.2 makes of a picture; `make.py` beside the file says how."""
    with np.load(fixtures / "corruptions" / "golden.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture
def frost_pictures(golden, tmp_path, monkeypatch):
    for name, texture in zip(FROST, golden["textures"], strict=True):
        Image.fromarray(texture).save(tmp_path / name, "PNG")
    monkeypatch.setenv(FROST_VARIABLE, str(tmp_path))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_equals_imagecorruptions_to_the_last_bit(golden, frost_pictures, name):
    number = [key for key in golden if key.endswith("_1")].index(f"{name}_1")
    for severity in range(1, 6):
        random = np.random.RandomState(10 * number + severity)
        found = corrupt(golden["picture"], name, severity, random)
        np.testing.assert_array_equal(found, golden[f"{name}_{severity}"], str(severity))


def test_a_picture_s_number_says_what_chance_does_to_it(golden):
    first, again, other = (corrupt(golden["picture"], "shot_noise", 2, number) for number in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and first.dtype == np.uint8
    random = np.random.RandomState([zlib.crc32(b"shot_noise"), 2, 4])
    np.testing.assert_array_equal(first, corrupt(golden["picture"], "shot_noise", 2, random))


def test_the_picture_itself_is_left_as_it_was(golden, frost_pictures):
    before = golden["picture"].copy()
    for name in CORRUPTIONS:
        corrupt(golden["picture"], name, 1)
    np.testing.assert_array_equal(golden["picture"], before)


@pytest.mark.parametrize(
    ("name", "severity", "told"),
    [
        ("rain", 1, "corruption is 'rain', expected one of motion_blur"),
        ("fog", 0, "severity is 0, expected 1, 2, 3, 4 or 5"),
        ("fog", 6, "severity is 6, expected 1, 2, 3, 4 or 5"),
        ("fog", 3.0, r"severity is 3\.0, expected 1, 2, 3, 4 or 5"),
        ("fog", True, "severity is True, expected 1, 2, 3, 4 or 5"),
    ],
)
def test_what_is_no_corruption_is_told(golden, name, severity, told):
    with pytest.raises(ValueError, match=told):
        corrupt(golden["picture"], name, severity)


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((40, 50), r"the picture is \(40, 50\) uint8, expected \(H, W, 3\) uint8"),
        ((40, 50, 4), "expected .* colour pictures only"),
        ((31, 50, 3), "the picture is 31 x 50, expected 32 pixels a side or more: pad it first"),
    ],
)
def test_grey_and_tiny_pictures_are_refused(shape, told):
    with pytest.raises(ValueError, match=told):
        corrupt(np.zeros(shape, np.uint8), "fog", 1)


def test_frost_without_its_photographs_says_where_they_come_from(golden, tmp_path, monkeypatch):
    monkeypatch.setenv(FROST_VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match="frost needs the photographs of the package imagecorruptions"):
        corrupt(golden["picture"], "frost", 1)
