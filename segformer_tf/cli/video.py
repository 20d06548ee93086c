"""`video`: a video in, its overlay, label frames and what is in each frame out; `segment` hands videos on to it."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli import options as choices
from segformer_tf.cli import tables
from segformer_tf.cli.app import app, check_model, printable, say
from segformer_tf.cli.inputs import Picture, plan, say_done
from segformer_tf.cli.labelling import directory_for, load_pipeline, say_failure, skipped_classes
from segformer_tf.pipelines import files
from segformer_tf.pipelines.progress import progress
from segformer_tf.storage.find import DEFAULT_MODEL

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
    model: choices.Model = DEFAULT_MODEL,
    output: Annotated[Path, typer.Option(help="Where the files go.")] = Path("out"),
    runtime: choices.ComputedBy = choices.Runtime.AUTO,
    batch_size: choices.BatchSize = 8,
    merge_queries: choices.MergeQueries = None,
    merge_keys: choices.MergeKeys = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second of a folder or camera; 25.", min=0.01, max=1000, show_default=False),
    ] = None,
    smoothing: Annotated[
        float, typer.Option(help="How much of a frame's probabilities stays for the next, 0 to 0.99.", min=0, max=0.99)
    ] = 0,
    alpha: choices.Alpha = 0.5,
    skip_class: choices.SkipClass = None,
    outline: choices.Outline = False,
    save: Annotated[str, typer.Option(help="Some of labels,overlay,json.")] = ",".join(files.DEFAULT),
    overwrite: choices.Overwrite = False,
    as_json: choices.AsJson = False,
) -> None:
    kinds = choices.kinds_of(save, files.VIDEO_ENDINGS)
    check_model(model)
    from segformer_tf.pipelines.video.frames import takes_rate

    if fps is not None and not takes_rate(source):
        raise typer.BadParameter("is for folders and cameras; a video has a rate of its own.", param_hint="--fps")
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
        choices.merged(merge_queries, merge_keys),
        fps,
        smoothing,
    )


def label(
    sources: list[str], model: str, output: Path, runtime: choices.Runtime, batch_size: int, kinds: tuple[str, ...],
    drawn: dict[str, Any], options: dict[str, Any], overwrite: bool, as_json: bool,
    merging: dict[str, list[int]] | None = None, fps: float | None = None,
    smoothing: float = 0, whole_names: bool = False, skip_existing: bool = False,
) -> None:  # fmt: skip
    """Labels videos one after the other; what they cannot be read for is found before the model is loaded.

    One bad video of several is told of, and the others are done; a full disk and Ctrl-C end all.
    """
    if str(output) == "-":
        raise typer.BadParameter("is for pictures; the files of a video go into a directory.", param_hint="--output -")
    videos, refused = _opened(sources, fps)
    planned = plan(list(videos), output, kinds, whole_names, overwrite, skip_existing)
    refused |= planned.refused
    if len(sources) == 1 and refused:
        raise OSError(*refused.values())
    for message in dict.fromkeys(refused.values()):  # what two are refused for is said once
        say(message)
    say_done(planned, f"{len(sources)} videos", model)
    rows, failed = [], len(refused)
    with directory_for(output):
        todo = {video: frames for video, frames in videos.items() if video.shown in planned.names}
        if todo:
            pipeline = load_pipeline("SegmentationPipeline", model, runtime, merging)
            skip_class = drawn.pop("skip_class")
            skip = skipped_classes(skip_class, pipeline.id2label)
            drawn |= {"skip": skip, "smoothing": smoothing, "overwrite": overwrite}
        for video, frames in todo.items():
            live = frames is not None and frames.name.startswith("camera ")
            how = {**drawn, "batch_size": 1 if live else batch_size, "options": options}
            try:
                name = planned.names[video.shown][1]
                rows.append(_label(pipeline, video, frames, output, kinds, name, how, as_json))
            except Exception as error:
                if len(sources) == 1:
                    raise
                done = f"{len(rows)} of {len(todo)} videos are done"
                say_failure(error, video.shown, output, done, "; --skip-existing goes on" if "json" in kinds else "")
                failed += 1
    if as_json:
        tables.print_json(rows)
    if failed:
        others = "; the others are done" if failed < len(sources) else ""
        say(f"{failed} of {len(sources)} videos failed{others}.")
        raise SystemExit(1)


def _opened(sources: list[str], fps: float | None) -> tuple[dict[Picture, Any], dict[str, str]]:
    """The videos, and why others cannot be read. Of one its frames are open, several are opened anew one at a time."""
    from segformer_tf.pipelines.video.frames import open_frames

    videos, refused = {}, {}
    for source in sources:
        try:
            frames = open_frames(source, fps)
        except (OSError, ValueError) as error:
            if len(sources) == 1:
                raise
            refused[source] = str(error)
            continue
        there = Path(source) if Path(source).exists() else b""
        videos[Picture(there, source, video=frames.name)] = frames if len(sources) == 1 else None
    return videos, refused


def _label(
    pipeline: Any, video: Picture, frames: Any, output: Path, kinds: tuple[str, ...], name: str, how: dict[str, Any],
    as_json: bool,
) -> dict[str, Any]:  # fmt: skip
    from segformer_tf.pipelines.video.frames import open_frames
    from segformer_tf.pipelines.video.labelling import label_video

    def ended(number: int, kept: list[Path]) -> None:
        where = (
            f"which are in {output}" if len(kept) == len(kinds) else f"which are in {', '.join(map(str, kept))} only"
        )
        lost = "but no file could be finished, and none is kept"
        say(f"{video.video}: stopped after {number} frames, {where if kept else lost}.")

    frames = frames or open_frames(video.shown)
    if frames.left_out:
        say(frames.left_out)
    start = time.monotonic()
    with progress(frames.count, "frames") as advance:
        found = label_video(
            pipeline, video.shown, output, kinds, frames=frames, name=name, each=advance, ended=ended, **how
        )
    if not as_json:
        seconds, done = time.monotonic() - start, found["frames"]
        print(f"{printable(video.shown)}: {done} frames in {seconds:.1f} s ({done / seconds:.1f} frames/s)")
        for file in found["files"]:
            print(f"wrote {printable(file)}")
    return {"path": video.shown, **found}
