"""The processor's file: found, read, and written whole or not at all."""

import json
import os

import pytest

from segformer_tf.images.config_file import read_config, write_config


def test_the_part_of_a_processor_file_is_read(tmp_path):
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"image_processor": {"size": 8}, "processor_class": "P"})
    )
    assert read_config(tmp_path) == {"size": 8}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 9}))
    assert read_config(tmp_path) == {"size": 9}
    assert read_config(tmp_path / "processor_config.json") == {"size": 8}


def test_missing_and_broken_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither preprocessor_config.json nor processor_config.json"):
        read_config(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; expected a directory"):
        read_config(tmp_path / "nowhere")
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"preprocessor_config.json is not valid JSON"):
        read_config(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("[]")
    with pytest.raises(ValueError, match=r"holds a JSON list; expected an object"):
        read_config(tmp_path)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_config(tmp_path / "run", "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match=r"disk full"):
        write_config(tmp_path / "run", "new")
    assert [path.read_text() for path in (tmp_path / "run").iterdir()] == ["old"]
    with pytest.raises(NotADirectoryError, match=r"is a file; expected a directory"):
        write_config(tmp_path / "run" / "preprocessor_config.json", "new")
