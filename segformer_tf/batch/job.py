"""What a job writes down, so that it goes on where it was stopped: `job.json`, and an index in shards of Parquet.

A shard of the index is written when all of its pictures are done, after their masks. So what is listed is there, and a
job that goes on does the pictures of the missing shards again, under the same names: nothing twice, nothing missing.
"""

import io
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from segformer_tf.batch.inputs import Item, digest
from segformer_tf.batch.labeller import FAILED, Row
from segformer_tf.batch.store import INDEX, JOB, Store
from segformer_tf.pipelines.marks import MAKER

READERS = 16  # threads that read shards of before, which may lie far away
SCHEMA = 1  # of the index; raised when its columns change
MODEL = "worker"  # key of what workers must agree on


class Job:
    """The pictures of one job in shards, and what became of them.

    Args:
        about: The model and the options, as plain values: a job goes on with the same ones only.

    Raises:
        ValueError: In the store is a job with other pictures, another model, options or schema.
    """

    def __init__(self, store: Store, items: Sequence[Item], per_shard: int, about: dict[str, Any]):
        if per_shard < 1:
            raise ValueError(f"pictures_per_shard is {per_shard}; expected at least 1.")
        self.store, self.items, self.per_shard = store, items, per_shard
        wanted = {
            "made_by": MAKER,
            "schema": SCHEMA,
            "pictures": len(items),
            "inputs_sha256": digest(items),
            "pictures_per_shard": per_shard,
            **about,
        }
        self.wanted = json.loads(_text(wanted))  # as it will be read, where tuples are lists
        self.model: str | None = None
        self._begin()
        there = store.names(INDEX)
        begun = [number for number in range(self.shards) if self.name(number) in there]
        with ThreadPoolExecutor(READERS) as pool:
            failures = dict(zip(begun, pool.map(self._failures, begun), strict=True))
        self.finished = {number for number, failed in failures.items() if failed is not None}
        self.failed = sum(failed or 0 for failed in failures.values())
        self._waiting: dict[int, dict[int, Row]] = {}

    @property
    def shards(self) -> int:
        """How many there are."""
        return -(-len(self.items) // self.per_shard)

    def name(self, shard: int) -> str:
        """The file of a shard, in the folder `index`."""
        return f"part-{shard:06}.parquet"

    def _failures(self, shard: int) -> int | None:
        """How many pictures of a shard that is there failed; None for a file that is damaged, which is made again."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        data = self.store.get(f"{INDEX}/{self.name(shard)}") or b""
        try:
            statuses = pq.read_table(io.BytesIO(data), columns=["status"])["status"].to_pylist()
        except (pa.ArrowException, OSError, KeyError):
            return None
        return statuses.count(FAILED)

    def remaining(self) -> list[Item]:
        """Pictures of the shards that are not finished."""
        return [item for item in self.items if item.number // self.per_shard not in self.finished]

    def take(self, row: Row) -> bool:
        """Notes what became of a picture, and writes its shard when that is full; false for one noted before."""
        number = int(row["number"] or 0)
        shard = number // self.per_shard
        if shard in self.finished:
            return False
        rows = self._waiting.setdefault(shard, {})
        if number in rows:
            return False
        rows[number] = row
        self.failed += row["status"] == FAILED
        if len(rows) == min(self.per_shard, len(self.items) - shard * self.per_shard):
            self.store.put(f"{INDEX}/{self.name(shard)}", parquet(rows[number] for number in sorted(rows)))
            self.finished.add(shard)
            del self._waiting[shard]
        return True

    def agree(self, fingerprint: str) -> None:
        """Holds a worker's program, weights and settings against those that the job was begun with.

        Raises:
            ValueError: They are others; masks of two models would be mixed.
        """
        if self.model is None:
            self.model = fingerprint
            self.store.put(JOB, _text({**self.wanted, MODEL: fingerprint}))
        elif fingerprint != self.model:
            raise ValueError(
                f"The model, with program, weights and settings, is {fingerprint}, expected {self.model} as the job "
                "began with: give every machine the same version of segformer-tf and the same model, or choose another "
                "output."
            )

    def _begin(self) -> None:
        text = self.store.get(JOB)
        if text is None:
            if self.store.names(INDEX):
                raise ValueError(
                    f"{self.store.shown} has an index but no {JOB}, so nobody knows what it is of: choose "
                    "another output."
                )
            self.store.put(JOB, _text(self.wanted))
            return
        try:
            found = json.loads(text)
            self.model = found.pop(MODEL, None)
        except (ValueError, AttributeError, TypeError):
            raise ValueError(
                f"{self.store.shown}/{JOB} is damaged, so nobody knows what its index is of: choose another "
                "output, or delete this one."
            ) from None
        other = [
            f"{key} {found.get(key)!r} there, {self.wanted.get(key)!r} now"
            for key in {**self.wanted, **found}
            if found.get(key) != self.wanted.get(key)
        ]
        if other:
            raise ValueError(
                f"{self.store.shown} is of another job ({'; '.join(other)}): go on with the same pictures, "
                "model and options, or choose another output."
            )


def index_fields() -> dict[str, Any]:
    """The columns of the index, with their types in Arrow."""
    import pyarrow as pa

    return {
        "number": pa.int64(),
        "input": pa.string(),
        "mask": pa.string(),
        "height": pa.int32(),
        "width": pa.int32(),
        "classes": pa.list_(pa.int32()),
        "shares": pa.list_(pa.float32()),
        "scores": pa.list_(pa.float32()),
        "status": pa.string(),
        "error": pa.string(),
    }


def parquet(rows: Iterable[Row]) -> bytes:
    """A shard of the index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(list(index_fields().items()), {"made_by": MAKER, "schema": str(SCHEMA)})
    # Names of files may hold bytes that are no text, which Parquet does not take.
    plain = [{**row, "input": row["input"].encode("utf-8", "backslashreplace").decode()} for row in rows]
    data = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain, schema), data)
    return data.getvalue()


def _text(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2) + "\n").encode()
