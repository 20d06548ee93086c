"""The options that several commands have, each said once, and the checks of their values."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli.app import wrong_call
from segformer_tf.pipelines import files


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


# Models and what computes them.
MODEL = "Hub id, directory, run, checkpoint or exported file, or bundled model."
Model = Annotated[str, typer.Option(help=MODEL)]
ModelArgument = Annotated[str, typer.Argument(help=MODEL, show_default=False)]
ComputedBy = Annotated[Runtime, typer.Option(help="What computes; auto chooses.")]
BatchSize = Annotated[int, typer.Option(help="Pictures that are computed together at most.", min=1)]
MergeQueries = Annotated[
    list[int] | None,
    typer.Option(
        help="Stages, such as 1 2, whose attention averages its queries 2 x 2: faster for large pictures, other labels "
        "here and there.",
        min=1,
        max=4,
        show_default=False,
    ),
]
MergeKeys = Annotated[
    list[int] | None,
    typer.Option(
        help="Stages whose attention averages its keys and values 2 x 2: the same, and more of it with both.",
        min=1,
        max=4,
        show_default=False,
    ),
]

# How a picture comes to the model.
InMode = Annotated[Mode, typer.Option(help="whole: resized as the model's processor says; slide: windows.")]
Window = Annotated[
    tuple[int, int] | None,
    typer.Option(help="slide: height and width of a window.", show_default="an exported file's size, or 1024 1024"),
]
Stride = Annotated[
    tuple[int, int] | None,
    typer.Option(help="slide: steps between windows, down and across.", show_default="3/4 of the window"),
]
Scales = Annotated[
    list[float] | None, typer.Option(help="Sizes to average over, such as 0.75 1 1.25.", show_default=False)
]
Flip = Annotated[bool, typer.Option("--flip", help="Average with the mirrored picture.")]
Recursive = Annotated[bool, typer.Option("--recursive", help="Look into the folders of directories as well.")]
Page = Annotated[
    int | None, typer.Option(help="Of TIFFs of several pages the one that is meant.", min=1, show_default=False)
]

# What is written.
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Alpha = Annotated[float, typer.Option(help="Overlay: 0 the picture, 1 the colours.", min=0, max=1)]
SkipClass = Annotated[
    list[str] | None,
    typer.Option(help="Overlay: a class not to paint; may be given several times.", show_default="background"),
]
Outline = Annotated[bool, typer.Option("--outline", help="Overlay: draw the rims of regions.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that others wrote, too.")]

# Servers.
Host = Annotated[str, typer.Option(help="The address that is listened on; 0.0.0.0 lets other computers in.")]

# Data sets.
Data = Annotated[Path, typer.Option(help="Directory of a data set; `inspect --layouts` shows the layouts.")]
Binary = Annotated[bool, typer.Option("--binary", help="Masks of one foreground class: 0/255, 0/1 or 1-bit.")]
SkipBroken = Annotated[bool, typer.Option("--skip-broken", help="Leave out files that cannot be read.")]
PROTOCOLS = "plain, processor, hf-512, ade20k, ade20k-aligned, cityscapes, cityscapes-whole or slide."
ProtocolName = Annotated[str, typer.Option(help=PROTOCOLS)]


def written_as(*suffixes: str) -> Callable[[Path | None], Path | None]:
    """A callback of an option: another name of the picture to be written is a wrong call, found before the work."""

    def check(file: Path | None) -> Path | None:
        if file is not None and (file.suffix.lower() not in suffixes or file.is_dir()):
            found = "is a directory" if file.is_dir() else f"ends in {file.suffix or 'no suffix'}"
            raise typer.BadParameter(f"{file} {found}; expected the name of a file with one of {', '.join(suffixes)}.")
        return file

    return check


def merged(queries: list[int] | None, keys: list[int] | None) -> dict[str, list[int]]:
    """The keys of a configuration that --merge-queries and --merge-keys set."""
    return {key: stages for key, stages in (("merge_queries", queries), ("merge_keys", keys)) if stages}


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
    with wrong_call("--scales"):
        check_scales(options["scales"])
    given = {"--window": window, "--stride": stride, "--blend": blend != "mean"}
    for name in given if mode == "whole" else ():
        if given[name]:
            raise typer.BadParameter("is for --mode slide only.", param_hint=name)
    if mode == "whole":
        return options
    with wrong_call(options={"window": "--window", "stride": "--stride"}):
        check_windows(window or WINDOW, stride or steps_of(window or WINDOW))
    return options | {name: sides for name, sides in (("window", window), ("stride", stride)) if sides}
