"""Which files of a directory are taken for pictures, and what is said of the others."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from segformer_tf.pipelines import files


def pictures_in(directory: Path, recursive: bool | None = False) -> tuple[list[Path], str]:
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
    state = os.stat(directory)
    if (state.st_dev, state.st_ino) in seen:  # a link to a folder above it
        return
    seen.add((state.st_dev, state.st_ino))
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
        elif path.stem.endswith(("_labels", "_overlay")) and files.ours(path):
            left_out["result# of segformer-tf itself"] += 1
        else:
            yield path
