"""From a finished draft to the files of a directory in one step, and errors of the disk in one sentence.

A draft of several files is renamed to `SAVE`: from that moment the save has happened. Its files move up from there, and
whoever comes first after a stop in between, the next save or the next load, moves the rest (`settle`).
"""

import ctypes
import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from segformer_tf.storage import locks

# Hidden: TF Serving looks for directories named by integers, `glob("*.png")` for pictures.
PREFIX = ".segformer-tf-draft-"
SAVE = ".segformer-tf-save"
REMOVED = ".removed"  # ends the name of an empty file in `SAVE` that says what the save takes away
_NO_ROOM = "make room, or choose another directory"
WAYS_OUT = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "raise the limit on a file's size, or choose another directory",
    errno.EROFS: "choose another directory",
    errno.EIO: "check the disk, or choose another directory",
    errno.ENAMETOOLONG: "give the file a shorter name",
}
_AWAY = "move away what stands there, or choose another directory"
GONE = "its directory was moved or removed meanwhile: choose another"


@contextmanager
def settled(directory: str | os.PathLike | None) -> Iterator[None]:
    """Inside, no save of this package changes the files of `directory`, which are those of one save; None: nothing.

    Raises OSError where a save that was cut off cannot be finished, or another process holds the directory.
    """
    if directory is None:
        yield
        return
    while True:
        settle(directory)
        with locked(Path(directory), alone=False):
            if not _pending(Path(directory)):
                yield
                return


def settle(directory: str | os.PathLike) -> None:
    """Moves up the files of a save that was stopped while they moved; errors as `settled`."""
    if _pending(Path(directory)):
        with locked(Path(directory), alone=True):
            _move_up(Path(directory))


def commit(draft: Path, directory: Path, replaces: set[str], joins: Collection[str] = ()) -> None:
    """Switches to the files of a draft in one step; those named by `replaces` that it does not have are removed.

    Files of a directory named by `joins` go among those that are there.
    """
    _move_up(directory)
    written = [*draft.iterdir()]
    for entry in written:
        target = directory / entry.name
        if entry.suffix == ".json" and target.is_file() and target.read_bytes() == entry.read_bytes():
            entry.unlink()  # one file less that changes
    entries = [*draft.iterdir()]
    gone = [name for name in replaces - {entry.name for entry in written} if (directory / name).exists()]
    several = len(entries) + len(gone) > 1
    for entry in entries:
        target = directory / entry.name
        if entry.name in joins and entry.is_dir() and target.is_dir():
            for part in entry.iterdir():
                _check_room(part, target / part.name, False)
        else:
            _check_room(entry, target, entry.name in replaces and not several)
    for name in gone:
        _check_room(draft / (name + REMOVED), directory / name, False)
    if several:
        for name in gone:
            (draft / (name + REMOVED)).touch()
        _move(draft, directory / SAVE)
        _move_up(directory)
        return
    for entry in entries:
        target = directory / entry.name
        if entry.name in joins:
            _join(entry, target)
        elif not (entry.name in replaces and target.is_dir()):
            _move(entry, target)
        elif not _exchanged(entry, target):
            _move(target, draft / (entry.name + REMOVED))
            _move(entry, target)
    for name in gone:
        (directory / name).unlink()


def _check_room(entry: Path, target: Path, exchanged: bool) -> None:
    """Raises OSError where `target` cannot become `entry`: found while the save has not happened, or it never ends."""
    if not entry.is_dir():
        code = errno.EISDIR if target.is_dir() else None
    elif (exchanged and target.is_dir()) or not os.path.lexists(target):
        code = None
    elif target.is_symlink() or not target.is_dir():
        code = errno.ENOTDIR
    else:
        code = errno.ENOTEMPTY if any(target.iterdir()) else None
    if code is not None:
        raise refused(code, f"Cannot write {target} ({os.strerror(code)}); {_AWAY}.")


def _pending(directory: Path) -> bool:
    save = directory / SAVE
    return save.is_dir() and not save.is_symlink()


def _move_up(directory: Path) -> None:
    save = directory / SAVE
    if not _pending(directory):
        return
    entries = sorted(save.iterdir(), key=lambda entry: (entry.suffix == ".json", entry.name))
    for entry in entries:
        if entry.suffix != REMOVED:
            _join(entry, directory / entry.name)
    for entry in reversed(entries):  # model.safetensors, which loading prefers, before the shards of an index
        if entry.suffix == REMOVED:
            try:
                (directory / entry.name.removesuffix(REMOVED)).unlink(missing_ok=True)
                entry.unlink()
            except OSError as error:
                raise _unfinished(directory, error) from error
    shutil.rmtree(save, ignore_errors=True)


def _exchanged(entry: Path, target: Path) -> bool:
    """Swaps two directories in one step, where the system knows how (Linux)."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2
    return rename(here, os.fsencode(entry), here, os.fsencode(target), exchange) == 0


def locked(directory: Path, alone: bool) -> AbstractContextManager[None]:
    """As `locks.locked`; a draft is its own process's, which holds it already."""
    return nullcontext() if directory.name.startswith(PREFIX) else locks.locked(directory, alone)


def _join(source: Path, target: Path) -> None:
    """Moves a file or directory, of a directory that is there already the files."""
    if not (source.is_dir() and target.is_dir()):
        return _move(source, target)
    for part in sorted(source.iterdir()):
        _move(part, target / part.name)


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        if save := next((parent for parent in source.parents if parent.name == SAVE), None):
            raise _unfinished(save.parent, error) from error
        hint = GONE if isinstance(error, FileNotFoundError) else way_out(error) or _AWAY
        raise refused(error.errno, f"Cannot write {target} ({error.strerror}); {hint}.") from error


def _unfinished(directory: Path, error: OSError) -> OSError:
    told = f"A save into {directory} was cut off and cannot be finished ({error.strerror})"
    return refused(error.errno, f"{told}; load or save it once as a user who may write there.")


def way_out(error: Exception) -> str | None:
    """What to do about a disk that takes no more; None for any other error."""
    text = str(error)
    if "PytorchStreamWriter failed writing" in text:
        return WAYS_OUT[errno.ENOSPC]
    return next((way for code, way in WAYS_OUT.items() if os.strerror(code) in text), None)


def refused(code: int | None, text: str) -> OSError:
    error = OSError(text)  # given both, Python would put "[Errno 28]" before the sentence
    error.errno = code
    return error
