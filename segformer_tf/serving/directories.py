"""Which versions a directory holds; without TensorFlow."""

import os
from pathlib import Path


def version_of(directory: str | os.PathLike) -> int | None:
    """The version that a directory's name says; None where it is no number."""
    name = os.path.basename(os.path.abspath(directory))
    return int(name) if name.isascii() and name.isdecimal() else None


def home_of(directory: str | os.PathLike) -> Path:
    """The directory that has the versions of a model and its name, where one of them may be given in its place."""
    given = Path(directory)
    inside = (given / "saved_model.pb").is_file() and version_of(given) is not None
    return Path(os.path.abspath(given)).parent if inside else given


def version_directories(directory: str | os.PathLike) -> dict[int, Path]:
    """Version number -> its directory: the directory itself where it is a version, else those in it with a number.

    Raises:
        FileNotFoundError: There is no version, or no such directory.
    """
    directory = Path(directory)
    if (directory / "saved_model.pb").is_file():
        number = version_of(directory)
        return {1 if number is None else number: directory}
    entries = directory.iterdir() if directory.is_dir() else ()
    found = {number: entry for entry in entries if (number := version_of(entry)) is not None and entry.is_dir()}
    if not found:
        raise FileNotFoundError(f"There is no version directory such as 1/ in {directory}: export a SavedModel there.")
    return found


def listed(directory: Path) -> tuple[tuple[str, float | None], ...]:
    """Names and times of what is in a directory, so that a change is seen; None for a link that leads nowhere."""

    def changed(name: str) -> float | None:
        try:
            return os.stat(directory / name).st_mtime
        except OSError:
            return None

    try:
        return tuple((name, changed(name)) for name in sorted(os.listdir(directory)))
    except OSError:  # it went meanwhile, or may not be read, which loading tells
        return ()


def latest_version(directory: str | os.PathLike) -> Path:
    """The version directory with the highest number, which is the one that TF Serving serves."""
    found = version_directories(directory)
    return found[max(found)]
