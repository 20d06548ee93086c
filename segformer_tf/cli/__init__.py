"""The command line `segformer-tf`: one module a group of commands; each command imports what it needs, inside."""

import os
import sys
import warnings

import typer

app = typer.Typer(
    name="segformer-tf",
    help="SegFormer on Keras 3 and TensorFlow: segment, classify, train, evaluate, convert and export.",
    epilog="--debug after any command shows the traceback of a failure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main(arguments: list[str] | None = None) -> None:
    """Runs one command. Exit status: 0 done, 2 a wrong call, 1 a failure, told in one line on stderr."""
    from segformer_tf.cli import checkpoints, pictures, serving, training  # noqa: F401  (they register their commands)

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


def load_tensorflow() -> None:
    """Loads TensorFlow and Keras without what TensorFlow's C++ parts write on stderr before logging can be set up."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            import keras
            import tensorflow as tf

            keras.ops.convert_to_tensor(0)
            tf.constant(0)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
