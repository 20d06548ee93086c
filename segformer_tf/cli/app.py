"""The command line's frame: its name and help, how commands end, and how TensorFlow is loaded without noise."""

import contextlib
import difflib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from segformer_tf import __version__
from segformer_tf.storage.find import DEFAULT_MODEL

HELP = f"""SegFormer on Keras 3 and TensorFlow: segment, classify, train, evaluate, convert and export.

A start that needs no network, with the bundled model {DEFAULT_MODEL}:

segformer-tf segment street.jpg
segformer-tf segment photos/ --recursive --output masks
segformer-tf demo     (a page; needs the extra demo)
segformer-tf export {DEFAULT_MODEL} models/street

Models are also Hub ids such as nvidia/segformer-b2-finetuned-ade-512-512, directories and files.
"""

app = typer.Typer(
    name="segformer-tf",
    help=HELP,
    epilog="--debug after any command shows the traceback of a failure. "
    "Exit status: 0 done, 1 failed, 2 a wrong call, 130 stopped by Ctrl-C, 143 by SIGTERM.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"segformer-tf {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    pass


def arrange(panels: dict[str, tuple[str, ...]]) -> None:
    """Shows the commands in this order under these headings; their help in paragraphs, its examples line by line."""
    order = [name for names in panels.values() for name in names]
    panel = {name: title for title, names in panels.items() for name in names}
    for command in app.registered_commands:
        callback = command.callback
        if command.name is None and callback is not None:
            command.name = callback.__name__.replace("_", "-")
        command.rich_help_panel = panel.get(command.name or "")
        command.help = _paragraphs(command.help or inspect.getdoc(callback) or "")
    app.registered_commands.sort(key=lambda command: [*order, command.name].index(command.name))


def _paragraphs(text: str) -> str:
    parts = [part.splitlines() for part in text.strip().replace("[", r"\[").split("\n\n")]
    return "\n\n".join(("\n" if lines[0].startswith("segformer-tf ") else " ").join(lines) for lines in parts)


def say(message: str) -> None:
    """One line on stderr."""
    print(f"segformer-tf: {printable(' '.join(message.split()))}", file=sys.stderr)


def printable(text: str) -> str:
    """The text with an escape for everything that a terminal cannot show, such as bytes of a name that are no UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def check_model(name: str, hint: str = "--model", sizes: Iterable[str] = ()) -> None:
    """Ends as a wrong call where a name can be no checkpoint: neither a path, nor a bundled model, nor OWNER/NAME.

    `sizes` are names that stand for no checkpoint and are taken too.
    """
    from segformer_tf.config import VARIANTS
    from segformer_tf.storage.find import bundled_names

    known = [*bundled_names(), *sizes]
    if Path(name).exists() or "/" in name or name in known or Path(name).suffix:
        return
    near = difflib.get_close_matches(name.lower(), known, 1)
    wanted = f"did you mean {near[0]}?" if near else f"expected a path, a Hub id (OWNER/NAME) or {', '.join(known)}."
    unweighted = name.lower() in VARIANTS and not sizes
    what = " is a size without weights (`train` makes some)" if unweighted else " is no model"
    raise typer.BadParameter(f"{name!r}{what}; {wanted}", param_hint=hint)


def check_checkpoint(name: str, hint: str) -> None:
    """As `check_model`, of commands that need weights; an exported file gives none back."""
    from segformer_tf.pipelines.runtimes.exported import exported_file

    check_model(name, hint)
    if exported_file(name) is not None:
        raise typer.BadParameter(
            f"{name} was written for a runtime by `export`; expected the checkpoint that it was made from.",
            param_hint=hint,
        )


@contextlib.contextmanager
def wrong_call(hint: str | None = None, *, options: Mapping[str, str] | None = None) -> Iterator[None]:
    """Ends as a wrong call where the block finds a value of an option that does not fit.

    `hint` is that option; of several `options`, {argument: option}, it is the one whose argument the message begins
    with.
    """
    try:
        yield
    except ValueError as error:
        argument = str(error).partition(" ")[0]
        raise typer.BadParameter(str(error), param_hint=hint or (options or {}).get(argument)) from error


def load_tensorflow(first: Callable[[], None] | None = None) -> None:
    """Loads TensorFlow and Keras without what TensorFlow's C++ parts write on stderr before logging can be set up.

    `first` runs before the first tensor is made.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        # Where TensorFlow leaves oneDNN off, which it does on some processors, b0 takes half as long again.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            import keras
            import tensorflow as tf

            if first is not None:
                first()
            keras.ops.convert_to_tensor(0)
            tf.constant(0)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    tf.get_logger().setLevel("ERROR")
