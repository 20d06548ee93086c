"""Ray on this machine or a cluster: started or joined in good time, its failures told in a sentence."""

import logging
import os
import re
import socket
import threading
from typing import Any

from segformer_tf.batch.store import StoreError
from segformer_tf.storage.cores import cores
from segformer_tf.storage.read import reason

# Errors that a worker hands back as a row, by its status: they end the job, each with its own sentence.
HANDED = {kind.__name__: kind for kind in (StoreError, MemoryError, ImportError, OSError, ValueError, TypeError)}
NO_MEMORY = re.compile("low on memory|out of memory|OutOfMemory|OOM", re.IGNORECASE)
CONNECT_SECONDS = 10.0  # to reach a cluster's port
JOIN_SECONDS = 60.0  # to be taken into the cluster


def check_installed() -> None:
    try:
        import ray.data  # noqa: F401
    except ImportError:
        raise ImportError(
            "segment-many needs Ray Data, which is not installed: pip install 'segformer-tf[ray]', in an environment "
            "of its own, since Ray takes older versions of other packages."
        ) from None


def room(address: str | None) -> int:
    """Workers where nobody says how many: one for each core here, for three of four cores of a cluster.

    Two models with a core each label faster than one with two. A cluster's other cores decode.
    """
    import ray

    return cores() if address is None else max(int(ray.cluster_resources().get("CPU", 1)) * 3 // 4, 1)


def leave() -> None:
    """Ends what `connect` began."""
    import ray

    ray.shutdown()


def connect(address: str | None, workers: int | None) -> bool:
    """Starts Ray here, or joins a cluster; false where this program has done so before."""
    import ray

    workers = workers or cores()
    started = not ray.is_initialized()
    if started:
        threads = max(cores() // workers, 1) if address is None else 1
        settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "OMP_NUM_THREADS": str(threads)}
        settings = {name: os.environ.get(name, value) for name, value in settings.items()}
        # Each actor would else take all cores for itself.
        settings |= {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}
        common: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
        common["runtime_env"] = {"env_vars": settings}
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it says of an error is told in a sentence
        if address is None:
            # "local": never a cluster that runs on this machine, or that RAY_ADDRESS names.
            ray.init("local", num_cpus=workers + 1, include_dashboard=False, **common)
        else:
            _join(address, common)
    return started


def _join(address: str, common: dict[str, Any]) -> None:
    """Joins a cluster, or says in good time that it is not there."""
    import ray

    host, _, port = address.removeprefix("ray://").partition(":")
    try:
        if port:
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"No Ray cluster answers at {address} ({error}); expected HOST:PORT of a head node, or ray://HOST:PORT: "
            "start it with `ray start --head`, or leave the address out to use this machine."
        ) from None
    came: list[Exception | None] = []

    def join() -> None:
        try:
            ray.init(address=address, **common)
            came.append(None)
        except Exception as error:
            came.append(error)

    thread = threading.Thread(target=join, daemon=True)
    thread.start()
    thread.join(JOIN_SECONDS)
    if not came or came[0] is not None:
        why = f"in {JOIN_SECONDS:.0f} s" if not came else f"({reason(came[0])})"
        raise ConnectionError(
            f"What listens at {address} did not let this program into a Ray cluster {why}: see that it is a head node "
            "of the same versions of Ray and Python, and set RAY_AUTH_MODE=token here if the cluster asks for a token."
        )


def plain(error: Exception) -> Exception:
    """What a worker raised, out of Ray's wrapping."""
    inner: Any = error
    while getattr(inner, "cause", None) is not None or inner.__cause__ is not None:
        inner = getattr(inner, "cause", None) or inner.__cause__
    if isinstance(inner, (OSError, ValueError, ImportError, MemoryError, TypeError)) and "ray::" not in str(inner):
        return inner
    text = " ".join(str(error).split())
    if NO_MEMORY.search(text):
        return MemoryError(
            "A worker ended for want of memory: take fewer --workers, a smaller model or --batch-size 1, or machines "
            f"with more. Ray says: {text[-300:]}"
        )
    return RuntimeError(f"A worker failed: {text[-500:]}")
