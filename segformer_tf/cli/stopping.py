"""Ctrl-C: the work ends in order, which is said where it takes time; a second one ends the program at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from segformer_tf.cli.app import say

SECONDS = 1.0  # until it is said
STATUS = 130
_came = threading.Event()


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, a first Ctrl-C raises KeyboardInterrupt, a second ends the process, whatever it waits for.

    An error after the first is one too: libraries make errors of it. Not where Ctrl-C is ignored, as in a shell's
    background jobs, or answered by somebody else.
    """
    _came.clear()
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield
        return
    words = "stopping: what is being computed is finished first; Ctrl-C again ends at once."
    late = threading.Timer(SECONDS, say, [words])
    late.daemon = True

    def first(*_: object) -> None:
        _came.set()
        signal.signal(signal.SIGINT, second)
        late.start()
        raise KeyboardInterrupt

    def second(*_: object) -> None:
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h\n")  # a progress bar hides the cursor
        os._exit(STATUS)  # unlike `sys.exit` without waiting for threads

    signal.signal(signal.SIGINT, first)
    try:
        yield
    except Exception:
        stop_if_asked()
        raise
    finally:
        late.cancel()
        if signal.getsignal(signal.SIGINT) is first:  # else the program is ending, and may wait for threads again
            signal.signal(signal.SIGINT, signal.default_int_handler)


def stop_if_asked() -> None:
    """Raises KeyboardInterrupt where Ctrl-C came, for those who go on after errors."""
    if _came.is_set():
        raise KeyboardInterrupt from None
