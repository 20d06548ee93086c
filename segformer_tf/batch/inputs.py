"""Which pictures a job has, in an order that is the same at every start: numbered from 0, each one row of the index."""

import functools
import glob
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segformer_tf.batch.store import INDEX, JOB, MASKS, StoreError, address, file_system, read, shown, unsigned
from segformer_tf.pipelines.files import SUFFIXES
from segformer_tf.pipelines.folders import is_result, matches
from segformer_tf.storage.read import check_file, parse_json

LISTS = (".txt", ".lst", ".list")
TABLE = ".parquet"
COLUMNS = ("path", "url", "file", "image", "bytes")  # of a Parquet file, the first that it has


class Item(NamedTuple):
    """A picture that is still where it was found: a file, or a row of a Parquet file whose `column` has its bytes."""

    number: int
    source: str
    row: int | None = None
    column: str | None = None

    @property
    def shown(self) -> str:
        """What the index calls it; without the secrets of a URL."""
        return shown(self.source) + ("" if self.row is None else f"#{self.row}")


def find(place: str | os.PathLike, column: str | None = None, output: str | os.PathLike | None = None) -> list[Item]:
    """The pictures of a directory (its folders included), a pattern, a list file, Parquet, or a URL of these.

    A list file (.txt, .lst, .list; UTF-8) has a path or URL a line, relative to itself, spaces included; a line that
    begins with # and names no file is a comment. Parquet has paths or bytes in `column` (by default path, url, file,
    image or bytes), or {"bytes", "path"} as data sets of the Hub have them.
    In directories and patterns results of this program are left out: those of `segment` on this machine, masks and
    indexes of jobs, and what the job that writes into `output` will write.

    Raises:
        FileNotFoundError: Nothing is there, or no picture.
        ValueError: A Parquet file has no such column, or one of another type; a list is UTF-16.
    """
    place = str(place)
    own = None if output is None else _full(str(output))
    sources = [(source, row, name) for path in _files(place, own) for source, row, name in _pictures(path, column)]
    if not sources:
        raise FileNotFoundError(f"{shown(place)} holds no pictures; expected files such as .jpg or .png, or Parquet.")
    return [Item(number, *source) for number, source in enumerate(sources)]


def digest(items: Sequence[Item]) -> str:
    """SHA-256 of the list, without signatures of web addresses: another one is another job."""
    found = hashlib.sha256()
    for item in items:
        found.update(f"{unsigned(item.source)}\0{item.row}\0{item.column}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def _files(place: str, output: str | None) -> list[str]:
    """Full paths or URLs of the files that a place means, sorted."""
    fs, inner = file_system(place)

    def named(path: str) -> str:
        return fs.unstrip_protocol(path) if "://" in place else path

    if fs.isfile(inner):
        return [named(inner)]
    if fs.isdir(inner):
        # On this machine linked folders are followed, as `segment` does.
        every = fs.find(inner) if "://" in place else matches(f"{glob.escape(inner)}/**")
        below = (path for path in every if not _is_hidden(path.removeprefix(inner)))
        own = _results(named(inner), output)
        files = sorted(path for path in map(named, below) if _is_kind(path, (*SUFFIXES, TABLE)) and not own(path))
        # Parquet in a directory is the input; beside it, pictures are not looked for.
        return [path for path in files if _is_kind(path, TABLE)] or files
    every = fs.glob(inner) if "://" in place else matches(inner)
    found = sorted({named(path) for path in every if fs.isfile(path)})
    if not found:
        brackets = " Brackets are part of a pattern: for one in a name write [[]." if "[" in inner else ""
        raise FileNotFoundError(
            f"There is nothing at {shown(place)}; expected a directory, a pattern, a file or a URL.{brackets}"
        )
    own = _results(named(re.split(r"[*?\[]", inner)[0].rpartition("/")[0]), output)
    return [path for path in found if not own(path)]


def _is_kind(path: str, endings: str | tuple[str, ...]) -> bool:
    return address(path).lower().endswith(endings)


def _beside(path: str, name: str) -> str:
    """What a list or table at `path` calls a picture: whole, or relative to itself."""
    return name if "://" in name or os.path.isabs(name) else f"{address(path).rpartition('/')[0]}/{name}"


def _full(place: str) -> str:
    fs, inner = file_system(place)
    return fs.unstrip_protocol(inner) if "://" in place else os.path.realpath(inner)


def _results(base: str, output: str | None) -> Callable[[str], bool]:
    """Whether a file below `base` is this program's own: then the list would grow by what was made of it."""
    jobs: dict[str, bool] = {}  # directories -> whether a job writes there

    def own(path: str) -> bool:
        for folder in (MASKS, INDEX):
            inside, found, _ = path.removeprefix(base).rpartition(f"/{folder}/")
            root = base + inside
            if found and root not in jobs:
                jobs[root] = output in (root, os.path.realpath(root)) or _is_job(root)
            if found and jobs[root]:
                return True
        return "://" not in path and is_result(Path(path))

    return own


def _is_job(root: str) -> bool:
    try:
        about = parse_json(read(f"{root}/{JOB}"), JOB, "a job's file")
    except StoreError:  # whether it is one decides the list
        raise
    except (OSError, ValueError):
        return False
    return str(about.get("made_by")).startswith("segformer-tf ")


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))


def _pictures(path: str, column: str | None) -> Iterator[tuple[str, int | None, str | None]]:
    """(source, row, column) of each picture in one file."""
    if _is_kind(path, TABLE):
        yield from _of_parquet(path, column)
    elif _is_kind(path, LISTS):
        for line in _lines(path):
            source = _beside(path, line)
            if not line.startswith("#") or _is_there(source):
                yield source, None, None
    else:
        yield path, None, None


def _lines(path: str) -> Iterator[str]:
    """Of a list of names, in which all but the line's end is part of a name."""
    data = read(path, what="a list of pictures")
    if b"\0" in data:
        raise ValueError(f"{shown(path)} is UTF-16 or no text; expected a list of pictures: save it as UTF-8.")
    lines = (line.rstrip("\r") for line in data.decode("utf-8-sig", "surrogateescape").split("\n"))
    return (line for line in lines if line.strip())


def _is_there(source: str) -> bool:
    fs, inner = file_system(source)
    return fs.exists(inner)


def _of_parquet(path: str, column: str | None) -> Iterator[tuple[str, int | None, str | None]]:
    file = _parquet(path)
    schema = file.schema_arrow
    name = column or next((each for each in COLUMNS if each in schema.names), None)
    if name is None or name not in schema.names:
        raise ValueError(
            f"{shown(path)} has the columns {', '.join(schema.names)}; expected {column or ' or '.join(COLUMNS)}: name "
            "the one with paths or bytes by --column."
        )
    kind = schema.field(name).type
    kind = getattr(kind, "value_type", kind) if str(kind).startswith("dictionary") else kind
    if _plain(kind) == "string":
        values = (value for batch in file.iter_batches(columns=[name]) for value in batch.column(0).to_pylist())
        for row, value in enumerate(values):
            if not value:  # `encoded` says so of this row
                yield path, row, name
            else:
                yield _beside(path, value), None, None
        return
    field = kind.get_field_index("bytes") if str(kind).startswith("struct") else -1
    inner = kind.field(field).type if field >= 0 else kind
    # Of the Hub's, where all rows have paths, the bytes are of no type.
    if _plain(inner) != "binary" and not (field >= 0 and _plain(inner) == "null"):
        raise ValueError(f"Column {name} of {shown(path)} is {kind}; expected paths (string) or pictures (binary).")
    for row in range(file.metadata.num_rows):
        yield path, row, name


def _plain(kind: Any) -> str:
    """A type of Arrow's by its plainest name: large, of one size or seen through a view, it holds the same values."""
    return re.sub(r"^large_|^fixed_size_|_view$|\[\d+\]$", "", str(kind))


@functools.lru_cache(maxsize=4)
def _parquet(path: str) -> Any:
    import pyarrow.parquet as pq

    if "://" not in path:
        check_file(Path(path), "Parquet")
        return pq.ParquetFile(path)
    fs, inner = file_system(path)
    return pq.ParquetFile(fs.open(inner, "rb"))


@functools.lru_cache(maxsize=2)
def _group(path: str, group: int, column: str) -> Any:
    return _parquet(path).read_row_group(group, columns=[column]).column(column)


def encoded(item: Item) -> bytes:
    """The bytes of a picture's file.

    Raises:
        OSError: It cannot be read.
        ValueError: The Parquet row is empty.
    """
    if item.row is None:
        return read(item.source)
    metadata, row, group = _parquet(item.source).metadata, item.row, 0
    while row >= metadata.row_group(group).num_rows:
        row -= metadata.row_group(group).num_rows
        group += 1
    value = _group(item.source, group, item.column)[row].as_py()
    value = value.get("bytes") or value.get("path") if isinstance(value, dict) else value
    if not value:
        raise ValueError(f"{item.shown} is empty; expected a picture's bytes or path.")
    return read(_beside(item.source, value)) if isinstance(value, str) else value


class Named(io.BytesIO):
    """The bytes of a picture's file, which errors call by its name."""

    def __init__(self, data: bytes, name: str):
        super().__init__(data)
        self.name = name


def pixels(item: Item, processor: Any) -> Any:
    """The picture (H, W, C), upright, as the pipeline reads it."""
    return processor.pixels(Named(encoded(item), item.shown), strict=True)
