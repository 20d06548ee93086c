"""Locks on directories: the system's own, which end with the process that holds them."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

WAIT_SECONDS = 60.0  # for another process that reads or writes the directory


def hold(directory: Path, alone: bool = True) -> tuple[bool, int | None]:
    """(whether no other process holds it, a lock that ends with this process or None where the disk has no locks)."""
    if fcntl is None:
        return True, None
    handle = None
    try:
        handle = os.open(directory, os.O_RDONLY)
        fcntl.flock(handle, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if handle is not None:
            os.close(handle)
        return not isinstance(error, (BlockingIOError, FileNotFoundError)), None
    return True, handle


@contextmanager
def locked(directory: Path, alone: bool) -> Iterator[None]:
    """Inside, other processes that ask wait: all of them, or those that ask to be alone. Not on disks without locks.

    Raises OSError where another process holds the directory for a minute.
    """
    end = time.monotonic() + WAIT_SECONDS
    free, handle = hold(directory, alone)
    while not free and directory.exists():  # of one that is gone, what follows says why
        if time.monotonic() > end:
            raise TimeoutError(
                f"Another program has held {directory} for {WAIT_SECONDS:.0f} seconds; wait for it, or end it."
            )
        time.sleep(0.002)
        free, handle = hold(directory, alone)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)
