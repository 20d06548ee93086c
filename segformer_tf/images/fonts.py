"""Fonts that have the characters of what is written: Pillow's own has those of English alone."""

import functools
import warnings
from collections.abc import Iterable
from typing import Any

from PIL import ImageFont

# By the names of their files, which Pillow looks for where Linux, macOS and Windows keep theirs; the widest known last.
INSTALLED = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "segoeui.ttf"),
    *("NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "wqy-microhei.ttc", "wqy-zenhei.ttc", "msyh.ttc"),
    *("YuGothM.ttc", "malgun.ttf", "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc"),
    *("NotoSansArabic-Regular.ttf", "NotoSansDevanagari-Regular.ttf", "NotoSansThai-Regular.ttf", "Nirmala.ttf"),
    *("Arial Unicode.ttf", "unifont.ttf"),
)
NOWHERE = "\u0378"  # stands for no character, so that a font draws of it what it draws of those that it has not


def font_for(texts: Iterable[str], size: int) -> Any:
    """Pillow's font, or the first that is installed here and has all characters of the texts.

    A UserWarning, once for each character, where none has them: they are drawn as boxes.
    """
    return font_of(lacking(texts), size)


def lacking(texts: Iterable[str]) -> frozenset[str]:
    """The characters of texts that Pillow's font has not."""
    return frozenset(c for c in set("".join(texts)) if not c.isascii() and not c.isspace() and not _has(None, c))


@functools.lru_cache(maxsize=64)
def font_of(characters: frozenset[str], size: int) -> Any:
    """The font for texts in which `characters` are lacking."""
    return _font(file_of(characters), size)


@functools.lru_cache(maxsize=64)
def file_of(characters: frozenset[str]) -> str | None:
    """The file of a font that has all of these characters; None: Pillow's own, with a warning where that has not."""
    if not characters:
        return None
    for name in INSTALLED:
        if (font := _installed(name)) is not None and all(_has(name, c) for c in characters):
            return font.path
    listed = "".join(sorted(characters)).encode("utf-8", "backslashreplace").decode()  # names of files may be no text
    warnings.warn(
        f"No font here has all of the characters {listed:.40}, which pictures show as boxes: "
        "install one, such as Noto Sans (Debian: fonts-noto-core, fonts-noto-cjk).",
        UserWarning,
        stacklevel=2,
    )
    return None


@functools.cache
def _has(name: str | None, character: str) -> bool:
    font = _font(None, 16) if name is None else _installed(name)
    return _drawn(font, character) != _drawn(font, NOWHERE)


def _drawn(font: Any, character: str) -> tuple[Any, bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@functools.cache
def _installed(name: str) -> Any:
    try:
        return ImageFont.truetype(name, 16)
    except OSError:
        return None


@functools.lru_cache(maxsize=64)
def _font(file: str | None, size: int) -> Any:
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)
