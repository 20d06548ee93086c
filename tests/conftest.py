"""What many tests share: a tiny configuration and pictures that are not square."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hub_server import HubServer
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


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return Path(__file__).parent / "fixtures"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A running local Hub that huggingface_hub talks to, with an empty cache and no waiting between retries."""
    from huggingface_hub import constants

    server = HubServer()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    yield server
    server.stop()
