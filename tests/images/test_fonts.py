"""What is written on pictures is written in a font that has its characters, where one is installed."""

import warnings

import numpy as np
import pytest
from PIL import ImageFont

from segformer_tf.images import fonts, overlay, palette_for


class Font:
    """Stands for a font that has some characters."""

    def __init__(self, name, characters):
        self.path, self.characters = name, characters

    def getmask(self, character):
        class Mask(bytes):
            size = (1, 1)

        return Mask(b"\1" if character in self.characters else b"\0")


@pytest.fixture
def installed(monkeypatch):
    """Name -> the characters of the fonts that this machine has."""
    has, own = {}, ImageFont.truetype

    def truetype(name, *args, **kwargs):
        if not isinstance(name, str):
            return own(name, *args, **kwargs)  # Pillow's own font
        if name not in has:
            raise OSError("cannot open resource")
        return Font(name, has[name])

    caches = (fonts.font_of, fonts.file_of, fonts._has, fonts._installed, fonts._font)
    monkeypatch.setattr(ImageFont, "truetype", truetype)
    monkeypatch.setattr(fonts, "INSTALLED", ("a.ttf", "b.ttf", "c.ttf"))
    for cache in caches:
        cache.cache_clear()
    yield has
    for cache in caches:
        cache.cache_clear()


def test_english_is_in_pillow_s_own_font(installed):
    installed["a.ttf"] = "sky"
    assert isinstance(fonts.font_for(["sky", "road 1"], 12), ImageFont.FreeTypeFont)


def test_the_first_font_that_has_all_characters_is_taken(installed):
    installed |= {"a.ttf": "ß", "c.ttf": "ßдорога"}
    assert fonts.font_for(["Straße", "sky"], 12).path == "a.ttf"
    assert fonts.font_for(["Straße", "дорога"], 12).path == "c.ttf"


def test_characters_that_no_font_has_are_told_once_and_pictures_are_made(installed):
    names, image = {0: "天空"}, np.zeros((40, 60, 3), np.uint8)
    with pytest.warns(UserWarning, match=r"No font here has all of the characters 天空.*install one, such as Noto"):
        overlay(image, np.zeros((40, 60), int), palette_for(names), names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        overlay(image, np.zeros((40, 60), int), palette_for(names), names)
