"""The files of the clients here: the pictures that they read, and NAME_labels.png, which replaces nothing."""

from collections.abc import Iterable
from pathlib import Path


def targets(pictures: list[Path], output: Path) -> list[Path]:
    """The file of each picture's mask; SystemExit where one is there already, or two pictures have one name."""
    files = [output / f"{picture.stem}_labels.png" for picture in pictures]
    for number, file in enumerate(files):
        if file in files[:number]:
            raise SystemExit(f"Two pictures would be written as {file}: label them one after the other.")
        if file.exists():
            raise SystemExit(f"{file} exists, and nothing is replaced: move it away, or give another --output.")
    return files


def read(pictures: list[Path]) -> list[bytes]:
    """What the files hold; SystemExit with one sentence for one that cannot be read."""
    try:
        return [picture.read_bytes() for picture in pictures]
    except OSError as error:
        raise SystemExit(f"{error.filename} cannot be read ({error.strerror}): correct its name.") from None


def likeliest(classes: Iterable[str], scores: Iterable[float]) -> str:
    """A classifier's answer for one picture, in words."""
    return ", ".join(f"{name} {score:.4f}" for name, score in zip(classes, scores, strict=True))
