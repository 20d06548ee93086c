"""`preprocessor_config.json` and `processor_config.json`: read, and written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from segformer_tf.storage.whole import write_text

CONFIG_NAMES = ("preprocessor_config.json", "processor_config.json")


def read_config(path: str | os.PathLike) -> dict[str, Any]:
    """The image processor's part of a file, or of the first of `CONFIG_NAMES` that a directory has.

    Raises FileNotFoundError, or ValueError where the file is no JSON object.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in CONFIG_NAMES if (path / name).exists()]
        if not found:
            raise FileNotFoundError(f"{path} has neither {' nor '.join(CONFIG_NAMES)}.")
        path = found[0]
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; expected a directory or a {CONFIG_NAMES[0]}.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}).") from error
    if isinstance(config, dict) and isinstance(config.get("image_processor"), dict):
        config = config["image_processor"]
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds a JSON {type(config).__name__}; expected an object.")
    return config


def write_config(directory: str | os.PathLike, text: str) -> str:
    """Write `preprocessor_config.json` into a directory (made if missing) and return its path."""
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise NotADirectoryError(f"{directory} is a file; expected a directory to save into.")
    write_text(directory / CONFIG_NAMES[0], text)
    return str(directory / CONFIG_NAMES[0])
