"""`segment`, `classify`, `demo`: pictures in, answers out."""

import errno
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli import tables
from segformer_tf.cli.app import BUNDLED, MergeQueries, app, check_model, load_tensorflow, say
from segformer_tf.cli.inputs import Picture, find_pictures, plan
from segformer_tf.pipelines import files

Images = Annotated[
    list[str],
    typer.Argument(
        help='Pictures, directories, patterns such as "p/*.jpg", or - for one on stdin.', show_default=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")]
Recursive = Annotated[bool, typer.Option("--recursive", help="Look into the folders of directories as well.")]
BatchSize = Annotated[int, typer.Option(help="Pictures that are computed together at most.", min=1)]


class Runtime(str, Enum):
    """What computes."""

    AUTO, TENSORFLOW, OPENVINO, ONNX = "auto", "tensorflow", "openvino", "onnx"


class Mode(str, Enum):
    """How a picture comes to the model."""

    WHOLE, SLIDE = "whole", "slide"


SEGMENT = """Label every pixel of pictures.

Writes NAME_labels.png (a palette picture whose indices are class ids), NAME_overlay.png (with a legend) and NAME.json \
for each picture. NAME is its file name without .jpg, .jpeg or .png; other suffixes stay. Files that this program did \
not write are not replaced, and the pictures given never.

segformer-tf segment street.jpg
segformer-tf segment photos/ --recursive --output masks --skip-existing
segformer-tf segment "p/*.tif" --mode slide --window 512 512 --save labels,polygons
segformer-tf segment - --json < street.jpg
"""


@app.command(help=SEGMENT)
def segment(
    images: Images,
    model: Annotated[str, typer.Option(help="Hub id, directory, run, exported file or bundled model.")] = BUNDLED,
    output: Annotated[Path, typer.Option(help="Where the files go.")] = Path("out"),
    runtime: Annotated[Runtime, typer.Option(help="What computes; auto chooses.")] = Runtime.AUTO,
    batch_size: BatchSize = 8,
    mode: Annotated[
        Mode, typer.Option(help="whole: resized as the model's processor says; slide: windows.")
    ] = Mode.WHOLE,
    window: Annotated[
        tuple[int, int] | None, typer.Option(help="slide: height and width of a window.", show_default=False)
    ] = None,
    stride: Annotated[
        tuple[int, int] | None, typer.Option(help="slide: steps between windows, down and across.", show_default=False)
    ] = None,
    scales: Annotated[
        list[float] | None, typer.Option(help="Sizes to average over, such as 0.75 1 1.25.", show_default=False)
    ] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average with the mirrored picture.")] = False,
    merge_queries: MergeQueries = None,
    alpha: Annotated[float, typer.Option(help="Overlay: 0 the picture, 1 the colours.", min=0, max=1)] = 0.5,
    skip_class: Annotated[
        list[str] | None,
        typer.Option(help="Overlay: a class not to paint; may be given several times.", show_default="background"),
    ] = None,
    save: Annotated[str, typer.Option(help="Some of labels,overlay,json,polygons,scores.")] = ",".join(files.DEFAULT),
    recursive: Recursive = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that others wrote, too.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out pictures that are done.")] = False,
    whole_names: Annotated[bool, typer.Option("--whole-names", help="NAME with its suffix: a.jpg_labels.png.")] = False,
    as_json: AsJson = False,
) -> None:
    kinds = _kinds(save)
    options = _how(mode, window, stride, scales, flip)
    check_model(model)
    pictures = find_pictures(images, recursive)
    planned = plan(pictures, output, kinds, whole_names, overwrite, skip_existing)
    for message in planned.refused.values():
        say(message)
    if planned.done:
        say(f"{len(planned.done)} of {len(pictures)} pictures are done already and are left out.")
    todo = [picture for picture in pictures if picture.shown in planned.names]
    _make_directory(output)
    rows: list[dict[str, Any]] = []
    report = tables.Report(len(todo), len(planned.refused), output)
    if todo:
        pipeline = _pipeline("SegmentationPipeline", model, runtime, merge_queries)
        _check_classes(skip_class, pipeline.id2label)
        skipped = tuple(skip_class) if skip_class else ("background",)

        def finish(picture: Any, result: Any) -> dict[str, Any]:
            shown = str(picture) if isinstance(picture, Path) else "-"
            directory, name = planned.names[shown]
            result = result.renamed(name)
            paths = result.save(directory, kinds, alpha=alpha, skip=skipped, overwrite=overwrite)
            return {**result.to_dict(), "path": shown, "files": [str(path) for path in paths]}

        if "scores" in kinds:
            options["scores"] = True
        _work(pipeline, todo, finish, batch_size, options, rows, report, "; --skip-existing goes on")
    tables.show(rows, report, as_json, tables.classes_of_one, tables.classes_of_all)


@app.command()
def classify(
    images: Images,
    model: Annotated[
        str,
        typer.Option(help="Hub id, directory or exported file of an image classification model.", show_default=False),
    ],
    top_k: Annotated[int, typer.Option(help="How many classes to name.", min=1)] = 5,
    runtime: Annotated[Runtime, typer.Option(help="What computes; auto chooses.")] = Runtime.AUTO,
    batch_size: BatchSize = 8,
    recursive: Recursive = False,
    as_json: AsJson = False,
) -> None:
    """Name the likeliest classes of pictures."""
    check_model(model)
    pictures = find_pictures(images, recursive)
    pipeline = _pipeline("ImageClassificationPipeline", model, runtime)

    def finish(picture: Any, answer: Any) -> dict[str, Any]:
        return {"path": str(picture) if isinstance(picture, Path) else "-", "classes": answer}

    rows: list[dict[str, Any]] = []
    report = tables.Report(len(pictures))
    _work(pipeline, pictures, finish, batch_size, {"top_k": top_k}, rows, report, "")
    tables.show(rows, report, as_json, tables.likeliest, tables.likeliest)


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


def _kinds(save: str) -> tuple[str, ...]:
    kinds = tuple(filter(None, (kind.strip() for kind in save.split(","))))
    unknown = [kind for kind in kinds if kind not in files.ENDINGS]
    if unknown or not kinds:
        found = repr(unknown[0]) if unknown else "empty"
        raise typer.BadParameter(f"{found}; expected some of {','.join(files.ENDINGS)}.", param_hint="--save")
    return kinds


def _how(mode: Mode, window, stride, scales, flip: bool) -> dict[str, Any]:
    """The pipeline's options; what cannot be is a wrong call, found before anything is loaded."""
    from segformer_tf.pipelines.windows import check_windows

    options: dict[str, Any] = {"mode": mode.value, "flip": flip, "scales": tuple(scales or (1.0,))}
    if any(not 0 < scale < float("inf") for scale in options["scales"]):
        raise typer.BadParameter(f"{options['scales']}; expected numbers above 0.", param_hint="--scales")
    if mode is Mode.WHOLE and (window or stride):
        raise typer.BadParameter("is for --mode slide only.", param_hint="--window" if window else "--stride")
    if window:
        options["window"] = window
        options["stride"] = stride or (max(window[0] * 3 // 4, 1), max(window[1] * 3 // 4, 1))
    elif stride:
        options["stride"] = stride
    try:
        if window:
            check_windows(window, options["stride"])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--window") from None
    return options


def _check_classes(names: list[str] | None, id2label: dict[int, str]) -> None:
    from segformer_tf.pipelines.result import check_class

    for name in names or ():
        try:
            check_class(name, id2label)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--skip-class") from None


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path} cannot be made a directory to write into ({error.strerror}); give another.") from error


def _pipeline(name: str, model: str, runtime: Runtime, merge_queries: list[int] | None = None) -> Any:
    if not model.endswith((".xml", ".onnx", ".tflite")):
        load_tensorflow()
    from segformer_tf.pipelines import pipeline as pipelines

    try:
        chosen: dict[str, Any] = {} if runtime is Runtime.AUTO else {"runtime": runtime.value}
        chosen |= {"merge_queries": merge_queries} if merge_queries else {}
        return getattr(pipelines, name).from_pretrained(model, **chosen)
    except ValueError as error:
        command = {"classify": "segment", "segment": "classify"}["segment" if name.startswith("Segm") else "classify"]
        if "random" not in str(error) and "needs a" not in str(error):
            raise
        raise ValueError(f"{error} If it is a model for `segformer-tf {command}`, run that.") from error


def _work(
    pipeline: Any,
    pictures: list[Picture],
    finish: Callable[[Any, Any], dict[str, Any]],
    batch_size: int,
    options: dict[str, Any],
    rows: list[dict[str, Any]],
    report: "tables.Report",
    go_on: str,
) -> None:
    """Works off the pictures into `rows`; tells of those that fail and goes on, but stops where the disk is full."""
    sources = [picture.source for picture in pictures]
    answers = pipeline.stream(sources, finish=finish, batch_size=batch_size, **options)
    try:
        with tables.progress(len(pictures)) as advance:
            for picture, answer in zip(pictures, answers, strict=True):
                advance()
                if answer:
                    rows.append(answer)
                    continue
                if getattr(answer.error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    full = os.strerror(answer.error.errno)
                    raise OSError(
                        f"The disk of {report.output} is full ({full}): {len(rows)} of {len(pictures)} pictures are "
                        f"done; make room{go_on}."
                    )
                report.failed += 1
                message = str(answer.error) or type(answer.error).__name__
                say(message if picture.shown in message else f"{picture.shown}: {message}")
    except KeyboardInterrupt:
        say(f"interrupted: {len(rows)} of {len(pictures)} pictures are done{go_on}.")
        raise
