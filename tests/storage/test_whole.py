"""Files appear whole or not at all."""

import ast
import errno
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference import ROOT
from stopped_saves import cut_off

from segformer_tf.checkpoints import formats, hdf5
from segformer_tf.storage import locks, switch, whole

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
            hdf5.write_h5(stage / "tf_model.h5", TENSORS)
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
    "tf_model.h5": lambda file: hdf5.write_h5(file, TENSORS),
    "state.npz": lambda file: np.savez(file, **{"a": TENSORS["layer/kernel:0"]}),
    "labels.png": lambda file: Image.fromarray(np.random.default_rng(0).integers(0, 255, (512, 512), np.uint8)).save(
        file
    ),
    "log.csv": lambda file: file.write_text("a" * 200_000),
}


# numpy 1.26 leaves its archive open where it could not be written, and Python tells so as it is thrown away.
@pytest.mark.filterwarnings("ignore:Exception ignored in. <function ZipFile")
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


@pytest.mark.parametrize("moment", ["mkdir", "replace", "fsync"])
def test_a_disk_that_is_or_becomes_read_only_is_one_sentence_and_the_old_file_stays(tmp_path, monkeypatch, moment):
    file = tmp_path / "config.json"
    file.write_text("old")

    def read_only(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, moment, read_only)
    with pytest.raises(OSError, match=r"^Cannot write .*\(Read-only file system\).*choose another directory") as told:
        whole.write_text(file, "new")
    assert told.value.errno == errno.EROFS and str(tmp_path) in str(told.value) and file.read_text() == "old"


def test_a_library_that_meets_a_read_only_disk_is_one_sentence(tmp_path):
    told = r"^Cannot write .*model.safetensors \(Read-only file system\), so what was there is left as it was"
    with pytest.raises(OSError, match=told), whole.whole(tmp_path / "model.safetensors"):
        raise RuntimeError("I/O error: Read-only file system (os error 30)")  # as safetensors words it


def test_signals_in_the_midst_of_saves_change_nothing(tmp_path):
    """System calls that a signal interrupts (EINTR) go on."""
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while len(seen) < 50:
            for name in ("model.safetensors", "tf_model.h5", "state.npz"):
                with whole.whole(tmp_path / name) as draft:
                    WRITERS[name](draft)
            with switch.settled(tmp_path):
                found = formats.read(tmp_path / "model.safetensors")[0], np.load(tmp_path / "state.npz")["a"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.safetensors", "state.npz", "tf_model.h5"]
    assert found[0]["layer/kernel:0"].shape == found[1].shape == (512, 512)


def test_an_error_that_is_not_the_disks_passes_and_nothing_is_written(tmp_path):
    with pytest.raises(KeyError, match="mine"), whole.staged(tmp_path) as stage:
        (stage / "a.json").write_text("{}")
        raise KeyError("mine")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_leaves_no_directory_that_it_made(tmp_path):
    (tmp_path / "there").mkdir()
    for directory in (tmp_path / "new" / "deeper", tmp_path / "there"):
        with pytest.raises(ZeroDivisionError), whole.staged(directory):
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_ctrl_c_leaves_no_directory_that_the_save_made(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole.staged(tmp_path / "new" / "deeper"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files as Linux shows them")
def test_saves_leave_no_file_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for number in range(5):
        whole.write_text(tmp_path / "a", str(number))
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_group_that_a_directory_hands_on_is_kept(tmp_path):
    tmp_path.chmod(0o2755)
    with whole.staged(tmp_path) as stage:
        (stage / "1").mkdir()
        (stage / "1" / "a").touch()
    assert (tmp_path / "1").stat().st_mode & stat.S_ISGID


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names open files as Linux shows them")
def test_every_file_is_on_the_disk_before_it_moves(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda n: [synced.append(Path(os.readlink(f"/proc/self/fd/{n}")).name), fsync(n)])
    with whole.staged(tmp_path) as stage:
        (stage / "1").mkdir()
        for name in ("a.h5", "b", "1/c"):
            (stage / name).write_text("x")
        assert not synced
    assert sorted(synced) == ["a.h5", "b", "c"]


def test_a_draft_that_another_process_removed_is_made_again(tmp_path):
    (tmp_path / "there").mkdir()
    assert locks.hold(tmp_path / "gone") == (False, None)
    made = iter((tmp_path / "gone", tmp_path / "there"))
    path, lock = whole._held(lambda: next(made))
    assert path == tmp_path / "there"
    os.close(lock)


def test_a_directory_in_the_way_of_a_file_is_named(tmp_path):
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(OSError, match=r"Cannot write .*log\.csv \(Is a directory\); move away what stands there"):
        whole.write_text(tmp_path / "log.csv", "a")


@pytest.mark.parametrize("several", [True, False])
@pytest.mark.parametrize(
    ("name", "there", "reason"),
    [
        ("onnx", Path.touch, "Not a directory"),
        ("onnx", lambda path: path.symlink_to("elsewhere"), "Not a directory"),
        ("onnx", lambda path: (path / "inside").mkdir(parents=True), "Directory not empty"),
        ("log.csv", Path.mkdir, "Is a directory"),
        ("old", Path.mkdir, "Is a directory"),  # which this save takes away
    ],
)
def test_what_stands_in_the_way_is_found_before_a_save_happens(tmp_path, name, there, reason, several):
    def save():
        with whole.staged(tmp_path, lambda: ["old"]) as stage:
            if name == "onnx":
                (stage / "onnx").mkdir()
                (stage / "onnx" / "model").touch()
            if name == "log.csv":
                (stage / name).touch()
            if several:
                (stage / "a.json").write_text("{}")
                (stage / "b.json").write_text("{}")

    there(tmp_path / name)
    with pytest.raises(OSError, match=rf"Cannot write .*{name} \({reason}\); move away what stands there"):
        save()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    shutil.move(tmp_path / name, tmp_path.parent / f"{tmp_path.name}-away")
    save()
    assert {path.name for path in tmp_path.iterdir()} == {name} - {"old"} | ({"a.json", "b.json"} if several else set())


def test_json_files_that_say_what_the_others_are_come_last(tmp_path, monkeypatch):
    moved, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: [moved.append(paths[1].name), replace(*paths)])
    with whole.staged(tmp_path) as stage:
        for name in ("config.json", "model-2-00001-of-00002.safetensors", "a.json", "tf_model.h5"):
            (stage / name).write_text(name)
    assert moved == [switch.SAVE, "model-2-00001-of-00002.safetensors", "tf_model.h5", "a.json", "config.json"]


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


def test_a_directory_that_vanishes_meanwhile_is_one_sentence(tmp_path):
    told = r"^Cannot write .*out \(No such file or directory\); its directory was moved or removed meanwhile"
    with pytest.raises(OSError, match=told), whole.staged(tmp_path / "out") as stage:
        shutil.rmtree(tmp_path / "out")
        formats.write_safetensors(stage / "model.safetensors", TENSORS)


def test_what_a_stopped_save_left_is_finished_by_the_next_that_reads_or_writes(tmp_path, monkeypatch):
    for number, finish in enumerate((switch.settle, lambda directory: whole.write_text(directory / "d", ""))):
        directory = tmp_path / str(number)
        cut_off(directory, monkeypatch)
        finish(directory)
        assert {(directory / name).read_text() for name in ("a", "b.json")} == {"new"}
        assert not (directory / switch.SAVE).exists()


@pytest.mark.parametrize("writes", [False, True])
def test_a_stopped_save_that_nobody_may_finish_is_refused_in_a_sentence(tmp_path, monkeypatch, writes):
    cut_off(tmp_path, monkeypatch)

    def denied(*paths):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", denied)
    told = f"A save into {tmp_path} was cut off and cannot be finished (Permission denied); load or save it once "
    with pytest.raises(OSError, match=f"^{re.escape(told)}") as raised:
        whole.write_text(tmp_path / "d", "") if writes else switch.settle(tmp_path)
    assert raised.value.errno == errno.EACCES


def test_a_draft_in_a_directory_that_another_program_holds_is_refused_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    cut_off(tmp_path, monkeypatch)
    lock = locks.hold(tmp_path)[1]
    try:
        with pytest.raises(OSError, match=f"^Another program has held {tmp_path} for"):
            whole.write_text(tmp_path / "d", "")
    finally:
        os.close(lock)


def test_a_link_in_the_place_of_a_save_takes_no_files_from_elsewhere(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "secret").write_text("mine")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / switch.SAVE).symlink_to(tmp_path / "home")
    with switch.settled(tmp_path / "model"):
        pass
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["secret"]


def test_a_save_waits_for_readers_and_says_when_they_take_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    with switch.settled(tmp_path), pytest.raises(OSError, match=f"Another program has held {tmp_path} for"):
        whole.write_text(tmp_path / "a", "a")
    whole.write_text(tmp_path / "a", "a")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_draft_may_be_saved_into_and_loaded_from(tmp_path):
    with whole.staged(tmp_path) as stage:
        whole.write_text(stage / "a", "a")
        with switch.settled(stage):
            assert (stage / "a").read_text() == "a"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("exchanged", [True, False])
def test_a_directory_takes_the_place_of_another_where_the_caller_says_so(tmp_path, monkeypatch, exchanged):
    if not exchanged:
        monkeypatch.setattr(switch, "_exchanged", lambda *paths: False)
    for text in ("old", "new"):
        with whole.staged(tmp_path, lambda: ["1"]) as stage:
            (stage / "1").mkdir()
            (stage / "1" / text).write_text(text)
    assert [file.name for file in tmp_path.rglob("*")] == ["1", "new"]
    with pytest.raises(OSError, match=r"Directory not empty\); move away"), whole.staged(tmp_path) as stage:
        (stage / "1" / "2").mkdir(parents=True)


# Functions that are given a path inside a draft.
INSIDE_A_DRAFT = {
    "checkpoints/hdf5.py:write_h5",
    "checkpoints/formats.py:write_safetensors",
    "checkpoints/formats.py:write_torch",
    "data/converting.py:write",
    "export/formats.py:_write_keras",
    "export/formats.py:_write_onnx",
    "export/onnx_weights.py:compress",
    "export/saved_model.py:write_saved_model",
    "export/warmup.py:write_warmup",
    "images/png.py:write_png",
    "images/raster.py:_spelt",  # a link in a temporary directory
    "images/raster.py:write_labels",
    "pipelines/runtimes/checksum.py:stamp",
    "pipelines/runtimes/description.py:append",
    "pipelines/runtimes/openvino_files.py:save",
    "pipelines/video/recording.py:__init__",
    "pipelines/result.py:_write",
    "pipelines/video/labelling.py:__init__",
    "pipelines/video/labelling.py:_complete",
    "training/report/charts.py:_draw_confusion",
    "training/report/charts.py:_draw_curves",
    "training/report/classification.py:classification",
    "training/report/page.py:write_page",
    "training/report/writing.py:_examples",
}
# Functions that write nobody's file: the null device, bytes in memory, a temporary directory, a lock.
NOWHERE = {
    "cli/__init__.py:_told",
    "cli/app.py:load_tensorflow",
    "cli/pictures.py:_to_stdout",
    "page/view.py:_jpeg",
    "pipelines/notebook.py:image",
    "pipelines/video/sound.py:_fits",
    "storage/locks.py:hold",
    "training/scoring/corruptions.py:_jpeg_compression",
    "training/shards.py:_example",
}
# What writes whole files itself, or only opens models.
OWN = {"checkpoints.save", "state.save", "openvino_files.save", "result.save", "labeller.open", "self.open"}
OUTRIGHT = (".write_text", ".write_bytes", ".save", ".savez", ".savez_compressed", ".savefig", ".save_model", ".tofile")
OUTRIGHT += ("save_file", "json.dump", "TFRecordWriter", ".copy2", ".copyfile", ".copytree", ".symlink_to")
OPENS = ("open", "File", "ZipFile")  # those write that are given a mode to write by
AROUND = ("os.replace", "os.rename", "mkdtemp", "mkstemp", "NamedTemporaryFile")  # what `staged` and `whole` are for


def test_no_other_code_writes_files():
    """Calls that write stand inside `with staged(...)` or `with whole(...)`, or in a function that is given a draft."""
    found = {}
    for file in sorted((ROOT / "segformer_tf").rglob("*.py")):
        if file.name not in ("whole.py", "switch.py"):
            for line, function in writes(file.read_text("utf-8")):
                found.setdefault(f"{file.relative_to(ROOT / 'segformer_tf')}:{function}", []).append(line)
    allowed = INSIDE_A_DRAFT | NOWHERE
    assert {place: lines for place, lines in found.items() if place not in allowed} == {}
    assert allowed <= set(found), "an exception that nobody needs"


WRITING = """
open(p, 'w')
open(p, mode='wb')
open(p, kind)
open(p, 'w' if a else 'a')
p.open('a')
p.open(mode='x')
p.open('r+b')
p.write_text('')
image.save(p)
figure.savefig(p)
np.savez_compressed(p, a)
json.dump(a, stream)
h5py.File(p, 'w')
zipfile.ZipFile(p, 'a')
av.open(str(p), 'w', format='mp4')
rasterio.open(p, 'w', **profile)
shutil.copyfile(a, p)
os.replace(a, p)
"""


@pytest.mark.parametrize("call", WRITING.strip().splitlines())
def test_the_search_for_writes_sees_them(call):
    assert list(writes(f"def f(p):\n    {call}")) == [(2, "f")]
    assert list(writes(f"def f(p):\n    with whole(p) as draft:\n        {call}")) == (
        [(3, "f")] if "replace" in call else []
    )


@pytest.mark.parametrize(
    "call",
    ["open(p)", "open(p, 'rb')", "p.open(encoding='utf-8')", "Image.open(p)", "h5py.File(p, 'r')", "zip.open('name')"],
)
def test_the_search_for_writes_lets_reading_be(call):
    assert list(writes(f"def f(p):\n    {call}")) == []


def writes(source):
    """(line, innermost function) of each call that may write and stands in no `with staged` or `whole`."""
    return _writes(ast.parse(source), False, "")


def _writes(node, drafted, function):
    if isinstance(node, ast.With):
        drafted |= any(ast.unparse(item.context_expr).partition("(")[0] in ("staged", "whole") for item in node.items)
    if isinstance(node, ast.FunctionDef):
        function = node.name
    if isinstance(node, ast.Call) and _writes_here(node, ast.unparse(node.func), drafted):
        yield node.lineno, function
    for child in ast.iter_child_nodes(node):
        yield from _writes(child, drafted, function)


def _writes_here(call, name, drafted):
    if name in OWN or name.endswith(AROUND):
        return name not in OWN
    return not drafted and (name.endswith(OUTRIGHT) or _opens_to_write(call, name))


def _opens_to_write(call, name):
    if name.rpartition(".")[2] not in OPENS:
        return False
    of_a_path = name.endswith(".open") and bool(call.args) and _is_mode(call.args[0], "rwaxbt+")
    modes = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    modes += call.args[0 if of_a_path else 1 :][:1]
    return not all(_is_mode(mode, "rbt") for mode in modes)


def _is_mode(node, letters):
    return isinstance(node, ast.Constant) and set(str(node.value)) <= set(letters)
