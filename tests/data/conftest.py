"""The small data set on disk, as in the training tests."""

import json

import pytest
from small_data import CLASSES, write_split


@pytest.fixture
def data(tmp_path):
    """A directory in the folder layout: 7 pictures to train on, 3 to validate on."""
    root = tmp_path / "data"
    write_split(root, "train", 7)
    write_split(root, "val", 3, 100)
    (root / "classes.json").write_text(json.dumps(CLASSES))
    return root
