"""`segment-many`: millions of pictures, on this machine or a cluster."""

import json
import sys
import time
from typing import Annotated

import typer

from segformer_tf.cli.app import app, check_model, printable, say
from segformer_tf.cli.options import AsJson, InMode, Mode, Model, Runtime, Stride, Window, how_of
from segformer_tf.storage.find import DEFAULT_MODEL

SEGMENT_MANY = """Label every pixel of very many pictures, on this machine or a Ray cluster; needs segformer-tf[ray].

Writes OUTPUT/masks/ (palette PNGs whose indices are class ids), OUTPUT/index/ (Parquet: one row a picture, with its \
mask, size, classes, shares, status and error) and OUTPUT/job.json. Started again after a \
stop, it goes on where it was; docs/scale.md has more.

segformer-tf segment-many photos/ out
segformer-tf segment-many pictures.parquet s3://bucket/labels --model exported/model.onnx --workers 8
"""


@app.command(name="segment-many", help=SEGMENT_MANY)
def segment_many(
    input: Annotated[
        str, typer.Argument(help="Directory, pattern, list file (.txt), Parquet of paths or bytes, or a URL of these.")
    ],
    output: Annotated[str, typer.Argument(help="Directory, or a URL such as s3://bucket/folder.")],
    model: Model = DEFAULT_MODEL,
    runtime: Annotated[
        Runtime, typer.Option(help="What computes; auto: TensorFlow, or the file's own.")
    ] = Runtime.AUTO,
    workers: Annotated[
        int | None, typer.Option(help="Models that run at the same time.", min=1, show_default="one for each core")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures of one size computed together; for GPUs.", min=1)] = 1,
    mode: InMode = Mode.WHOLE,
    window: Window = None,
    stride: Stride = None,
    scores: Annotated[bool, typer.Option("--scores", help="Also each class's mean probability; slower.")] = False,
    column: Annotated[
        str | None, typer.Option(help="Of a Parquet INPUT.", show_default="path, url, file, image or bytes")
    ] = None,
    pictures_per_shard: Annotated[int, typer.Option(help="Rows of one file of the index.", min=1)] = 1000,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster: HOST:PORT or ray://HOST:PORT.", show_default="none")
    ] = None,
    as_json: AsJson = False,
) -> None:
    from segformer_tf.batch import segment_many as run
    from segformer_tf.pipelines.predict import How

    check_model(model)
    how = How(**how_of(mode.value, window, stride, None, flip=False, blend="mean"), scores=scores)
    found = run(
        input,
        output,
        model,
        runtime=runtime.value,
        how=how,
        column=column,
        workers=workers,
        batch_size=batch_size,
        pictures_per_shard=pictures_per_shard,
        address=address,
        told=_Progress(),
    )
    if as_json:
        print(json.dumps(found, indent=2))
        return
    rate = found["pictures"] / found["seconds"] if found["seconds"] else 0.0
    before = f"; {found['skipped']} were done before" if found["skipped"] else ""
    print(
        f"{found['pictures']} pictures in {found['seconds']} s ({rate:.1f} pictures/s){before}; "
        f"their masks and index are in {printable(found['output'])}"
    )
    if found["failed"]:
        total = found["pictures"] + found["skipped"]
        say(f"{found['failed']} of {total} pictures failed: their rows in the index have status failed, and say why.")


class _Progress:
    """A line on stderr now and then: done, pictures/s, time left, failures."""

    def __init__(self) -> None:
        self.every = 2.0 if sys.stderr.isatty() else 30.0
        self.last = 0.0
        self.begin: tuple[float, int] | None = None  # the clock and the pictures at the first answer

    def __call__(self, done: int, total: int, failed: int) -> None:
        now = time.monotonic()
        if self.begin is None:
            self.begin, self.last = (now, done), now
        if now - self.last < self.every or done == self.begin[1]:
            return
        self.last = now
        rate = (done - self.begin[1]) / (now - self.begin[0])
        say(f"{done} of {total} pictures, {rate:.1f} pictures/s, {(total - done) / rate:.0f} s left, {failed} failed")
