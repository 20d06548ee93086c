"""`segment_many`: a job on Ray Data, which spreads it over the cores of this machine or the machines of a cluster.

Pictures are labelled by a pool of actors, each of which holds one model. On one machine an actor also decodes its
pictures, in threads beside the model; on a cluster tasks decode them, so that machines which hold no model take part.
Rows come back to the process that was started, which alone writes the index.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from segformer_tf import checkpoints
from segformer_tf.batch import cluster, inputs
from segformer_tf.batch.job import Job, index_fields
from segformer_tf.batch.labeller import Labeller, failed, for_workers
from segformer_tf.batch.store import Store, StoreError
from segformer_tf.checkpoints.layouts import TASKS
from segformer_tf.checkpoints.names import task_of
from segformer_tf.images.processor import SegformerImageProcessor
from segformer_tf.pipelines.pipeline import SegmentationPipeline
from segformer_tf.pipelines.predict import How
from segformer_tf.pipelines.runtimes.exported import exported_file, open_exported
from segformer_tf.storage.find import DEFAULT_MODEL
from segformer_tf.storage.keywords import spell_checked

PICTURES_A_BLOCK = 16  # that one task decodes; as pixels they are 200 MB where each has 4 megapixels


@spell_checked
def segment_many(
    input: str | os.PathLike,
    output: str | os.PathLike,
    model: str = DEFAULT_MODEL,
    *,
    runtime: str = "auto",
    how: How | None = None,
    column: str | None = None,
    workers: int | None = None,
    batch_size: int = 1,
    pictures_per_shard: int = 1000,
    address: str | None = None,
    told: Callable[[int, int, int], Any] | None = None,
) -> dict[str, Any]:
    """Labels all pictures of `input`; masks and the index go into `output`, a directory or URL.

    Called again after a stop at any moment it goes on: finished shards of the index are left out.

    Args:
        input: As `batch.inputs.find` takes it. `column`: of Parquet files.
        how: Resizing, windows, scales; `scores=True` for the mean probability of each class.
        workers: Models that run at the same time; None: one for each core of this machine, or three for four cores of a
            cluster, whose other cores decode.
        batch_size: As `Labeller` takes it.
        address: A running Ray cluster, such as "10.0.0.1:6379" or "ray://10.0.0.1:10001"; None: this machine.
        told: Called with (done, all, failed) as pictures are finished.

    Returns:
        `pictures`, `skipped` (done before), `failed` (of all), `seconds`, `output`.

    Raises:
        ImportError: Ray is not installed.
        ConnectionError: The cluster cannot be reached.
        OSError, ValueError: As `find`, `Job` and the model's `from_pretrained` raise.
    """
    cluster.check_installed()
    begin, how = time.monotonic(), how or How()
    store = Store(output)
    about = _about(model, runtime, batch_size, how)
    pictures = inputs.find(input, column, output)
    settings = _processor(model, runtime, how).to_dict()  # a model that cannot do it is told before a job is begun
    job = Job(store, pictures, pictures_per_shard, about)
    items = job.remaining()
    skipped = len(job.items) - len(items)
    if not items:  # else the workers' is compared
        job.agree(Labeller(model, store, runtime, batch_size, how).fingerprint())
    else:
        started = cluster.connect(address, workers)
        workers = workers or cluster.room(address)
        done = skipped
        decoding = None if address is None else settings
        rows = _rows(items, decoding, workers, (for_workers(model), store, runtime, batch_size, how))
        try:
            for row in rows:
                if row["status"] in cluster.HANDED:
                    raise cluster.HANDED[row["status"]](row["error"])
                job.agree(row.pop("worker"))
                done += job.take(row)
                if told is not None:
                    told(done, len(job.items), job.failed)
        except Exception as error:
            raise cluster.plain(error) from error
        finally:
            if started:
                cluster.leave()
    seconds = round(time.monotonic() - begin, 1)
    return {
        "pictures": len(items),
        "failed": job.failed,
        "skipped": skipped,
        "seconds": seconds,
        "output": store.shown,
    }


def _about(model: Any, runtime: str, batch_size: int, how: How) -> dict[str, Any]:
    """What a job goes on with only, each by its own name: what differs is told."""
    return {"model": str(model), "runtime": runtime, "batch_size": batch_size, **dataclasses.asdict(how)}


def _rows(items: list[inputs.Item], decoding: dict | None, workers: int, model: tuple) -> Iterator[dict[str, Any]]:
    """`decoding`: the processor's settings, where tasks decode; None: actors do."""
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = -(-len(items) // PICTURES_A_BLOCK)
    data = ray.data.from_items([_packed(item) for item in items], override_num_blocks=blocks)
    if decoding is not None:
        # Half a core, so that with one model a core there is room for decoding.
        data = data.map_batches(_decode, batch_size=None, fn_args=(decoding,), num_cpus=0.5)
    data = data.map_batches(
        _Actor,
        batch_size=None,
        batch_format="pyarrow",
        fn_constructor_args=model,
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    for batch in data.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from batch.to_pylist()


def _decode(batch: dict[str, np.ndarray], settings: dict) -> Any:
    """Numbers and places -> pixels as they are, a quarter of the bytes of what the model takes; or why not."""
    import pyarrow as pa

    processor = SegformerImageProcessor.from_dict(settings)
    rows = []
    for values in zip(*(batch[name] for name in inputs.Item._fields), strict=True):
        item = _item(*values)
        made = {"number": item.number, "input": item.shown, "pixels": None, "shape": None, "dtype": None, "error": None}
        try:
            pixels = inputs.pixels(item, processor)
            made |= {"pixels": pixels.tobytes(), "shape": list(pixels.shape), "dtype": pixels.dtype.str}
        except Exception as error:
            made["error"] = failed(item.number, item.shown, error)["error"]
            made["dtype"] = StoreError.__name__ if isinstance(error, StoreError) else None  # this ends the job
        rows.append(made)
    schema = pa.schema(
        [
            ("number", pa.int64()),
            ("input", pa.large_string()),
            ("pixels", pa.large_binary()),
            ("shape", pa.list_(pa.int32())),
            ("dtype", pa.string()),
            ("error", pa.string()),
        ]
    )
    return pa.Table.from_pylist(rows, schema)


def _packed(item: inputs.Item) -> dict[str, Any]:
    """For a table, in which a name that is no UTF-8 can be bytes alone."""
    return item._asdict() | {"source": item.source.encode("utf-8", "surrogateescape")}


def _item(number: Any, source: bytes, row: Any, column: Any) -> inputs.Item:
    """Of a table's values, in which no row is None or NaN."""
    row = None if row is None or row != row else int(row)
    return inputs.Item(
        int(number), source.decode("utf-8", "surrogateescape"), row, None if row is None else str(column)
    )


class _Actor:
    """One model, in a process of its own."""

    def __init__(self, model: str, store: Store, runtime: str, batch_size: int, how: How):
        self.fingerprint, self.broken = "", None
        try:
            self.labeller = Labeller(model, store, runtime, batch_size, how)
            self.fingerprint = self.labeller.fingerprint()
        except tuple(cluster.HANDED.values()) as error:
            self.broken = error

    def __call__(self, batch: Any) -> Any:
        import pyarrow as pa

        def pictures() -> Iterator[tuple[int, str, Any]]:
            if "pixels" not in batch.column_names:
                for row in batch.to_pylist():
                    item = _item(*(row[name] for name in inputs.Item._fields))
                    yield item.number, item.shown, item
                return
            for place in range(batch.num_rows):
                number, name, shape, dtype, error = (
                    batch.column(column)[place].as_py() for column in ("number", "input", "shape", "dtype", "error")
                )
                if error is not None:
                    yield number, name, (StoreError if dtype == StoreError.__name__ else ValueError)(error)
                    continue
                data = batch.column("pixels")[place].as_buffer()
                yield number, name, np.frombuffer(data, np.dtype(dtype)).reshape(shape)

        try:
            if self.broken is not None:
                raise self.broken
            rows = list(self.labeller.rows(pictures()))
        except tuple(cluster.HANDED.values()) as error:  # what Ray would bury under its own words
            kind = next(name for name, kind in cluster.HANDED.items() if isinstance(error, kind))
            rows = [{**failed(None, "", error), "status": kind}]
        rows = [{**row, "worker": self.fingerprint} for row in rows]
        return pa.Table.from_pylist(rows, pa.schema([*index_fields().items(), ("worker", pa.string())]))


def _processor(model: str, runtime: str, how: How) -> SegformerImageProcessor:
    if file := exported_file(model):
        opened = open_exported(file, runtime)
        how.windows(opened.size, opened.smallest_side)  # here, before workers start
        _check_task(model, opened.description.task)
        return opened.description.image_processor() or SegformerImageProcessor()
    head = task_of(checkpoints.load(model).variables)
    _check_task(model, TASKS[head].name)
    return SegformerImageProcessor.from_pretrained(model, or_default=True)


def _check_task(model: str, task: str) -> None:
    if task != SegmentationPipeline.task:
        raise ValueError(f"{model} is a model for {task}; expected one for segmentation: give another --model.")
