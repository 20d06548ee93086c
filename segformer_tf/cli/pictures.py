"""`segment`, `classify`, `demo`: pictures in, answers out."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import app, load_tensorflow
from segformer_tf.storage.find import DEFAULT_MODEL

Images = Annotated[list[Path], typer.Argument(help="Pictures, or directories of pictures.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of a table.")]


@app.command()
def segment(
    images: Images,
    model: Annotated[str, typer.Option(help="Hub id, directory or bundled model.")] = DEFAULT_MODEL,
    output: Annotated[Path, typer.Option(help="Where NAME_labels.png, NAME_overlay.png and NAME.json go.")] = Path(
        "out"
    ),
    mode: Annotated[str, typer.Option(help="whole: resized as the model's processor says; slide: windows.")] = "whole",
    as_json: AsJson = False,
) -> None:
    """Label every pixel of pictures: a palette picture, an overlay with legend and a JSON file for each."""
    paths = list(_pictures(images))
    _make_directory(output)
    load_tensorflow()
    from segformer_tf.pipelines.pipeline import SegmentationPipeline

    pipeline = SegmentationPipeline.from_pretrained(model)
    names = _file_names(paths)

    def save(path: Path, result: Any) -> dict[str, Any]:
        result = result.renamed(names[path])
        return {**result.to_dict(), "path": str(path), "files": [str(file) for file in result.save(output)]}

    _report(paths, pipeline.stream(paths, save, mode=mode), as_json, lambda row: _class_table(row))


@app.command()
def classify(
    images: Images,
    model: Annotated[
        str, typer.Option(help="Hub id or directory of an image classification model.", show_default=False)
    ],
    top_k: Annotated[int, typer.Option(help="How many classes to name.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Name the likeliest classes of pictures."""
    paths = list(_pictures(images))
    load_tensorflow()
    from segformer_tf.pipelines.pipeline import ImageClassificationPipeline

    pipeline = ImageClassificationPipeline.from_pretrained(model)
    rows = pipeline.stream(paths, lambda path, classes: {"path": str(path), "classes": classes}, top_k=top_k)

    def show(row: dict[str, Any]) -> None:
        print(f"{row['path']}: " + ", ".join(f"{c['label']} {c['score']:.1%}" for c in row["classes"]))

    _report(paths, rows, as_json, show)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="Where the pictures go.")] = Path("out"),
) -> None:
    """Segment the example photograph with the bundled model."""
    segment([_example()], output=output)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path} cannot be made a directory to write into ({error.strerror}); give another.") from error


def _example() -> Path:
    """The photograph in a checkout's `examples/`, or the one that scikit-learn (extra `[demo]`) ships."""
    name = "china.jpg"
    in_checkout = Path(__file__).parents[2] / "examples" / name
    if in_checkout.is_file():
        return in_checkout
    try:
        import sklearn.datasets
    except ImportError:
        raise ImportError(
            "The example photograph comes with scikit-learn, which is not installed; run `pip install "
            "segformer-tf[demo]`, or segment a picture of your own."
        ) from None
    return Path(sklearn.datasets.__file__).parent / "images" / name


def _pictures(arguments: list[Path]) -> Iterator[Path]:
    """The files named, and those of the directories named whose suffix Pillow knows, in order of their names."""
    from PIL import Image

    known = set(Image.registered_extensions())
    for path in arguments:
        if not path.is_dir():
            yield path
            continue
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in known and file.is_file())
        if not found:
            raise FileNotFoundError(f"{path} holds no pictures; expected files such as .jpg or .png in it.")
        yield from found


def _file_names(paths: list[Path]) -> dict[Path, str]:
    """A name for the files of each picture: its own without suffix, numbered where two pictures share it."""
    names: dict[Path, str] = {}
    for path in paths:
        name, number = path.stem, 2
        while name in names.values():
            name, number = f"{path.stem}-{number}", number + 1
        names[path] = name
    return names


def _report(paths: list[Path], answers: Iterable[Any], as_json: bool, show) -> None:
    """Prints what comes out, and what could not be done; ends with status 1 if anything failed."""
    from rich.console import Console
    from rich.progress import track

    from segformer_tf.pipelines.overlap import Failed

    console = Console(stderr=True)
    rows, failed = [], 0
    quiet = len(paths) == 1 or not console.is_terminal
    for row in track(answers, "Pictures", len(paths), console=console, disable=quiet):
        if isinstance(row, Failed):
            failed += 1
            print(f"segformer-tf: {row.why}", file=sys.stderr)
            continue
        rows.append(row)
        if not as_json:
            show(row)
    if as_json:
        print(json.dumps(rows, indent=2))
    if failed:
        if len(paths) > 1:
            print(f"segformer-tf: {failed} of {len(paths)} pictures failed; the others are done.", file=sys.stderr)
        raise SystemExit(1)


def _class_table(row: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    size = row["size"]
    table = Table("class", "id", "pixels", "share", title=f"{row['path']}  {size['height']} x {size['width']}")
    for column in table.columns[1:]:
        column.justify = "right"
    for entry in row["classes"]:
        table.add_row(entry["name"], str(entry["id"]), f"{entry['pixels']:,}", f"{entry['share']:.1%}")
    console = Console()
    console.print(table)
    console.print(*(f"wrote {file}" for file in row["files"]), sep="\n", soft_wrap=True, highlight=False)
