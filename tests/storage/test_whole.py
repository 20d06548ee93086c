"""Files appear whole or not at all."""

import ast
import os
import resource
import stat
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from reference import ROOT

from segformer_tf.checkpoints import formats
from segformer_tf.storage import whole

TENSORS = {"layer/kernel:0": np.zeros((512, 512), np.float32)}


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Cannot write to the directory .*file.out .*; choose another"):
        whole.write_text(tmp_path / "file" / "out" / "config.json", "{}")


@pytest.mark.parametrize("umask, file_mode", [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_modes_follow_the_umask_whatever_library_wrote(tmp_path, umask, file_mode):
    before = os.umask(umask)
    try:
        with whole.staged(tmp_path / "out") as stage:
            formats.write_safetensors(stage / "model.safetensors", TENSORS)
            formats.write_h5(stage / "tf_model.h5", TENSORS)
            (stage / "1" / "variables").mkdir(parents=True, mode=0o700)
            (stage / "1" / "variables" / "data").write_bytes(b"1")
            (stage / "1" / "variables" / "data").chmod(0o600)
    finally:
        os.umask(before)
    modes = {str(p.relative_to(tmp_path / "out")): stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("out/**/*")}
    directory_mode = file_mode | (file_mode & 0o444) >> 2
    assert modes == {
        "model.safetensors": file_mode,
        "tf_model.h5": file_mode,
        "1": directory_mode,
        "1/variables": directory_mode,
        "1/variables/data": file_mode,
    }


WRITERS = {
    "model.safetensors": lambda file: formats.write_safetensors(file, TENSORS),
    "tf_model.h5": lambda file: formats.write_h5(file, TENSORS),
    "state.npz": lambda file: np.savez(file, **{"a": TENSORS["layer/kernel:0"]}),
    "labels.png": lambda file: Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)).save(
        file
    ),
    "log.csv": lambda file: file.write_text("a" * 200_000),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_disk_that_takes_no_more_is_one_sentence_and_the_old_file_stays(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # what is written beyond fails, as on a full disk
    try:
        told = rf"^Cannot write {file} \(File too large\), so what was there .*; .*choose another directory\.$"
        with pytest.raises(OSError, match=told), whole.whole(file) as draft:
            WRITERS[name](draft)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert file.read_bytes() == b"old" and [entry.name for entry in tmp_path.iterdir()] == [name]


def test_an_error_that_is_not_the_disks_passes_and_nothing_is_written(tmp_path):
    with pytest.raises(KeyError, match="mine"), whole.staged(tmp_path) as stage:
        (stage / "a.json").write_text("{}")
        raise KeyError("mine")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_in_the_way_of_a_file_is_named(tmp_path):
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(OSError, match=r"Cannot write .*log\.csv \(Is a directory\); move away what stands there"):
        whole.write_text(tmp_path / "log.csv", "a")


def test_json_files_that_say_what_the_others_are_come_last(tmp_path, monkeypatch):
    moved = []
    monkeypatch.setattr(os, "replace", lambda source, target: moved.append(target.name))
    with whole.staged(tmp_path) as stage:
        for name in ("config.json", "model-2-00001-of-00002.safetensors", "a.json", "tf_model.h5"):
            (stage / name).write_text(name)
    assert moved == ["model-2-00001-of-00002.safetensors", "tf_model.h5", "a.json", "config.json"]


def test_drafts_of_dead_processes_go_and_those_of_living_ones_and_other_files_stay(tmp_path):
    code = f"""
import os, sys
from segformer_tf.storage import whole
with whole.staged({str(tmp_path)!r}) as stage:
    (stage / "half").write_text("half")
    print("ready", flush=True)
    sys.stdin.readline()
    os._exit(9)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = [sys.executable, "-c", code]
    living = subprocess.Popen(run, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert living.stdout.readline() == "ready\n"
    (kept,) = tmp_path.iterdir()
    subprocess.run(run, input="", text=True, env=environment, stdout=subprocess.PIPE)
    (tmp_path / f"{whole.PREFIX}mine").mkdir()
    assert len(list(tmp_path.iterdir())) == 3
    whole.write_text(tmp_path / "config.json", "{}")
    assert {entry.name for entry in tmp_path.iterdir()} == {kept.name, f"{whole.PREFIX}mine", "config.json"}
    living.communicate("\n")
    whole._cleared.clear()
    whole.write_text(tmp_path / "config.json", "{}")
    assert {entry.name for entry in tmp_path.iterdir()} == {f"{whole.PREFIX}mine", "config.json"}


# Functions that are given a path inside a draft, or write what is nobody's file.
INSIDE_A_DRAFT = {
    "write_saved_model",  # export
    "write_warmup",
    "_write",  # pipelines.result
    "_segmentation",  # training.report
    "load_tensorflow",  # cli.app writes to the null device
}


def test_no_other_code_writes_files():
    """Calls that write stand inside `with staged(...)` or `with whole(...)`, or in a function that is given a draft."""
    found = []
    for file in sorted((ROOT / "segformer_tf").rglob("*.py")):
        if file.name != "whole.py":
            found += [f"{file.name}:{line}" for line in _writes(ast.parse(file.read_text("utf-8")), False)]
    assert found == []


def _writes(node, drafted):
    if isinstance(node, ast.With):
        drafted |= any(ast.unparse(item.context_expr).partition("(")[0] in ("staged", "whole") for item in node.items)
    drafted |= isinstance(node, ast.FunctionDef) and node.name in INSIDE_A_DRAFT
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        modes = [a.value for a in node.args[1:2] if isinstance(a, ast.Constant)]
        if name in ("os.replace", "os.rename", "tempfile.mkdtemp", "tempfile.mkstemp", "tempfile.NamedTemporaryFile"):
            yield node.lineno
        writes = name.endswith((".write_text", ".write_bytes", "np.save", "np.savez", "json.dump", "TFRecordWriter"))
        if not drafted and (writes or (name == "open" and any(set(str(mode)) & set("wax") for mode in modes))):
            yield node.lineno
    for child in ast.iter_child_nodes(node):
        yield from _writes(child, drafted)
