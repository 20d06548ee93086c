"""`segment`, `classify`: pictures in, answers out."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from segformer_tf.cli import options as choices
from segformer_tf.cli import tables, video
from segformer_tf.cli.app import app, check_model, say
from segformer_tf.cli.inputs import Picture, expanded, find_pictures, is_video, name_of, plan, say_done
from segformer_tf.cli.labelling import directory_for, load_pipeline, say_failure, skipped_classes
from segformer_tf.pipelines import files
from segformer_tf.pipelines.progress import progress
from segformer_tf.storage.find import DEFAULT_MODEL

Images = Annotated[
    list[str],
    typer.Argument(
        help='Pictures, directories, patterns such as "p/*.jpg", or - for one on stdin. Results of this program are '
        "left out of directories and patterns.",
        show_default=False,
    ),
]
STDOUT = "-"
SEGMENTS = "SegmentationPipeline"
SAVED = ",".join(files.DEFAULT)
SEGMENT = """Label every pixel of pictures.

Writes NAME_labels.png (a palette picture whose indices are class ids), NAME_overlay.png (with a legend) and NAME.json \
for each picture. NAME is its file name without .jpg, .jpeg or .png; other suffixes stay. Files that this program did \
not write are not replaced, and the pictures given never.

segformer-tf segment street.jpg
segformer-tf segment photos/ --recursive --output masks --skip-existing
segformer-tf segment "p/*.tif" --mode slide --window 512 512 --save labels,polygons
segformer-tf segment - --json < street.jpg
segformer-tf segment - --output - --save labels < street.jpg > labels.png
segformer-tf segment street.mp4     (see `segformer-tf video`)
"""


@app.command(help=SEGMENT)
def segment(
    images: Images,
    model: choices.Model = DEFAULT_MODEL,
    output: Annotated[Path, typer.Option(help="Where the files go; - for one file on stdout.")] = Path("out"),
    runtime: choices.ComputedBy = choices.Runtime.AUTO,
    batch_size: choices.BatchSize = 8,
    mode: choices.InMode = choices.Mode.WHOLE,
    window: choices.Window = None,
    stride: choices.Stride = None,
    scales: choices.Scales = None,
    flip: choices.Flip = False,
    merge_queries: choices.MergeQueries = None,
    merge_keys: choices.MergeKeys = None,
    blend: Annotated[
        choices.Blend, typer.Option(help="slide: how overlapping windows are averaged.")
    ] = choices.Blend.MEAN,
    alpha: choices.Alpha = 0.5,
    skip_class: choices.SkipClass = None,
    legend: Annotated[choices.Legend, typer.Option(help="Overlay: where the legend is.")] = choices.Legend.OUTSIDE,
    outline: choices.Outline = False,
    save: Annotated[str, typer.Option(help=f"Some, with commas, of {', '.join(files.ENDINGS)}.")] = SAVED,
    recursive: choices.Recursive = False,
    page: choices.Page = None,
    overwrite: choices.Overwrite = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Leave out pictures that are done.")] = False,
    whole_names: Annotated[bool, typer.Option("--whole-names", help="NAME with its suffix: a.jpg_labels.png.")] = False,
    as_json: choices.AsJson = False,
) -> None:
    kinds = choices.kinds_of(save)
    options = choices.how_of(mode.value, window, stride, scales, flip, blend.value)
    merging = choices.merged(merge_queries, merge_keys)
    check_model(model)
    drawn: dict[str, Any] = {"alpha": alpha, "outline": outline}
    images = expanded(images)
    if videos := [image for image in images if is_video(image)]:
        if len(videos) < len(images):
            raise typer.BadParameter("videos and pictures are given together; label them one after the other.")
        still = {"--recursive": recursive, "--legend": legend is choices.Legend.INSIDE, "--page": page is not None}
        _refuse(still, "is for pictures, not for videos.")
        kinds = choices.kinds_of(save, files.VIDEO_ENDINGS)
        if skip_existing and "json" not in kinds:
            raise typer.BadParameter(
                "of videos needs json in --save, which says if all frames are there.", param_hint="--skip-existing"
            )
        drawn["skip_class"] = skip_class
        once: dict[str, str] = {}
        for name in videos:
            once.setdefault(os.path.abspath(name), name)
        return video.label(
            [*once.values()], model, output, runtime, batch_size, kinds, drawn, options, overwrite, as_json, merging,
            whole_names=whole_names, skip_existing=skip_existing,
        )  # fmt: skip
    pictures = find_pictures(images, recursive)
    if str(output) == STDOUT:
        if len(pictures) > 1 or len(kinds) > 1 or as_json:
            raise typer.BadParameter(
                "takes one picture and one kind of --save, without --json.", param_hint="--output -"
            )
        kept = {"--overwrite": overwrite, "--skip-existing": skip_existing, "--whole-names": whole_names}
        _refuse(kept, "is for files, and --output - writes none.")
        pipeline = load_pipeline(SEGMENTS, model, runtime, merging, 1, options, page)
        drawn["skip"] = skipped_classes(skip_class, pipeline.id2label)
        drawn["legend"] = legend is not choices.Legend.NONE and legend.value
        return _to_stdout(pictures[0], pipeline, {**options, "batch_size": batch_size}, kinds, drawn)
    planned = plan(pictures, output, kinds, whole_names, overwrite, skip_existing)
    for message in dict.fromkeys(planned.refused.values()):  # what two are refused for is said once
        say(message)
    say_done(planned, f"{len(pictures)} pictures", model)
    todo = [picture for picture in pictures if picture.shown in planned.names]
    rows: list[dict[str, Any]] = []
    report = tables.Report(len(todo), len(planned.refused), output)
    if todo:
        with directory_for(output):
            pipeline = load_pipeline(SEGMENTS, model, runtime, merging, len(todo), options, page)
            drawn["skip"] = skipped_classes(skip_class, pipeline.id2label)
            drawn["legend"] = legend is not choices.Legend.NONE and legend.value

            def finish(picture: Any, result: Any) -> dict[str, Any]:
                shown = str(picture) if isinstance(picture, Path) else "-"
                directory, name = planned.names[shown]
                result = result.renamed(name)
                classes = result.classes
                paths = result.save(directory, kinds, overwrite=overwrite, classes=classes, **drawn)
                return {**result.to_dict(classes), "path": shown, "files": [str(path) for path in paths]}

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
    runtime: choices.ComputedBy = choices.Runtime.AUTO,
    batch_size: choices.BatchSize = 8,
    recursive: choices.Recursive = False,
    page: choices.Page = None,
    as_json: choices.AsJson = False,
) -> None:
    """Name the likeliest classes of pictures.

    segformer-tf classify cat.jpg dog.jpg --model nvidia/mit-b0
    segformer-tf classify photos/ --model RUN --top-k 1 --json
    """
    check_model(model)
    pictures = find_pictures(images, recursive)
    pipeline = load_pipeline("ImageClassificationPipeline", model, runtime, pictures=len(pictures), page=page)

    def finish(picture: Any, answer: Any) -> dict[str, Any]:
        return {"path": str(picture) if isinstance(picture, Path) else "-", "classes": answer}

    rows: list[dict[str, Any]] = []
    report = tables.Report(len(pictures))
    _work(pipeline, pictures, finish, batch_size, {"top_k": top_k}, rows, report, "")
    tables.show(rows, report, as_json, tables.likeliest, tables.likeliest)


def _refuse(given: dict[str, bool], why: str) -> None:
    """Ends as a wrong call where an option is given that would be ignored."""
    for name in filter(given.get, given):
        raise typer.BadParameter(why, param_hint=name)


def _to_stdout(picture: Picture, pipeline: Any, options: dict[str, Any], kinds: tuple[str, ...], drawn: Any) -> None:
    """Writes one file of one picture where the next program reads it."""
    result = pipeline(picture.source, **options, **({"scores": True} if "scores" in kinds else {}))
    with tempfile.TemporaryDirectory() as directory:
        (path,) = result.renamed(name_of(picture)).save(directory, kinds, **drawn)
        sys.stdout.buffer.write(path.read_bytes())
        sys.stdout.flush()


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
    written: list[int] = []  # ahead of `rows`, which come in order

    def finished(picture: Any, answer: Any) -> dict[str, Any]:
        row = finish(picture, answer)
        written.append(1)
        return row

    answers = pipeline.stream(sources, finish=finished, batch_size=batch_size, **options)
    try:
        with progress(len(pictures)) as advance:
            for picture, answer in zip(pictures, answers, strict=True):
                advance()
                if answer:
                    rows.append(answer)
                    continue
                done = f"{len(written)} of {len(pictures)} pictures are done"
                say_failure(answer.error, picture.shown, report.output, done, go_on)
                report.failed += 1
    except KeyboardInterrupt:
        answers.close()  # which waits for what is being written
        say(f"interrupted: {len(written)} of {len(pictures)} pictures are done{go_on}.")
        raise
