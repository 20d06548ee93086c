"""A model for Apache Beam's `RunInference`, on any of Beam's runners.

Beam's own TensorFlow handlers cannot read a SavedModel under Keras 3.

with beam.Pipeline() as pipeline:
    rows = (
        pipeline
        | MatchFiles("photos/*.jpg") | ReadMatches()
        | beam.Map(lambda file: (file.metadata.path, file.read()))
        | Segment(BeamHandler("exported/street/1", "out"))
    )
    rows.done | ...
    rows.failed | ...
"""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference
from PIL import Image

from segformer_tf.batch.inputs import Item, encoded
from segformer_tf.batch.labeller import DONE, Labeller, for_workers
from segformer_tf.batch.store import JOB, Store
from segformer_tf.pipelines.marks import MAKER
from segformer_tf.pipelines.predict import How
from segformer_tf.pipelines.runtimes.runtime import BATCH_PIXELS

NAMESPACE = "segformer_tf"
TYPICAL = 512 * 512  # pixels, of a picture whose header does not say
Example = tuple[str, bytes] | str


class BeamHandler(ModelHandler[Example, PredictionResult, Labeller]):
    """Labels pictures: `(name, bytes of a file)`, or the path or URL of one -> `PredictionResult(name, row)`.

    A row is what the index of `segment-many` has, and masks go into `output` likewise, under the SHA-256 of the name.
    A picture that cannot be read is a row with status "failed" and its error; a store that takes no more raises, so
    that the runner tries the bundle again. `job.json` in `output` says whose the masks are, so that a later job leaves
    them out of its input.

    Args:
        model: As for `SegmentationPipeline.from_pretrained`: a SavedModel's version directory, another exported file, a
            checkpoint.
        output: Directory or URL, which all workers reach.
        batch_pixels: Pixels of the pictures that are handed to the model together; `batch_size` of equal size are
            computed together, as `Labeller` says.
    """

    def __init__(
        self,
        model: str,
        output: str,
        *,
        runtime: str = "auto",
        how: How | None = None,
        batch_size: int = 1,
        batch_pixels: int = BATCH_PIXELS,
        **kwargs: Any,
    ):
        # With a size for each element, Beam counts batches in that size.
        sizes = {"min_batch_size": batch_pixels, "max_batch_size": batch_pixels, "element_size_fn": pixels_of}
        super().__init__(**sizes, **kwargs)
        self._model = for_workers(model), Store(output), runtime, batch_size, how

    def load_model(self) -> Labeller:
        made = Labeller(*self._model)
        if made.store.get(JOB) is None:  # says whose the masks are: a later job leaves them out of its input
            made.store.put(JOB, json.dumps({"made_by": MAKER, "engine": "Apache Beam"}).encode())
        return made

    def run_inference(
        self, batch: Sequence[Example], model: Labeller, inference_args: dict[str, Any] | None = None
    ) -> Iterable[PredictionResult]:
        if inference_args:
            raise ValueError(f"inference_args are {inference_args}, expected none: give options to the handler.")
        pictures = ((None, *_named(example)) for example in batch)
        for row in model.rows(pictures):
            Metrics.counter(NAMESPACE, row["status"]).inc()
            if row["status"] == DONE:
                Metrics.distribution(NAMESPACE, "pixels").update((row["height"] or 0) * (row["width"] or 0))
            yield PredictionResult(row["input"], row)

    def get_num_bytes(self, batch: Sequence[Example]) -> int:
        return sum(len(example) if isinstance(example, str) else len(example[1]) for example in batch)

    def get_metrics_namespace(self) -> str:
        return NAMESPACE


class Rows(NamedTuple):
    """Collections of rows: of labelled pictures, and the dead letters."""

    done: beam.PCollection
    failed: beam.PCollection


class Segment(beam.PTransform):
    """Examples -> `Rows`."""

    def __init__(self, handler: BeamHandler):
        super().__init__()
        self.handler = handler

    def expand(self, examples: beam.PCollection) -> Any:
        rows = examples | RunInference(self.handler) | "Rows" >> beam.Map(lambda result: dict(result.inference))
        done, failed = rows | beam.Partition(lambda row, _: int(row["status"] != DONE), 2)
        return Rows(done, failed)


def pixels_of(example: Example) -> int:
    """Of a picture, by its header alone."""
    if isinstance(example, str):
        return TYPICAL
    try:
        with Image.open(io.BytesIO(example[1])) as picture:
            return picture.width * picture.height
    except Exception:  # a broken picture is told when it is its turn
        return TYPICAL


def _named(example: Example) -> tuple[str, Any]:
    """(name, bytes, or the error that reading them came to)."""
    if not isinstance(example, str):
        return example
    try:
        return example, encoded(Item(0, example))
    except Exception as error:
        return example, error
