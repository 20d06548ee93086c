"""The command line's frame: its name, its help, and how TensorFlow is loaded without noise."""

import os
import sys

import typer

app = typer.Typer(
    name="segformer-tf",
    help="SegFormer on Keras 3 and TensorFlow: segment, classify, train, evaluate, convert and export.",
    epilog="--debug after any command shows the traceback of a failure.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


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
