"""Which versions a directory holds; without TensorFlow."""

import os
from pathlib import Path


def version_directories(directory: str | os.PathLike) -> dict[int, Path]:
    """Version number -> its directory: the directory itself where it is a version, else those in it with a number.

    Raises:
        FileNotFoundError: There is no version, or no such directory.
    """
    directory = Path(directory)
    if (directory / "saved_model.pb").is_file():
        return {int(directory.name) if directory.name.isdigit() else 1: directory}
    found = {}
    if directory.is_dir():
        found = {int(entry.name): entry for entry in directory.iterdir() if entry.name.isdecimal() and entry.is_dir()}
    if not found:
        raise FileNotFoundError(f"There is no version directory such as 1/ in {directory}: export a SavedModel there.")
    return found


def latest_version(directory: str | os.PathLike) -> Path:
    """The version directory with the highest number, which is the one that TF Serving serves."""
    found = version_directories(directory)
    return found[max(found)]
