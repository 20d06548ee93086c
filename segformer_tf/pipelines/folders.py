"""Which files of a directory, or of a pattern, are taken for pictures, and what is said of the others."""

import glob
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from segformer_tf.pipelines import files, marks


def pictures_in(directory: Path, recursive: bool | None) -> tuple[list[Path], str]:
    """The pictures in the order of their names, and what was left out ("" if nothing was).

    `recursive`: whether to look into its folders; None where that cannot be asked for.
    Raises FileNotFoundError where there is none.
    """
    left_out: Counter[str] = Counter()
    examples: list[str] = []
    pictures = list(_walk(directory, bool(recursive), left_out, examples, set()))
    folders = left_out.pop("folders", 0)
    if not pictures:
        inside = folders and recursive is not None
        hint = "; --recursive looks into its folders" if inside else "; expected files such as .jpg or .png in it"
        raise FileNotFoundError(f"{directory} holds no pictures{hint}.")
    told = [f"{count} {kind.replace('#', 's' * (count > 1))}" for kind, count in left_out.items()]
    if examples:
        more = ", ..." if len(examples) < left_out["other file#"] else ""
        told = [f"{text} ({', '.join(examples)}{more})" if "other file" in text else text for text in told]
    if folders:
        hint = "" if recursive is None else " (--recursive takes them too)"
        told.append(f"{folders} folder{'s' * (folders > 1)}{hint}")
    return pictures, f"{directory}: left out {', '.join(told)}." if told else ""


def _walk(directory: Path, recursive: bool, left_out: Counter, examples: list[str], seen: set) -> Iterator[Path]:
    if _seen(directory, seen):
        return
    for path in sorted(directory.iterdir()):
        if path.name.startswith("."):
            left_out["hidden file#"] += 1
        elif not path.exists():
            left_out["broken link#"] += 1
        elif path.is_dir():
            if recursive:
                yield from _walk(path, recursive, left_out, examples, seen)
            else:
                left_out["folders"] += 1
        elif path.suffix.lower() not in files.SUFFIXES or not path.is_file():
            left_out["other file#"] += 1
            examples += [path.name] if len(examples) < 3 else []
        elif is_result(path):
            left_out["result# of segformer-tf itself"] += 1
        else:
            yield path


def matching(pattern: str) -> tuple[list[str], str]:
    """What a pattern means in the order of names, and what was left out: results of this program, which would grow.

    Raises FileNotFoundError where nothing else matches.
    """
    paths = sorted(set(matches(pattern)))
    if not paths:
        raise FileNotFoundError(f"No file matches {pattern}; expected pictures such as .jpg or .png.")
    pictures = [path for path in paths if not is_result(Path(path))]
    if not pictures:
        raise FileNotFoundError(f"{pattern} matches results of segformer-tf itself alone; expected pictures.")
    own = len(paths) - len(pictures)
    return pictures, f"{pattern}: left out {own} result{'s' * (own > 1)} of segformer-tf itself." if own else ""


def matches(pattern: str) -> Iterator[str]:
    """As `glob.glob`, where `**` is any folders, each once: links that go in a circle end."""
    parts = pattern.replace(os.altsep or os.sep, os.sep).split(os.sep)
    if "**" not in parts:
        yield from glob.glob(pattern)
        return
    place = parts.index("**")
    rest = parts[place + 1 :]
    for top in glob.glob(os.sep.join([*parts[:place], ""])) if place else [""]:
        for folder in _folders(top, set()):
            found = matches(os.path.join(glob.escape(folder), *(rest or ["*"])))
            yield from found if rest else (path for path in found if not os.path.isdir(path))


def _folders(top: str, seen: set) -> Iterator[str]:
    """A folder and all below it that are not hidden."""
    if _seen(top or ".", seen):
        return
    yield top
    for path in sorted(glob.glob(os.path.join(glob.escape(top), "*", ""))):
        yield from _folders(path, seen)


def _seen(directory: str | Path, seen: set) -> bool:
    """Whether a folder was come by before, as by a link to one above it."""
    state = os.stat(directory)
    known = (state.st_dev, state.st_ino) in seen
    seen.add((state.st_dev, state.st_ino))
    return known


def is_result(path: Path) -> bool:
    """Whether it is a picture or video that this program wrote, by its name and what it says of itself."""
    if not path.is_file():  # a pipe would be waited for
        return False
    kinds = (*files.SUFFIXES, ".mp4", ".mkv")
    return path.stem.endswith(("_labels", "_overlay")) and path.suffix.lower() in kinds and marks.ours(path)
