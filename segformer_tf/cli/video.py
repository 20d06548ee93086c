"""`video`: a video in, its overlay, label frames and what is in each frame out; `segment` hands videos on to it."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli import options as choices
from segformer_tf.cli import tables
from segformer_tf.cli.app import BUNDLED, MergeKeys, MergeQueries, app, check_model, merged, printable, say
from segformer_tf.pipelines import files
from segformer_tf.pipelines.progress import progress

VIDEO = """Label every frame of a video.

SOURCE is a video file, a folder of frames (in the order of their names), a camera's number, or - for a stream on stdin.

Writes NAME_overlay.mp4 (with the sound of the file), NAME_labels.mkv (grey values are class ids, lossless) and \
NAME_frames.jsonl (a line of JSON for each frame). Ctrl-C ends the video early and leaves whole files.

segformer-tf video street.mp4
segformer-tf video frames/ --fps 10 --save labels
segformer-tf video 0 --smoothing 0.6
"""


@app.command(help=VIDEO)
def video(
    source: Annotated[str, typer.Argument(help="Video, folder of frames, camera's number, or -.", show_default=False)],
    model: Annotated[str, typer.Option(help="Hub id, directory, run, exported file or bundled model.")] = BUNDLED,
    output: Annotated[Path, typer.Option(help="Where the files go.")] = Path("out"),
    runtime: Annotated[choices.Runtime, typer.Option(help="What computes; auto chooses.")] = choices.Runtime.AUTO,
    batch_size: choices.BatchSize = 8,
    merge_queries: MergeQueries = None,
    merge_keys: MergeKeys = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second of a folder or camera; 25.", min=0.01, show_default=False)
    ] = None,
    smoothing: Annotated[
        float, typer.Option(help="How much of a frame's probabilities stays for the next, 0 to 0.99.", min=0, max=0.99)
    ] = 0,
    alpha: Annotated[float, typer.Option(help="Overlay: 0 the picture, 1 the colours.", min=0, max=1)] = 0.5,
    skip_class: Annotated[
        list[str] | None,
        typer.Option(help="Overlay: a class not to paint; may be given several times.", show_default="background"),
    ] = None,
    outline: Annotated[bool, typer.Option("--outline", help="Overlay: draw the rims of regions.")] = False,
    save: Annotated[str, typer.Option(help="Some of labels,overlay,json.")] = ",".join(files.DEFAULT),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that others wrote, too.")] = False,
    as_json: choices.AsJson = False,
) -> None:
    kinds = choices.kinds_of(save, files.VIDEO_ENDINGS)
    check_model(model)
    drawn = {"alpha": alpha, "skip_class": skip_class, "outline": outline}
    label(
        [source],
        model,
        output,
        runtime,
        batch_size,
        kinds,
        drawn,
        {},
        overwrite,
        as_json,
        merged(merge_queries, merge_keys),
        fps,
        smoothing,
    )


def label(
    sources: list[str], model: str, output: Path, runtime: choices.Runtime, batch_size: int, kinds: tuple[str, ...],
    drawn: dict[str, Any], options: dict[str, Any], overwrite: bool, as_json: bool,
    merging: dict[str, list[int]] | None = None, fps: float | None = None,
    smoothing: float = 0,
) -> None:  # fmt: skip
    """Labels videos one after the other; what they cannot be read for is found before the model is loaded."""
    from segformer_tf.pipelines.frames import open_frames
    from segformer_tf.pipelines.video import label_video

    opened = [(source, open_frames(source, fps)) for source in sources]
    choices.make_directory(output)
    pipeline = choices.load_pipeline("SegmentationPipeline", model, runtime, merging)
    skip_class = drawn.pop("skip_class")
    choices.check_classes(skip_class, pipeline.id2label)
    rows = []
    for source, frames in opened:
        start, done = time.monotonic(), 0
        with progress(frames.count, "frames") as advance:

            def each(advance: Any = advance) -> None:
                nonlocal done
                done += 1
                advance()

            try:
                live = frames.name.startswith("camera ")
                found = label_video(
                    pipeline, source, output, kinds, frames=frames, smoothing=smoothing, overwrite=overwrite, each=each,
                    batch_size=1 if live else batch_size, skip=tuple(skip_class or ("background",)), options=options,
                    **drawn,
                )  # fmt: skip
            except (Exception, KeyboardInterrupt):
                if done:
                    say(f"{frames.name}: stopped after {done} frames, which are in {output}.")
                raise
        rows.append({"path": source, **found})
        if not as_json:
            seconds = time.monotonic() - start
            print(f"{printable(source)}: {done} frames in {seconds:.1f} s ({done / seconds:.1f} frames/s)")
            for file in found["files"]:
                print(f"wrote {printable(file)}")
    if as_json:
        tables.print_json(rows)
