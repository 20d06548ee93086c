"""`demo`: the example photograph, labelled."""

from pathlib import Path
from typing import Annotated

import typer

from segformer_tf.cli.app import app
from segformer_tf.cli.pictures import segment


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where the pictures go.")] = Path("out"),
) -> None:
    """Segment the example photograph with the bundled model."""
    segment([str(example())], output=output)


def example() -> Path:
    """The photograph that comes with this package: in its wheel, or in a checkout's `examples/`."""
    package = Path(__file__).parents[1]
    places = [package / "_examples" / "china.jpg", package.parent / "examples" / "china.jpg"]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise FileNotFoundError(f"The example photograph is not in {places[0].parent}; install segformer-tf again.")
    return found
