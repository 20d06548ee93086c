"""The one reader of JSON, text and whole files from strangers: sizes, kinds, depths are looked at before contents."""

import json
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20  # the index of a model with a million tensors is smaller
MAX_ANNOTATIONS = 2**31  # COCO's instances_train2017.json has 470 MB
MAX_DEPTH = 64  # lists and objects inside each other
_KINDS = {dict: "an object", list: "a list"}
_ODD = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
}


def check_file(path: Path, what: str) -> int:
    """The size of a file in bytes; OSError for what is none, such as a pipe, which would be waited for for ever."""
    try:
        found = path.stat()
    except PermissionError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise FileNotFoundError(f"There is no file {path}; expected {what}.") from error
    if not stat.S_ISREG(found.st_mode):
        odd = _ODD.get(stat.S_IFMT(found.st_mode), "no file")
        kind = IsADirectoryError if stat.S_ISDIR(found.st_mode) else OSError
        raise kind(f"{path} is {odd}; expected {what}.")
    return found.st_size


def _check_size(path: Path, what: str, most: int) -> None:
    if (size := check_file(path, what)) > most:
        raise ValueError(f"{path} has {size} bytes; expected {what}, which is under {most}: give the right file.")


def read_json(path: Path, what: str, kind: type | tuple[type, ...] = dict, most: int = MAX_BYTES) -> Any:
    """The contents of a UTF-8 file, with or without a byte order mark; `what` says in errors what was expected.

    Raises OSError as `check_file`, or ValueError for a file that is no JSON, of another kind (an object unless told),
    over `most` bytes or nested more than 64 deep.
    """
    _check_size(path, what, most)
    return parse_json(path.read_bytes(), str(path), what, kind)


def read_text(path: Path, what: str) -> str:
    """The text of a UTF-8 file, with or without a byte order mark; errors as those of `read_json`."""
    _check_size(path, what, MAX_BYTES)
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 ({error.reason} at byte {error.start}); expected {what}: save it as UTF-8."
        ) from None


def read_lines(path: Path, what: str) -> list[str]:
    r"""The lines of a text file, between `\n`, `\r\n` and `\r` alone: `splitlines` would cut a name at U+2028 too."""
    return read_text(path, what).split("\n")  # files are read with every end of a line as this one


def parse_json(data: bytes | str, name: str, what: str, kind: type | tuple[type, ...] = dict) -> Any:
    """As `read_json`, of what a file called `name` holds."""
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        values = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{name} is not JSON ({error}); expected {what}: correct the file, or copy it again."
        ) from None
    if not isinstance(values, kind):
        kinds = " or ".join(_KINDS[each] for each in (kind if isinstance(kind, tuple) else (kind,)))
        found = _KINDS.get(type(values)) or f"{values!r:.40}"
        raise ValueError(f"{name} holds {found}; expected {kinds}, {what}: correct the file.")
    if _deeper(values, MAX_DEPTH):
        raise ValueError(f"{name} is nested more than {MAX_DEPTH} deep; expected {what}: correct the file.")
    return values


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _deeper(values: Any, limit: int) -> bool:
    level = [values]
    for _ in range(limit):
        level = [
            part
            for each in level
            for part in (each.values() if isinstance(each, dict) else each)
            if isinstance(part, (dict, list))
        ]
    return bool(level)


def reason(error: BaseException | None, ignored: tuple[str, ...] = ()) -> str:
    """The first line of an error's text that says something, where libraries write several; its class for no text.

    At most 300 characters. `ignored`: beginnings of lines that say nothing.
    """
    lines = (line.strip() for line in str(error).splitlines() if not line.startswith(ignored))
    return next(filter(None, lines), type(error).__name__)[:300]


@contextmanager
def understanding(path: Path | str, what: str) -> Iterator[None]:
    """Turns what goes wrong inside, where values of a file have other types than they should, into one ValueError."""
    try:
        yield
    except (ImportError, Warning):
        raise
    except Exception as error:  # whatever the library that reads the file raises
        if isinstance(error, (ValueError, OSError)) and (str(path) in str(error) or getattr(error, "filename", None)):
            raise
        if isinstance(error, ValueError) and not isinstance(error, UnicodeError):
            raise ValueError(f"{path}: {error}") from error
        raise ValueError(f"{path} cannot be read ({error!r:.200}); expected {what}: correct it.") from error


def read_config(path: Path) -> dict[str, Any]:
    """A config.json, checked to be a SegFormer's."""
    values = read_json(path, "the config.json of a SegFormer model")
    if values.get("model_type") != "segformer":
        found = values.get("model_type")
        raise ValueError(f'{path} has model_type {found!r}, expected "segformer"; give a SegFormer checkpoint.')
    return values


def read_index(path: Path) -> dict[str, str]:
    """Tensor name -> file name, from the index of a checkpoint in shards; the files lie beside it."""
    weight_map = read_json(path, "an index of shards").get("weight_map")
    if not isinstance(weight_map, dict) or not all(_is_beside(path, file) for file in weight_map.values()):
        raise ValueError(
            f'{path} is not an index of shards: expected "weight_map", an object of tensor names and the names of '
            "files beside it, not links that lead elsewhere; copy it again."
        )
    return weight_map


def _is_beside(index: Path, file: Any) -> bool:
    """Whether it names a file in the index's directory that is no index itself, and no link out of it.

    The Hub's cache keeps each file as a link to `../../blobs/`.
    """
    if not isinstance(file, str) or file in ("", ".", "..") or set(file) & set("/\\\0") or file.endswith(".json"):
        return False
    path = index.parent / file
    if not path.is_symlink():
        return True
    home = index.parent.resolve()
    cache = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
    return path.resolve().parent in (home, cache)
