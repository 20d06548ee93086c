"""`demo`: a page where pictures are labelled."""

from pathlib import Path
from typing import Annotated

import typer

from segformer_tf.cli.app import app, check_model, load_tensorflow
from segformer_tf.cli.labelling import EXPORTED
from segformer_tf.cli.options import MODEL, Host, Runtime
from segformer_tf.storage.find import DEFAULT_MODEL


@app.command()
def demo(
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=f"{MODEL.rstrip('.')}; given several times, the page offers them.",
            show_default=DEFAULT_MODEL,
        ),
    ] = None,
    port: Annotated[int, typer.Option(help="Where the page is.", min=1, max=65535)] = 7860,
    host: Host = "127.0.0.1",
    runtime: Annotated[Runtime, typer.Option(help="What computes at first; auto chooses.")] = Runtime.AUTO,
) -> None:
    """Serve a page where pictures are labelled: drop, paste or photograph one. Needs the extra [demo].

    segformer-tf demo --model RUN/best --model nvidia/segformer-b2-finetuned-ade-512-512
    """
    models = list(dict.fromkeys(model or [DEFAULT_MODEL]))
    for name in models:
        check_model(name)
    if not all(name.endswith(EXPORTED) for name in models):
        load_tensorflow()
    from segformer_tf.page.app import serve

    serve(models, runtime.value, host, port, example())


def example() -> Path | None:
    """The photograph that comes with this package, in its wheel or in a checkout's `examples/`, if it is there."""
    package = Path(__file__).parents[1]
    places = [package / "_examples" / "china.jpg", package.parent / "examples" / "china.jpg"]
    return next((path for path in places if path.is_file()), None)
