"""Who wrote a file, as its head says: of any size, and nobody's where it cannot be read."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from segformer_tf.images.png import write_png
from segformer_tf.pipelines import files, marks
from segformer_tf.storage import read


def test_a_picture_beyond_pillow_s_limit_is_known_as_ours(tmp_path, monkeypatch):
    path = tmp_path / "a_labels.png"
    write_png(Image.new("P", (40, 30)), path, marks.MAKER)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert marks.ours(path)
    tiff = tmp_path / "a_labels.tif"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    Image.new("L", (40, 30)).save(tiff, tiffinfo={marks.SOFTWARE: marks.MAKER})
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert marks.ours(tiff)


def test_json_of_any_size_is_known_by_its_head_and_other_json_by_its_key(tmp_path, monkeypatch):
    path = tmp_path / "a_polygons.json"
    path.write_text(json.dumps({"made_by": marks.MAKER, "annotations": [0] * 9000}))
    other = tmp_path / "b.json"
    other.write_text(json.dumps({"image": "b", "made_by": marks.MAKER}))
    assert marks.ours(other)
    monkeypatch.setattr(read, "MAX_BYTES", 10)
    assert marks.ours(path)


@pytest.mark.parametrize(
    "name", ["a_labels.png", "a_labels.tif", "a.json", "a_scores.npz", "a_polygons.svg", "a.jsonl"]
)
def test_what_cannot_be_read_is_nobody_s(tmp_path, name):
    path = tmp_path / name
    for data in (b"", b"PK\3\4 cut", b"II*\0\xff", b"\x89PNG\r\n\x1a\n\0", b"[" * 100_000, b"\xff\xfe"):
        path.write_bytes(data)
        assert not marks.ours(path) and not marks.done(path) and marks.source_of(path) is None
    path.unlink()
    os.mkfifo(path)  # nobody writes into it: it would be waited for for ever
    assert not marks.ours(path)


def test_damaged_arrays_are_refused_as_a_file_of_others(tmp_path):
    np.savez(tmp_path / "a_scores.npz", scores=np.zeros(9), made_by=marks.MAKER)
    assert marks.ours(tmp_path / "a_scores.npz")
    (tmp_path / "a_scores.npz").write_bytes((tmp_path / "a_scores.npz").read_bytes()[:-30])
    with pytest.raises(FileExistsError, match="was not written by segformer-tf"):
        files.check(tmp_path, "a", ["scores"])
