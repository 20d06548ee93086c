"""The command line `segformer-tf`: one module a group of commands; each command imports what it needs, inside."""

import errno
import io
import os
import re
import stat
import sys
import warnings
from contextlib import suppress
from typing import get_args

import typer

from segformer_tf.cli import (  # noqa: F401  (they register commands)
    batch,
    benchmark,
    calibration,
    checkpoints,
    data,
    demo,
    export,
    pictures,
    scoring,
    serving,
    training,
    video,
)
from segformer_tf.cli.app import app, arrange, say
from segformer_tf.cli.stopping import status as stopped
from segformer_tf.cli.stopping import stoppable
from segformer_tf.storage.switch import WAYS_OUT

arrange(
    {
        "Pictures": ("demo", "segment", "video", "classify", "segment-many"),
        "Data and training": ("inspect", "convert-masks", "shard", "corrupt", "train", "evaluate", "calibrate"),
        "Models": ("info", "convert", "export", "benchmark"),
        "Serving": ("serve", "serve-config"),
    }
)
INTERRUPTED = 130  # what typer makes of a KeyboardInterrupt, whichever signal it came of


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. Exit status: 0 done, 2 a wrong call, 1 a failure, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP.

    A failure is told in one line on stderr.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # its retries are told in our own last line
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold bytes that are no text
    try:
        with stoppable():
            _check_empty(arguments)
            status = _run([argument for argument in arguments if argument != "--debug"])
            if sys.stdout is not None:
                sys.stdout.flush()  # else Python does so as it ends, and tells errors in many lines
    except KeyboardInterrupt:  # which a library made an error of
        raise SystemExit(stopped()) from None
    except Exception as error:
        if debug:
            raise
        raise SystemExit(_told(error)) from None
    raise SystemExit(stopped() if status == INTERRUPTED else status if isinstance(status, int) else 0)


def _run(arguments: list[str]) -> object:
    """The exit status of one command, if it is a number."""
    try:
        return app(_several_values(arguments), prog_name="segformer-tf", standalone_mode=False)
    except SystemExit as end:  # some end themselves
        return end.code


def _check_empty(arguments: list[str]) -> None:
    """A wrong call where a word is empty, as a shell's variable that is not set: paths would mean this directory."""
    for before, word in zip(["segformer-tf", *arguments], arguments, strict=False):
        if not word or re.fullmatch("--[a-z-]+=", word):
            which = word or f"the word after {before}"
            raise typer.BadParameter(f"{which} is empty, expected a value: is a variable of the shell not set?")


def _several_values(arguments: list[str]) -> list[str]:
    """`--scales 0.5 1 2`, or `0.5,1,2`, as `--scales 0.5 --scales 1 --scales 2`, which is how typer reads lists."""
    several = _lists_of_numbers(*arguments[:1])
    changed: list[str] = []
    taking = None
    for argument in arguments:
        values = argument.split(",")
        if taking and all(map(_is_number, values)):
            first = changed[-1] == taking
            changed += [word for value in values for word in (taking, value)][first:]
        else:
            taking = argument if argument in several else None
            changed.append(argument)
    return changed


def _lists_of_numbers(name: str = "") -> set[str]:
    """A command's options that take numbers until there are no more."""
    callback = next((command.callback for command in app.registered_commands if command.name == name), None)
    hints = getattr(callback, "__annotations__", {})
    lists = list[int] | None, list[float] | None
    return {f"--{key.replace('_', '-')}" for key, hint in hints.items() if (get_args(hint) or (None,))[0] in lists}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_stdout(error: OSError) -> bool:
    """Whether it is of stdout, which Python does not name: a pipe that nobody reads, a file or device that is full."""
    if error.filename is not None or error.strerror is None:
        return False
    try:
        kind = os.fstat(sys.stdout.fileno()).st_mode
    except (OSError, AttributeError):
        return False
    full = error.errno in WAYS_OUT and (stat.S_ISREG(kind) or stat.S_ISCHR(kind)) and not sys.stdout.isatty()
    return full or (error.errno == errno.EPIPE and stat.S_ISFIFO(kind))


def _told(error: Exception) -> int:
    """Tells an error in one line; returns the exit status."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        return 2
    if isinstance(error, OSError) and _of_stdout(error):
        with suppress(OSError):  # what is left to be written goes nowhere, without another error
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:  # nobody reads on, as `head` does
            return 1
        error = OSError(f"Cannot write to stdout ({error.strerror}): make room, or send it elsewhere.")
    status = getattr(error, "exit_code", 1)
    message = error.format_message() if hasattr(error, "format_message") else str(error)  # type: ignore[attr-defined]
    message = message.replace("Value error, ", "")  # pydantic's word, which newer versions of typer pass on
    if (cause := getattr(error.__cause__, "errors", None)) and status == 2:  # and they leave out what was found
        message = message.replace("Input should be", f"{cause()[0]['input']!r}; expected", 1)
    if status == 2 and (context := getattr(error, "ctx", None)):
        message += f" (see {context.command_path} --help)"
    say(message.strip() or type(error).__name__)
    return status
