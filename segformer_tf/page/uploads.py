"""The files of the pictures that people give: the folder that they are put in, and how they leave it."""

import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from segformer_tf.storage.locks import hold
from segformer_tf.storage.whole import temporary

PREFIX = "segformer-tf-page-"
LONGEST = 255  # characters of a picture's name


class Picture(NamedTuple):
    """A picture as it was given, in memory only."""

    name: str
    data: bytes


def taken(file: dict[str, Any] | None, folder: str) -> Picture | None:
    """What an upload holds; its file and the folder made for it are deleted. None for a path outside `folder`.

    `file` is what Gradio says of it: `path`, whose name it has rid of some characters, and `orig_name`. OSError where
    the file is gone: two pages that give the same picture at a time share it.
    """
    if not file or not (path := Path(file["path"]).resolve()).is_relative_to(Path(folder).resolve()):
        return None
    name = Path(file.get("orig_name") or path).name[-LONGEST:] or path.name
    try:
        return Picture(name, path.read_bytes())
    except FileNotFoundError:
        raise OSError(f"{name} did not arrive whole; give it again.") from None
    finally:
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()


@contextmanager
def upload_folder() -> Iterator[str]:
    """A temporary folder of this process's own, deleted at its end; folders of processes that were killed go first."""
    for left in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        _, lock = hold(left)
        if lock is not None:  # no process holds it
            shutil.rmtree(left, ignore_errors=True)
            os.close(lock)
    with ends_in_order():
        folder, lock = temporary(PREFIX)
        try:
            yield str(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            if lock is not None:
                os.close(lock)


@contextmanager
def ends_in_order() -> Iterator[None]:
    """Signals that would end the process at once are a KeyboardInterrupt, as Ctrl-C is; so what is to be deleted is."""
    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    changed = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in changed:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, signal.SIG_DFL)
