"""The files of a result: their names, and which of them may be replaced.

Neither NumPy nor Pillow is loaded: the command line takes names from here before it knows the command.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from segformer_tf.pipelines.marks import is_of_another, ours, source_of

ENDINGS = {
    "labels": "_labels.png",
    "overlay": "_overlay.png",
    "json": ".json",
    "polygons": "_polygons.json",
    "svg": "_polygons.svg",
    "scores": "_scores.npz",
    "tiff": "_labels.tif",
}
VIDEO_ENDINGS = {"labels": "_labels.mkv", "overlay": "_overlay.mp4", "json": "_frames.jsonl"}
DEFAULT = ("labels", "overlay", "json")
LONGEST = 255 - max(map(len, ENDINGS.values()))  # bytes of a name, so that file systems take it with every ending
PLAIN = (".jpg", ".jpeg", ".png")
# Of the files that are taken for pictures in a directory.
SUFFIXES = (*PLAIN, *[".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2", ".avif", ".tga"])


def name_of(picture: str | os.PathLike, whole: bool = False) -> str:
    """What the files of a picture are called after: its file name without .jpg, .jpeg or .png.

    Other suffixes stay ("a.tif" gives "a.tif_labels.png"), and with `whole` those three too. The name depends on the
    picture's own name alone, so it is the same whatever other pictures there are. One that would get too long for a
    file system is cut and ends in "~" and eight digits of its SHA-256.
    """
    name = Path(picture).name
    if not whole and Path(name).suffix.lower() in PLAIN:
        name = Path(name).stem
    data = os.fsencode(name)
    if len(data) <= LONGEST:
        return name
    digest = hashlib.sha256(data).hexdigest()[:8]
    return os.fsdecode(data[: LONGEST - 9]).encode("utf-8", "ignore").decode("utf-8", "ignore") + "~" + digest


def video_name(source: str, whole: bool = False) -> str:
    """What the files of a video are called after: its file name without ending (with it: `whole`); a folder's name."""
    path = Path(source)
    name = path.resolve().name if path.is_dir() else path.name if whole else path.stem
    return name_of(name, whole=True)


def check(
    directory: str | os.PathLike,
    name: str,
    kinds: Sequence[str],
    source: str | os.PathLike | None = None,
    overwrite: bool = False,
    endings: dict[str, str] = ENDINGS,
) -> dict[str, Path]:
    """The path of each kind of file, all of which may be written.

    Raises ValueError for a kind that does not exist, FileExistsError where a file stands that must not be replaced: the
    picture `source` itself, or (without `overwrite`) one that this program did not write or wrote for another picture.
    """
    if unknown := [kind for kind in kinds if kind not in endings]:
        raise ValueError(f"There is no kind of file {unknown[0]!r}; expected some of {', '.join(endings)}.")
    targets = targets_of(Path(directory), name, kinds, endings)
    for target in targets.values():
        if not os.path.lexists(target):
            continue
        if source is not None and _same(target, source):
            what = "video" if endings is VIDEO_ENDINGS else "picture"
            raise FileExistsError(f"{target} is the {what} itself and is not replaced; choose another directory.")
        if not overwrite and not ours(target):
            raise FileExistsError(
                f"{target} was not written by segformer-tf and is not replaced; choose another directory, or overwrite."
            )
    if not overwrite and source is not None:
        _check_source(Path(directory), f"{name}{endings['json']}", targets.values(), source)
    return targets


def targets_of(directory: Path, name: str, kinds: Sequence[str], endings: dict[str, str] = ENDINGS) -> dict[str, Path]:
    """The path of each kind of file."""
    return {kind: directory / f"{name}{endings[kind]}" for kind in endings if kind in kinds}


def _check_source(directory: Path, record: str, targets: Iterable[Path], source: str | os.PathLike) -> None:
    """Raises FileExistsError where files are of another picture; the record, if it is there, says which."""
    before = source_of(directory / record)
    if before is not None and before != str(Path(source).absolute()):
        raise FileExistsError(
            f"{record} in {directory} is of {before}, and {source} has the same name; choose another directory, "
            "or overwrite."
        )
    for target in targets:
        if is_of_another(target, source):
            raise FileExistsError(
                f"{target}, where a file of {source} would go, is of another picture or video; choose another "
                "directory, or overwrite."
            )


def _same(target: Path, file: str | os.PathLike) -> bool:
    try:
        return os.path.samefile(target, file)
    except OSError:
        return False
