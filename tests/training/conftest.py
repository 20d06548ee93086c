"""Fixtures of the training tests: the small data set on disk, and the tiny model for it."""

import json

import pytest
from small_data import CLASSES, tiny_network, write_split


@pytest.fixture
def data(tmp_path):
    """A directory in the folder layout: 7 pictures to train on, 3 to validate on."""
    root = tmp_path / "data"
    write_split(root, "train", 7)
    write_split(root, "val", 3, 100)
    (root / "classes.json").write_text(json.dumps(CLASSES))
    return root


@pytest.fixture
def network():
    """A segmentation model of 3 classes, small enough that its training graph is made in seconds."""
    return tiny_network()
