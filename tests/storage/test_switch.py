"""From a draft to the files of a directory: who may move files when, and in which order."""

import os
import types
from pathlib import Path

import pytest
from stopped_saves import cut_off

from segformer_tf.storage import locks, switch, whole


def test_a_save_finishes_one_that_was_stopped_while_it_was_drafted(tmp_path, monkeypatch):
    with whole.staged(tmp_path) as stage:
        cut_off(tmp_path, monkeypatch)
        (stage / "b.json").write_text("mine")
    with switch.settled(tmp_path):
        assert (tmp_path / "b.json").read_text() == "mine"


def test_a_stopped_save_is_not_finished_under_a_reader(tmp_path, monkeypatch):
    cut_off(tmp_path, monkeypatch)
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    with switch.locked(tmp_path, alone=False), pytest.raises(OSError, match="Another program has held"):
        switch.settle(tmp_path)


def test_a_reader_looks_again_once_nobody_can_save(tmp_path, monkeypatch):
    cut_off(tmp_path, monkeypatch)
    settle, calls = switch.settle, []

    def too_early(directory):
        calls.append(directory)
        if len(calls) > 1:
            settle(directory)

    monkeypatch.setattr(switch, "settle", too_early)
    with switch.settled(tmp_path):
        assert (tmp_path / "b.json").read_text() == "new"


def test_of_what_a_save_takes_away_that_which_loading_prefers_goes_first(tmp_path, monkeypatch):
    old = ["model-1.safetensors", "model.safetensors.index.json", "model.safetensors"]
    for name in old:
        (tmp_path / name).touch()
    gone, unlink = [], Path.unlink
    monkeypatch.setattr(Path, "unlink", lambda path, **options: [gone.append(path.name), unlink(path, **options)])
    with whole.staged(tmp_path, lambda: old) as stage:
        (stage / "config.json").write_text("{}")
    assert [name for name in gone if not name.endswith(switch.REMOVED)] == old[::-1]


def test_a_json_file_that_a_save_leaves_as_it_is_stays(tmp_path):
    for text in ("1", "2"):
        with whole.staged(tmp_path, lambda: ["index.json", "weights"]) as stage:
            (stage / "index.json").write_text("same")
            (stage / "weights").write_text(text)
    assert (tmp_path / "index.json").read_text() == "same" and (tmp_path / "weights").read_text() == "2"


def nested(directory, text):
    with whole.staged(directory, joins=["onnx"]) as stage:
        (stage / "onnx").mkdir()
        for name in ("a.json", "onnx/x", "onnx/y"):
            (stage / name).write_text(text)


def test_files_of_a_directory_go_among_those_that_are_there(tmp_path):
    for text in ("1", "2", "3"):
        nested(tmp_path, text)
        (tmp_path / "onnx" / "other").touch()
        if text == "2":
            (tmp_path / "a.json").write_text("3")  # then one directory is all that changes
    assert {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {
        **dict.fromkeys(["a.json", "x", "y"], "3"),
        "other": "",
    }
    (tmp_path / "onnx" / "x").unlink()
    (tmp_path / "onnx" / "x").mkdir()
    with pytest.raises(OSError, match=r"Cannot write .*onnx/x \(Is a directory\)"):
        nested(tmp_path, "4")
    assert (tmp_path / "a.json").read_text() == (tmp_path / "onnx" / "y").read_text() == "3"
    with pytest.raises(OSError, match=r"Cannot write .*onnx \(Directory not empty\)"), whole.staged(tmp_path) as stage:
        (stage / "onnx").mkdir()


def test_a_save_into_a_directory_that_was_stopped_is_finished(tmp_path, monkeypatch):
    nested(tmp_path, "old")
    real, steps = os.replace, iter(range(9))

    def replace(*paths):
        if next(steps) == 2:  # the draft, and the first file
            raise KeyboardInterrupt
        real(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt):
            nested(tmp_path, "new")
    assert (tmp_path / "onnx" / "x").read_text() == "new" and (tmp_path / "a.json").read_text() == "old"
    with switch.settled(tmp_path):
        found = {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == dict.fromkeys(["a.json", "x", "y"], "new")


def test_a_directory_takes_the_place_of_another_where_the_system_refuses_to_swap_them(tmp_path, monkeypatch):
    monkeypatch.setattr(switch.ctypes, "CDLL", lambda _: types.SimpleNamespace(renameat2=lambda *_: -1))
    for text in ("old", "new"):
        with whole.staged(tmp_path, lambda: ["1"]) as stage:
            (stage / "1").mkdir()
            (stage / "1" / text).write_text(text)
    assert [file.name for file in tmp_path.rglob("*")] == ["1", "new"]
