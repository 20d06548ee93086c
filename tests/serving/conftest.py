"""One small server for the tests that only ask."""

import pytest
from small_servables import serving, write_servable

from segformer_tf.serving.limits import Limits

LIMITS = Limits(
    max_body=100_000,
    max_pictures=8,
    max_pixels=10_000,
    max_request_pixels=20_000,
    max_tensor_pixels=5000,
    max_waiting=4,
)


@pytest.fixture(scope="session")
def directory(tmp_path_factory):
    directory = tmp_path_factory.mktemp("served") / "small"
    write_servable(directory / "1")
    return directory


@pytest.fixture(scope="session")
def small(directory):
    with serving(directory, limits=LIMITS, max_batch_size=4, batch_timeout=0.02) as server:
        yield server
