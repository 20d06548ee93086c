"""Several devices or machines that train one model: which they are, what each one's share is, and that they agree.

Every worker runs the same command. They learn of each other by `TF_CONFIG`, which is made here of what Slurm or a
Kubernetes indexed Job say. Worker 0, the chief, alone evaluates and writes.
"""

import itertools
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from segformer_tf import __version__
from segformer_tf.data.splits import Split
from segformer_tf.models.distribution import several_workers
from segformer_tf.storage.keywords import spell_checked

KINDS = ("none", "mirrored", "multiworker")
PORT = 12345
WAIT_SECONDS = "600"  # for the workers to come
HOSTS = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")  # what commas outside brackets part


@spell_checked
def make_strategy(kind: str) -> tf.distribute.Strategy | None:
    """The strategy of `--distribute`; None for "none". Make it before any tensor: TensorFlow takes no workers later.

    "mirrored": all GPUs of this machine, or all logical CPU devices. "multiworker": the processes that `TF_CONFIG`,
    Slurm or Kubernetes tell of.

    Raises:
        ValueError: Another kind, or nothing says which workers there are.

    Where not all workers come in `WORKER_SECONDS`, 600 if not given, the missing are named and the process is killed.
    """
    if kind not in KINDS:
        raise ValueError(f"distribute is {kind!r}; expected one of {', '.join(KINDS)}.")
    if kind == "none":
        return None
    if kind == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    found = cluster(os.environ)
    os.environ["TF_CONFIG"] = json.dumps(found)
    return _joined(found["cluster"]["worker"], os.environ.get("WORKER_SECONDS", WAIT_SECONDS))


# Run beside a process that waits for its workers: TensorFlow waits for an hour, does not say for whom, and lets no
# other thread of Python run meanwhile. The input ends when they have come, or the process has ended.
GUARD = """
import os, select, signal, socket, sys
seconds, process, workers = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
def answers(worker):
    host, _, port = worker.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 5).close()
    except (OSError, ValueError):
        return False
    return True
if not select.select([sys.stdin], [], [], float(seconds))[0]:
    absent = [worker for worker in workers if not answers(worker)]
    told = f"{', '.join(absent) or 'One of the workers'} did not come in {seconds} s, expected all of"
    told += f" {', '.join(workers)}: start the same command on each, and open the port between them."
    print(f"segformer-tf: {told}", file=sys.stderr, flush=True)
    os.kill(process, signal.SIGKILL)
"""


def _joined(workers: list[str], seconds: str) -> tf.distribute.Strategy:
    """The strategy, once all workers are there."""
    command = [sys.executable, "-S", "-c", GUARD, seconds, str(os.getpid()), *workers]
    with subprocess.Popen(command, stdin=subprocess.PIPE):  # its end closes the guard's input, and waits for it
        return tf.distribute.MultiWorkerMirroredStrategy()


def cluster(environment: Mapping[str, str]) -> dict[str, Any]:
    """`TF_CONFIG` as it is, or made of Slurm's or a Kubernetes indexed Job's variables.

    Kubernetes: `JOB_COMPLETION_INDEX` comes by itself; the manifest sets `WORKERS` and `WORKER_HOST`, in which `{}`
    stands for the index, such as "train-{}.train". Slurm: one task a machine, under `srun`. `WORKER_PORT` is the port,
    12345 if not given.

    Raises:
        ValueError: None of them is there, or one says something else than expected.
    """
    port = environment.get("WORKER_PORT", str(PORT))
    if text := environment.get("TF_CONFIG"):
        return _checked(text)
    if "JOB_COMPLETION_INDEX" in environment:
        missing = [name for name in ("WORKERS", "WORKER_HOST") if not environment.get(name)]
        if missing:
            raise ValueError(
                f"{' and '.join(missing)} are not set, expected beside JOB_COMPLETION_INDEX: docs/"
                "distributed.md has a manifest."
            )
        hosts = [environment["WORKER_HOST"].replace("{}", str(i)) for i in range(int(environment["WORKERS"]))]
        index = int(environment["JOB_COMPLETION_INDEX"])
    elif "SLURM_PROCID" in environment:
        hosts = list(host_names(environment.get("SLURM_STEP_NODELIST") or environment.get("SLURM_JOB_NODELIST", "")))
        index, tasks = int(environment["SLURM_PROCID"]), int(environment.get("SLURM_NTASKS", len(hosts)))
        if tasks != len(hosts):
            raise ValueError(
                f"Slurm runs {tasks} tasks on {len(hosts)} machines, expected one each: --ntasks-per-node=1."
            )
    else:
        raise ValueError(
            "Nothing says which workers there are, expected TF_CONFIG, or a start by Slurm's srun or a "
            "Kubernetes indexed Job: docs/distributed.md shows each."
        )
    workers = [f"{host}:{port}" for host in hosts]
    return _checked(json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}))


def _checked(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        workers, index = found["cluster"]["worker"], int(found["task"]["index"])
        good = set(found["cluster"]) == {"worker"} and found["task"]["type"] == "worker"
        good = good and 0 <= index < len(workers) and len(set(workers)) == len(workers)
    except (ValueError, KeyError, TypeError):
        good, found = False, {}
    if not good:
        raise ValueError(
            f'TF_CONFIG is {text[:300]}; expected {{"cluster": {{"worker": ["HOST:PORT", ...]}}, "task": {{"type": '
            '"worker", "index": N}}, with another host or port for each worker and N one of them.'
        )
    return found


def host_names(text: str) -> Iterator[str]:
    """The machines of Slurm's list, such as "gpu[01-03,7],rack[1-2]node[1-2]"."""
    for hosts in HOSTS.findall(text):
        parts = re.split(r"\[([^\]]*)\]", hosts)  # what is between brackets at every second place
        choices = [_numbers(part) if i % 2 else [part] for i, part in enumerate(parts)]
        yield from map("".join, itertools.product(*choices))


def _numbers(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield f"{number:0{len(first)}}"


class Workers:
    """A strategy with this worker's place in it; without a strategy one worker with one device."""

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy
        self.count, self.index = 1, 0
        if strategy is not None and several_workers(strategy):
            resolver: Any = strategy.cluster_resolver  # type: ignore[attr-defined]
            self.count, self.index = len(resolver.cluster_spec().task_indices("worker")), int(resolver.task_id)

    @property
    def chief(self) -> bool:
        """Whether this one evaluates and writes."""
        return self.index == 0

    @property
    def devices(self) -> int:
        """Of all workers."""
        return self.strategy.num_replicas_in_sync if self.strategy is not None else 1

    def check(self, recipe: Any) -> None:
        """Raises ValueError where a recipe cannot be trained on several devices as on one."""
        if self.strategy is None:
            return
        if recipe.batch_size % self.devices:
            raise ValueError(
                f"batch_size is {recipe.batch_size}, expected a multiple of the {self.devices} devices: it counts the "
                "pictures of all of them together."
            )
        if recipe.accumulation_steps > 1:
            raise ValueError(
                f"accumulation_steps is {recipe.accumulation_steps}, expected 1 on several devices, where Keras cannot "
                "add gradients up: take the whole batch at once, as each device has but its share."
            )
        if recipe.mixup_alpha or recipe.rand_augment:
            raise ValueError("mixup_alpha and rand_augment mix whole batches, expected neither on several devices.")
        how = recipe.augmentation
        if self.count > 1 and (how.cut_rate or how.paste_rate):
            raise ValueError(
                f"the augmentation's cut_rate and paste_rate are {how.cut_rate} and {how.paste_rate}, expected 0 on "
                "several machines, which do not see each other's pictures: set them to 0, or take the devices of one "
                "machine (mirrored)."
            )

    def distributed(self, make: Callable[[int, int, int], tf.data.Dataset], batch_size: int) -> Any:
        """What `fit` is given: `make(batch_size, worker, workers)` with a device's batch size, spread over devices."""
        if self.strategy is None:
            return make(batch_size, 0, 1)
        each = batch_size // self.devices
        return self.strategy.distribute_datasets_from_function(lambda _: make(each, self.index, self.count))

    def agree(self, value: bool) -> bool:
        """The chief's value, on every worker; all must ask at the same step."""
        if self.count == 1:
            return value
        strategy: Any = self.strategy
        mine = tf.constant(int(value and self.chief))
        return bool(strategy.reduce("SUM", strategy.run(lambda: tf.identity(mine)), axis=None) > 0)

    def check_same(self, model: Any, recipe: Any, seed: int, sources: Mapping[str, Any], resume: bool = False) -> None:
        """Compares what the workers are about to train, by checksums that all of them add up.

        Raises:
            ValueError: They differ, in the versions, the recipe, `resume`, the model's weights or the data.
        """
        if self.count == 1:
            return
        told: dict[str, Any] = {
            "versions": (__version__, tf.__version__),
            "recipe": (recipe.to_dict(), seed),
            "--resume": resume,
            "model": _checksum(model),
            **{f"data ({name})": _named(source) for name, source in sources.items()},
        }
        if other := self._other(told):
            raise ValueError(
                f"Worker {self.index} has not the same {', '.join(other)} as the others, expected the same on all: "
                "install one version everywhere, and give all workers the same files and options."
            )

    def check_start(self, step: int, model: Any) -> None:
        """Raises ValueError where one worker goes on from elsewhere; `model` is the one that learns, as restored."""
        if self.count > 1 and self._other({"start": (step, _checksum(model))}):
            raise ValueError(
                f"Worker {self.index} begins at step {step} and another one elsewhere, or with other weights, expected "
                "one start for all: give all workers the same directory of the run."
            )

    def _other(self, told: Mapping[str, Any]) -> list[str]:
        """Which values differ between workers, by 20 bits of each: so the sum over all devices is exact in 32."""
        sums = tf.constant([zlib.crc32(repr(value).encode()) >> 12 for value in told.values()])
        strategy: Any = self.strategy
        total = strategy.reduce("SUM", strategy.run(lambda: tf.identity(sums)), axis=None)
        return [name for name, same in zip(told, (total == sums * self.devices).numpy(), strict=True) if not same]


def _checksum(model: Any) -> int:
    found = 0
    for value in model.get_weights():
        found = zlib.crc32(value.tobytes(), found)
    return found


def _named(source: Any) -> Any:
    """What a split is known by on every machine, wherever it lies there: names, and how many pictures there are."""
    if not isinstance(source, Split):
        return None
    files = source.shards or source.images
    return len(source), [file.name for file in files], [row["name"] for row in source.classes]
