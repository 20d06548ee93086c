"""A path, bytes or a file -> a decoded PIL image, with one clear sentence for what is no image."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError


def open_image(source: Any) -> Image.Image | np.ndarray:
    """Path, bytes or file object -> loaded PIL image, of an animation its first frame; images and arrays stay.

    Raises FileNotFoundError, IsADirectoryError, or OSError with one sentence naming the file for what is not an image,
    is cut off, empty, or larger than Pillow's `MAX_IMAGE_PIXELS` allows; TypeError for anything else than an image.
    """
    if isinstance(source, Image.Image | np.ndarray):
        return source
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if path.is_dir():
            raise IsADirectoryError(f"{path} is a directory; expected an image file.")
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist; expected an image file.")
        return _decode(path.read_bytes(), str(path))
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(bytes(source), f"The image given as {len(source)} bytes")
    if hasattr(source, "read"):
        return _decode(source.read(), str(getattr(source, "name", "The file object")))
    if hasattr(source, "__array__"):  # TensorFlow and Keras tensors
        return np.asarray(source)
    raise TypeError(f"image is a {type(source).__name__}; expected a path, bytes, a PIL image, an array or a tensor.")


def _decode(data: bytes, name: str) -> Image.Image:
    if not data:
        raise OSError(f"{name} is empty (0 bytes); expected an image.")
    try:
        image = Image.open(BytesIO(data))
        image.load()
    except Warning:  # a DecompressionBombWarning, where the caller has made warnings errors
        raise
    except UnidentifiedImageError:
        raise OSError(f"{name} is not an image in a format that Pillow reads.") from None
    except Image.DecompressionBombError as error:
        raise OSError(f"{name} is too large to decode safely: {error}") from None
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise OSError(f"{name} is damaged or cut off and cannot be decoded ({error}).") from error
    return image
