"""The command line `segformer-tf`: one module a group of commands; each command imports what it needs, inside."""

import os
import sys
import warnings

from segformer_tf.cli import checkpoints, data, pictures, serving, training  # noqa: F401  (they register their commands)
from segformer_tf.cli.app import app


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. Exit status: 0 done, 2 a wrong call, 1 a failure, told in one line on stderr."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # its retries are told in our own last line
    warnings.showwarning = lambda message, *_, **__: print(f"segformer-tf: warning: {message}", file=sys.stderr)
    try:
        app([argument for argument in arguments if argument != "--debug"])
    except Exception as error:
        if debug:
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        print(f"segformer-tf: {' '.join(line.strip() for line in lines)}", file=sys.stderr)
        raise SystemExit(1) from None
