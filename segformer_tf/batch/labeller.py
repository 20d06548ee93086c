"""A model that labels many pictures: what workers hold, whoever sends them work. Masks are those of the pipeline."""

import hashlib
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from segformer_tf import __version__, images
from segformer_tf.batch.inputs import Item, Named, pixels
from segformer_tf.batch.store import MASKS, Store, StoreError, readable
from segformer_tf.images.png import write_png
from segformer_tf.pipelines import overlap
from segformer_tf.pipelines.marks import MAKER
from segformer_tf.pipelines.pipeline import SegmentationPipeline
from segformer_tf.pipelines.predict import How, Predictor

DONE, FAILED = "done", "failed"


class Row(TypedDict):
    """What the index says of one picture: classes by share, largest first; `scores` where they were asked for."""

    number: int | None  # None where nobody counts them
    input: str
    mask: str | None  # the file's name in the store
    height: int | None
    width: int | None
    classes: list[int] | None
    shares: list[float] | None
    scores: list[float] | None
    status: str
    error: str | None


def failed(number: int | None, name: str, error: Exception | str) -> Row:
    """The row of a picture that could not be read or labelled."""
    told = error if isinstance(error, str) else str(error) or type(error).__name__
    return Row(
        number=number,
        input=name,
        mask=None,
        height=None,
        width=None,
        classes=None,
        shares=None,
        scores=None,
        status=FAILED,
        error=readable(" ".join(told.split())[:1000]),
    )


class Labeller:
    """Makes rows of pictures, and puts their masks into a store.

    Args:
        model: As for `SegmentationPipeline.from_pretrained`: a checkpoint, or a file of any runtime.
        runtime: "auto" is TensorFlow for a checkpoint, the file's own for an exported one.
        store: Where masks go, as `mask_name` calls them.
        batch_size: Pictures of equal size that are computed together. With 1 a mask depends on its picture alone;
            with more its last rounding may depend on the pictures beside it.
        how: As for `Predictor.job`.

    Raises:
        ValueError: The steps of `how` are larger than the windows, which are those of a file of one size.
    """

    def __init__(
        self, model: str, store: Store, runtime: str = "auto", batch_size: int = 1, how: How | None = None
    ) -> None:
        self.pipeline = SegmentationPipeline.from_pretrained(model, runtime=runtime)
        self.predictor = Predictor(self.pipeline.runtime, self.pipeline.processor, batch_size)
        self.store, self.how = store, how or How()
        opened = self.pipeline.runtime
        self.how.windows(opened.size, opened.smallest_side)  # what cannot be is told before the first picture

    def rows(self, pictures: Iterable[tuple[int | None, str, Any]]) -> Iterator[Row]:
        """One row for each (number, name, picture), in order.

        A picture is an array (H, W, C) as it was decoded, an `Item` that is read here, what the pipeline takes, or the
        error that it came to.

        Raises:
            StoreError: A mask cannot be written: that is no fault of the picture.
        """
        task = overlap.Task(self._read, self._finish, self.how)
        for row in overlap.many(self.predictor, task, pictures):
            if isinstance(row, overlap.Failed):
                if isinstance(row.error, (StoreError, MemoryError)):
                    raise row.error
                number, name, _ = row.picture
                row = failed(number, name, row.error)
            yield row

    def _read(self, item: tuple[int | None, str, Any]) -> tuple[np.ndarray, None]:
        picture = item[2]
        if isinstance(picture, Exception):
            raise picture
        if isinstance(picture, np.ndarray):
            return picture, None
        if not isinstance(picture, Item):
            picture = Named(picture, readable(item[1])) if isinstance(picture, bytes) else picture
            return self.pipeline.processor.pixels(picture, strict=True), None
        try:
            return pixels(picture, self.pipeline.processor), None
        except MemoryError as error:  # of this picture; one of the model's ends the job
            raise ValueError(f"{item[1]} does not fit in memory: {error}") from None

    def _finish(self, item: tuple[int | None, str, Any], decoded: np.ndarray, merged: Any) -> Row:
        number, name, _ = item
        png = io.BytesIO()
        write_png(images.label_image(merged.labels, self.pipeline.palette), png, MAKER)
        mask = mask_name(number, name)
        self.store.put(mask, png.getvalue())
        table = images.class_table(merged.labels, self.pipeline.id2label, merged.scores)
        return Row(
            number=number,
            input=name,
            mask=mask,
            height=decoded.shape[0],
            width=decoded.shape[1],
            classes=[row["id"] for row in table],
            shares=[row["share"] for row in table],
            scores=None if merged.scores is None else [row["score"] for row in table],
            status=DONE,
            error=None,
        )

    def fingerprint(self) -> str:
        """Of the program, the weights and the settings: workers of one job must agree on it."""
        config = {} if self.pipeline.model is None else self.pipeline.model.config.to_dict()
        settings = [__version__, self.pipeline.processor.to_dict(), config, self.pipeline.id2label]
        found = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
        variables = getattr(self.pipeline.runtime, "variables", None)
        if self.pipeline.model is not None:
            variables = {variable.path: variable.value for variable in self.pipeline.model.weights}
        if variables is not None:
            for path, value in variables.items():
                found.update(path.encode())
                found.update(np.asarray(value).tobytes())
            return found.hexdigest()[:16]
        path = Path(self.pipeline.runtime.source)
        parts = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path, path.with_suffix(".bin")]
        for part in filter(Path.is_file, parts):
            with open(part, "rb") as stream:
                while chunk := stream.read(2**20):
                    found.update(chunk)
        return found.hexdigest()[:16]


def for_workers(model: str | os.PathLike) -> str:
    """The model as workers find it, whose working directories are others: a path as a whole one, a name as it is."""
    return os.path.abspath(model) if os.path.exists(model) else str(model)


def mask_name(number: int | None, name: str) -> str:
    """A mask's name in the store, by its number or, if it has none, by its name; some to a folder, since large folders
    are slow."""
    if number is not None:
        return f"{MASKS}/{number // 1000:06}/{number:09}.png"
    key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return f"{MASKS}/{key[:3]}/{key}.png"
