"""What a worker came to, told in a sentence."""

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
