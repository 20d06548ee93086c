"""The only way a file is written here: whole or not at all, readable as the umask says, with one error if it fails.

Files are written into a hidden draft beside their places, and `switch` puts them there in one step.
"""

import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segformer_tf.storage.locks import hold
from segformer_tf.storage.switch import GONE, PREFIX, WAYS_OUT, commit, locked, refused, settle, way_out

_cleared: set[Path] = set()  # directories whose leftovers this process has looked for


@contextmanager
def staged(
    directory: str | os.PathLike, replaces: Callable[[], Iterable[str]] | None = None, joins: Iterable[str] = ()
) -> Iterator[Path]:
    """A hidden directory to write files and directories into; they move up into `directory` when the block succeeds.

    Each replaces what has its name, all in one step for `settled` readers; others see them move in the order of their
    names, `.json` files last, which say what the others are. Nothing moves where the block fails. `directory` is made
    if need be.

    Args:
        replaces: Gives the names of what goes with this save, of earlier files or a directory of the same name. It is
            asked while no other process saves there.
        joins: Names of directories whose files go among those that are there.

    Raises OSError that names the path, the reason and the way out where the disk is full, read-only or denies access,
    whatever the library that wrote raised.
    """
    with _draft(Path(directory), Path(directory), replaces, joins) as draft:
        yield draft


@contextmanager
def whole(path: str | os.PathLike) -> Iterator[Path]:
    """The path of a draft of one file, which takes the place of `path` when the block succeeds; errors as `staged`."""
    path = Path(path)
    with _draft(path.parent, path, None) as draft:
        yield draft / path.name


def write_text(path: str | os.PathLike, text: str) -> None:
    """A UTF-8 text file, such as config.json; errors as `staged`."""
    with whole(path) as draft:
        draft.write_text(text, "utf-8")


@contextmanager
def _draft(
    directory: Path, what: Path, replaces: Callable[[], Iterable[str]] | None, joins: Iterable[str] = ()
) -> Iterator[Path]:
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    draft, lock = _new_draft(directory)
    try:
        with _told_in_a_sentence(what, draft):
            yield draft
            _finish(draft)
        with locked(directory, alone=True):
            commit(draft, directory, set(replaces() if replaces else ()), {*joins})
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        with suppress(OSError):  # others may have put something there
            for path in missing:
                path.rmdir()
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _new_draft(directory: Path) -> tuple[Path, int | None]:
    """A directory with the umask's own mode, and the lock that tells other processes that this one lives."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(directory)
        settle(directory)
        return _held(lambda: _made(directory / (PREFIX + uuid.uuid4().hex)))
    except OSError as error:
        if error.strerror is None:  # a sentence of ours already: a directory that is held, a save that was cut off
            raise
        hint = way_out(error) or "choose another directory"
        raise refused(error.errno, f"Cannot write to the directory {directory} ({error.strerror}); {hint}.") from error


def _made(draft: Path) -> Path:
    draft.mkdir(parents=True)  # another process that failed may have removed the empty directory again
    return draft


def temporary(prefix: str) -> tuple[Path, int | None]:
    """A directory where the system has its temporary files, and `hold`'s lock; the caller removes it."""
    return _held(lambda: Path(tempfile.mkdtemp(prefix=prefix)))


def _held(make: Callable[[], Path]) -> tuple[Path, int | None]:
    """A directory as `make` makes one, and its lock; made again where another process took it for a leftover."""
    while True:
        draft = make()
        free, lock = hold(draft)
        if free and draft.is_dir():
            return draft, lock
        if lock is not None:  # gone before it was locked
            os.close(lock)


def _clear_leftovers(directory: Path) -> None:
    """Removes drafts of processes that ended half-way, once for each directory: looking takes time in full ones."""
    if directory.absolute() in _cleared:
        return
    _cleared.add(directory.absolute())
    for entry in directory.glob(PREFIX + "*"):
        lock = hold(entry)[1] if re.fullmatch("[0-9a-f]{32}", entry.name.removeprefix(PREFIX)) else None
        if lock is not None:
            shutil.rmtree(entry, ignore_errors=True)
            os.close(lock)


def _finish(draft: Path) -> None:
    """Gives everything the umask's modes, whatever library wrote it, and waits until the disk has it."""
    mode = draft.stat().st_mode & 0o777  # what `mkdir` made of 0o777
    for root, directories, files in os.walk(draft):
        for path, wanted in [(Path(root, d), mode) for d in directories] + [
            (Path(root, f), mode & 0o666) for f in files
        ]:
            os.chmod(path, path.stat().st_mode & 0o7000 | wanted)
            if path.is_file():
                with open(path, "r+b") as file:
                    os.fsync(file.fileno())


@contextmanager
def _told_in_a_sentence(what: Path, draft: Path) -> Iterator[None]:
    """Libraries raise their own errors for a full disk; PyTorch's does not even say the reason."""
    try:
        yield
    except Exception as error:
        hint, text = way_out(error), str(error)
        if not draft.is_dir():
            raise refused(errno.ENOENT, f"Cannot write {what} ({os.strerror(errno.ENOENT)}); {GONE}.") from error
        if hint is None:
            raise
        code = next((code for code in WAYS_OUT if os.strerror(code) in text), errno.ENOSPC)
        told = f"Cannot write {what} ({os.strerror(code)}), so what was there is left as it was; {hint}."
        raise refused(code, told) from error
