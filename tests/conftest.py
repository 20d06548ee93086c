"""What many tests share: a tiny configuration, pictures that are not square, the reference files."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FIXTURES = Path(__file__).parent / "fixtures"
TINY = {
    "depths": [1, 2, 1, 1],
    "hidden_sizes": [8, 16, 20, 32],
    "decoder_hidden_size": 16,
    "num_labels": 5,
}


@pytest.fixture
def tiny_config():
    from segformer_tf import SegformerConfig

    return SegformerConfig(**TINY)


@pytest.fixture(autouse=True)
def same_random_numbers():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def pixels():
    """Two pictures of 64 x 96, channels-last."""
    return np.random.default_rng(0).normal(size=(2, 64, 96, 3)).astype("float32")


@pytest.fixture
def labels():
    """Class ids 0 to 4 for `pixels`, the upper rows ignored."""
    ids = np.random.default_rng(1).integers(0, 5, size=(2, 64, 96))
    ids[:, :8] = 255
    return ids


def relative_difference(found, expected) -> float:
    """The largest difference, in units of the largest expected value."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
