"""What many tests share: a tiny configuration and pictures that are not square."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from reference import TINY


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
