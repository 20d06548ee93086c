"""The command line `segformer-tf`: one module a group of commands; each command imports what it needs, inside."""

import os
import sys
import warnings

from segformer_tf.cli import (  # noqa: F401  (they register commands)
    batch,
    benchmark,
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
from segformer_tf.cli.stopping import STATUS, stoppable

arrange(
    {
        "Pictures": ("demo", "segment", "video", "classify", "segment-many"),
        "Data and training": ("inspect", "convert-masks", "shard", "corrupt", "train", "evaluate", "calibrate"),
        "Models": ("info", "convert", "export", "benchmark"),
        "Serving": ("serve", "serve-config"),
    }
)
SEVERAL = ("--scales", "--merge-queries", "--merge-keys")  # options that take numbers until there are no more


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. Exit status: 0 done, 2 a wrong call, 1 a failure, 130 Ctrl-C; told in one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # its retries are told in our own last line
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names may hold bytes that are no text
    try:
        with stoppable():
            status = app(
                _several_values([argument for argument in arguments if argument != "--debug"]),
                prog_name="segformer-tf",
                standalone_mode=False,
            )
    except KeyboardInterrupt:  # which a library made an error of
        raise SystemExit(STATUS) from None
    except Exception as error:
        if debug:
            raise
        raise SystemExit(_told(error)) from None
    raise SystemExit(status if isinstance(status, int) else 0)


def _several_values(arguments: list[str]) -> list[str]:
    """`--scales 0.5 1 2`, or `0.5,1,2`, as `--scales 0.5 --scales 1 --scales 2`, which is how typer reads lists."""
    changed: list[str] = []
    taking = None
    for argument in arguments:
        values = argument.split(",")
        if taking and all(map(_is_number, values)):
            first = changed[-1] == taking
            changed += [word for value in values for word in (taking, value)][first:]
        else:
            taking = argument if argument in SEVERAL else None
            changed.append(argument)
    return changed


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _told(error: Exception) -> int:
    """Tells an error in one line; returns the exit status."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # type: ignore[attr-defined]
        return 2
    status = getattr(error, "exit_code", 1)
    message = error.format_message() if hasattr(error, "format_message") else str(error)  # type: ignore[attr-defined]
    message = message.replace("Value error, ", "")  # pydantic's word, which newer versions of typer pass on
    if status == 2 and (context := getattr(error, "ctx", None)):
        message += f" (see {context.command_path} --help)"
    say(message.strip() or type(error).__name__)
    return status
