"""What a worker came to, told in a sentence."""

import socket
import sys
import time
from types import SimpleNamespace

import pytest

from segformer_tf.batch import cluster


class TaskError(Exception):
    """As Ray wraps what a worker raised."""

    def __init__(self, text, cause=None):
        super().__init__(text)
        self.cause = cause


@pytest.mark.parametrize("error", [ValueError("mine"), OSError("disk"), MemoryError("none left")])
def test_what_a_worker_raised_comes_out_of_rays_wrapping(error):
    assert cluster.plain(TaskError("ray::_Actor() failed", TaskError("ray::inner", error))) is error


@pytest.mark.parametrize(
    "text",
    [
        "Task was killed due to the node running low on memory. Memory on the node was 62.1GB / 64.0GB",
        "The actor died: OutOfMemoryError",
    ],
)
def test_a_model_that_does_not_fit_in_a_workers_memory_is_told_with_the_ways_out(text):
    told = cluster.plain(TaskError(text))
    assert isinstance(told, MemoryError) and "fewer --workers, a smaller model or --batch-size 1" in str(told)


def test_a_word_of_memory_is_no_want_of_it():
    told = cluster.plain(TaskError("KeyError: 'in-memory table'"))
    assert isinstance(told, RuntimeError) and "in-memory table" in str(told)


def test_any_other_end_of_a_worker_is_told_as_ray_says_it():
    told = cluster.plain(TaskError("The actor died\nunexpectedly."))
    assert isinstance(told, RuntimeError) and str(told) == "A worker failed: The actor died unexpectedly."


def test_want_of_memory_is_known_however_it_is_spelt():
    assert isinstance(cluster.plain(TaskError("worker 7: Out Of Memory")), MemoryError)


def test_the_cause_of_an_error_is_what_is_told_unless_it_is_rays_own():
    error = RuntimeError("wrapped")
    error.__cause__ = cause = ValueError("mine")
    assert cluster.plain(error) is cause
    told = cluster.plain(TaskError("outer " + 600 * "x" + "end", ValueError("ray::_Actor.__call__() (pid=1)")))
    assert isinstance(told, RuntimeError) and str(told).endswith("xend") and len(str(told)) < 600


@pytest.fixture
def ray(monkeypatch):
    """In place of Ray: notes how it is started, and has 4 cores here and 8 in the cluster."""
    made = SimpleNamespace(calls=[], is_initialized=lambda: bool(made.calls), cluster_resources=lambda: {"CPU": 8.0})
    made.init = lambda *arguments, **options: made.calls.append((arguments, options))
    monkeypatch.setitem(sys.modules, "ray", made)
    monkeypatch.setattr(cluster, "cores", lambda: 4)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    return made


def test_all_cores_here_and_three_of_four_of_a_cluster_have_a_model(ray, monkeypatch):
    assert cluster.room(None) == 4 and cluster.room("head:6379") == 6
    monkeypatch.setattr(ray, "cluster_resources", lambda: {})
    assert cluster.room("head:6379") == 1


@pytest.mark.parametrize(("workers", "cpus", "threads"), [(None, 5, "1"), (2, 3, "2"), (3, 4, "1"), (8, 9, "1")])
def test_models_share_the_cores_of_this_machine(ray, monkeypatch, workers, cpus, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert cluster.connect(None, workers)
    ((arguments, options),) = ray.calls
    assert arguments == ("local",) and options["num_cpus"] == cpus
    variables = options["runtime_env"]["env_vars"]
    assert variables["TF_NUM_INTRAOP_THREADS"] == threads
    assert variables["OMP_NUM_THREADS"] == "7" and variables["TF_CPP_MIN_LOG_LEVEL"] == "3"
    assert not cluster.connect(None, workers) and len(ray.calls) == 1  # it runs already


@pytest.fixture
def port():
    """One at which something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_cluster_is_joined_with_a_core_for_each_model(ray, port):
    address = f"ray://127.0.0.1:{port}"
    assert cluster.connect(address, 2)
    ((_, options),) = ray.calls
    assert options["address"] == address and "num_cpus" not in options
    assert options["runtime_env"]["env_vars"]["TF_NUM_INTRAOP_THREADS"] == "1"


@pytest.mark.parametrize(("seconds", "why"), [(0.01, "in 0 s"), (5.0, r"\(.*another version")])
def test_a_cluster_that_lets_nobody_in_is_told(ray, port, monkeypatch, seconds, why):
    def init(**_):
        time.sleep(0.1)
        raise RuntimeError("another version")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(cluster, "JOIN_SECONDS", seconds)
    with pytest.raises(ConnectionError, match=rf"did not let this program into a Ray cluster {why}"):
        cluster.connect(f"127.0.0.1:{port}", 1)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:port", "ray://127.0.0.1:1"])
def test_where_nothing_listens_is_told_in_good_time(ray, address):
    with pytest.raises(ConnectionError, match=f"No Ray cluster answers at {address} .*; expected HOST:PORT"):
        cluster.connect(address, 1)
    assert ray.calls == []
