"""Ctrl-C, SIGTERM, SIGHUP: the work ends in order, which is said where it takes time; a second one ends it at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from segformer_tf.cli.app import say

SECONDS = 1.0  # until it is said
USUAL: dict[int, Any] = {
    getattr(signal, name): signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL
    for name in ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks the last
    if hasattr(signal, name)
}
_came: list[int] = []


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, a first signal raises KeyboardInterrupt, a second ends the process, whatever it waits for.

    An error after the first is one too: libraries make errors of it. Signals that are ignored, as Ctrl-C is in a
    shell's background jobs, or answered by somebody else, are left so.
    """
    _came.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[threading.Timer] = []

    def stop(number: int, _: object) -> None:
        if _came:
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
            os._exit(128 + number)  # unlike `sys.exit` without waiting for threads
        _came.append(number)
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        words = f"stopping: what is being computed is finished first; {name} again ends at once."
        late.append(threading.Timer(SECONDS, say, [words]))
        late[0].daemon = True
        late[0].start()
        raise KeyboardInterrupt

    for number, usual in USUAL.items():
        if signal.getsignal(number) is usual:
            signal.signal(number, stop)
    try:
        yield
    except Exception:
        stop_if_asked()
        raise
    finally:
        for timer in late:
            timer.cancel()
        if not _came:  # else the program is ending, and may wait for threads again
            for number, usual in USUAL.items():
                if signal.getsignal(number) is stop:
                    signal.signal(number, usual)


def leave_to_the_system() -> None:
    """SIGTERM and SIGHUP end the process again, also where it is in a library's hands and no Python would answer."""
    for number, usual in USUAL.items():
        if usual is signal.SIG_DFL and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, usual)


def stop_if_asked() -> None:
    """Raises KeyboardInterrupt where a signal came, for those who go on after errors."""
    if _came:
        raise KeyboardInterrupt from None


def status() -> int:
    """The exit status after a KeyboardInterrupt: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + (_came[0] if _came else signal.SIGINT)
