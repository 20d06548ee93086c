"""What the commands that label have in common: their options, and the checks of these."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import load_tensorflow, wrong_call
from segformer_tf.pipelines import files

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout instead of tables.")]
Recursive = Annotated[bool, typer.Option("--recursive", help="Look into the folders of directories as well.")]
Page = Annotated[
    int | None, typer.Option(help="Of TIFFs of several pages the one that is meant.", min=1, show_default=False)
]
EXPORTED = (".xml", ".onnx", ".tflite")  # files that are run without TensorFlow
Scales = Annotated[
    list[float] | None, typer.Option(help="Sizes to average over, such as 0.75 1 1.25.", show_default=False)
]
BatchSize = Annotated[int, typer.Option(help="Pictures that are computed together at most.", min=1)]


class Runtime(str, Enum):
    """What computes."""

    AUTO, TENSORFLOW, OPENVINO, ONNX, LITERT = "auto", "tensorflow", "openvino", "onnx", "litert"
    NUMPY = "numpy"


class Mode(str, Enum):
    """How a picture comes to the model."""

    WHOLE, SLIDE = "whole", "slide"


class Blend(str, Enum):
    """How overlapping windows are averaged."""

    MEAN, GAUSSIAN = "mean", "gaussian"


class Legend(str, Enum):
    """Where an overlay's legend is."""

    OUTSIDE, INSIDE, NONE = "outside", "inside", "none"


def kinds_of(save: str, endings: dict[str, str] = files.ENDINGS) -> tuple[str, ...]:
    """The kinds of files that --save names."""
    kinds = tuple(filter(None, (kind.strip() for kind in save.split(","))))
    unknown = [kind for kind in kinds if kind not in endings]
    if unknown or not kinds:
        found = repr(unknown[0]) if unknown else "empty"
        raise typer.BadParameter(f"{found}; expected some of {','.join(endings)}.", param_hint="--save")
    return kinds


def how_of(mode: str, window, stride, scales, flip: bool, blend: str) -> dict[str, Any]:
    """The pipeline's options; what cannot be is a wrong call, found before anything is loaded."""
    from segformer_tf.pipelines.windows import WINDOW, check_scales, check_windows, steps_of

    options: dict[str, Any] = {"mode": mode, "flip": flip, "blend": blend, "scales": tuple(scales or (1.0,))}
    try:
        check_scales(options["scales"])
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--scales") from None
    given = {"--window": window, "--stride": stride, "--blend": blend != "mean"}
    for name in given if mode == "whole" else ():
        if given[name]:
            raise typer.BadParameter("is for --mode slide only.", param_hint=name)
    if mode == "whole":
        return options
    try:
        check_windows(window or WINDOW, stride or steps_of(window or WINDOW))
    except ValueError as error:
        named = "--window" if str(error).startswith("window") else "--stride"
        raise typer.BadParameter(str(error), param_hint=named) from None
    return options | {name: sides for name, sides in (("window", window), ("stride", stride)) if sides}


def skipped_classes(names: list[str] | None, id2label: dict[int, str]) -> tuple[str, ...]:
    """The classes that an overlay leaves out; ends as a wrong call where --skip-class names none of the model."""
    from segformer_tf.images.classes import BACKGROUND, skipped

    with wrong_call("--skip-class"):
        return skipped(names or BACKGROUND, id2label)


@contextmanager
def directory_for(path: Path) -> Iterator[None]:
    """A directory, so that what cannot be written is found before the work; gone again where nothing came into it."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{path} cannot be made a directory to write into ({error.strerror}); give another.") from error
    try:
        yield
    finally:
        with suppress(OSError):  # it holds something
            for each in missing:
                each.rmdir()


def load_pipeline(
    name: str,
    model: str,
    runtime: Runtime,
    merging: dict[str, list[int]] | None = None,
    pictures: int | None = None,
    options: dict[str, Any] | None = None,
    page: int | None = None,
) -> Any:
    """A model and its processor; of one for another task it is said which command takes it.

    `merging` is what `cli.app.merged` gives, `page` what the processor then takes of TIFFs.
    Where all is done when `pictures` with these `options` are, `auto` takes NumPy for a few.
    """
    from segformer_tf.pipelines import pipeline as pipelines
    from segformer_tf.pipelines.loading import WrongTask, soon_in_numpy

    if runtime is Runtime.AUTO and pictures and not merging and soon_in_numpy(model, pictures, options or {}):
        runtime = Runtime.NUMPY
    if runtime is not Runtime.NUMPY and not model.lower().endswith(EXPORTED):
        load_tensorflow()
    try:
        chosen: dict[str, Any] = {} if runtime is Runtime.AUTO else {"runtime": runtime.value}
        pipeline = getattr(pipelines, name).from_pretrained(model, **chosen, **(merging or {}))
    except WrongTask as error:
        command = "classify" if name == "SegmentationPipeline" else "segment"
        raise ValueError(f"{error} If it is a model for `segformer-tf {command}`, run that.") from error
    if page is not None:
        pipeline.processor.page = page
    return pipeline
