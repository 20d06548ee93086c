"""kill -9 at random moments of every kind of save over an earlier one: what a load then finds is old or new, whole.

    python benchmarks/trust/kills.py --kills 1000

Each kill: a directory with an old save, a forked process that saves new files over it and is killed, and a look. Every
second process is killed at a random moment of the whole time, the others while the written files are put in their
places. "moving" are kills in the midst of that, after which the load does the rest; other programs see some files of
each save there until then. "bad" is a look that finds neither save whole, or a file that a later save leaves behind.
Then two processes save over each other while a third looks.

The network's files are small and no TensorFlow runs in the forked processes, which could not survive a fork: an
export's files are copies of a fixed SavedModel, a report's page has fixed text; how they are put in place is the
package's own code.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from segformer_tf import SegformerConfig
from segformer_tf.checkpoints import load, save, save_h5
from segformer_tf.checkpoints.infer import expected_shapes
from segformer_tf.data.layouts import read_split
from segformer_tf.export.export import staged as export_staged
from segformer_tf.pipelines.result import SegmentationResult
from segformer_tf.storage import switch, whole
from segformer_tf.training import RECIPES, shards, state
from segformer_tf.training.report import writing
from segformer_tf.training.report.page import Code, Heading

warnings.filterwarnings("ignore", "This process .* is multi-threaded")
CONFIG = SegformerConfig(depths=[1, 1, 1, 1], hidden_sizes=[8, 16, 20, 32], decoder_hidden_size=16, num_labels=5)
SHAPES = expected_shapes(CONFIG, "decode_head")
SHARDS = "40KB"
SWITCH_SECONDS = 0.0006


class Case(NamedTuple):
    """How a version (0: old, 1: new) is saved into a directory, and what loads it; both may be the same directory."""

    save: Callable[[Path, int], Any]
    load: Callable[[Path], Any] = switch.settle


def _checkpoint(writer: Callable, old: Any = None, new: Any = None) -> Case:
    def write(directory: Path, version: int) -> None:
        arrays = {path: np.full(shape, version, np.float32) for path, shape in SHAPES.items()}
        size = (old, new)[version]
        writer(directory, {**CONFIG.to_dict(), "version": version}, arrays, *([size] if size else []))

    def read(directory: Path) -> None:
        found = load(directory)
        values = {float(array.flat[0]) for array in found.variables.values()} | {float(found.config["version"])}
        assert len(values) == 1, f"a mix: {values}"

    return Case(write, read)


class _Variable:
    def __init__(self, value: int):
        self.value, self.shape, self.path = np.full((64, 64), value, np.float32), (64, 64), "a/kernel"

    def numpy(self) -> np.ndarray:
        return self.value

    def assign(self, value: np.ndarray) -> None:
        self.value = value


def _model(version: int) -> Any:
    variables = [_Variable(version) for _ in range(6)]
    return SimpleNamespace(variables=variables, optimizer=SimpleNamespace(variables=variables))


def _save_state(directory: Path, version: int) -> None:
    state.save(directory, _model(version), {"step": version})


def _load_state(directory: Path) -> None:
    model = _model(7)
    step = state.restore(directory, model)["step"]
    values = {float(variable.value[0, 0]) for variable in model.variables}
    assert values == {step}, f"a mix: {values} of step {step}"


def _export(directory: Path, version: int) -> None:
    with export_staged(directory) as stage:
        draft = stage / "version"
        (draft / "variables").mkdir(parents=True)
        for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
            (draft / name).write_bytes(bytes([version]) * 50_000)
        draft.rename(stage / str(version + 1))


def _openvino(directory: Path, version: int) -> None:
    with export_staged(directory) as stage:
        for name in ("openvino_model.xml", "openvino_model.bin"):
            (stage / name).write_bytes(bytes([version]) * 50_000)


def _result(directory: Path, version: int) -> None:
    names = {i: f"class {i} of {version}" for i in range(3)}
    labels, pixels = np.full((60, 80), version, np.int32), np.full((60, 80, 3), 90 * version, np.uint8)
    SegmentationResult("street", labels, pixels, names, np.eye(3, dtype=np.uint8) * 255, "a model").save(directory)


def _report(directory: Path, version: int) -> None:
    def write(draft: Path, *_: Any) -> None:
        for number in range(4 - version):  # the new one has a picture less
            Image.fromarray(np.full((40, 60), version, np.uint8)).save(draft / f"picture_best_{number}.png")
        writing.write_page(draft, "report", [Heading(f"run {version}", 1), Code("x" * 3000)])

    writing._write = write
    writing.write_report(directory, *[None] * 6)  # pyright: ignore[reportArgumentType]


def _recipe(directory: Path, version: int) -> None:
    directory.mkdir(exist_ok=True)
    RECIPES[("fine-tune", "from-scratch")[version]].save(directory / "recipe.json")


def _data(root: Path) -> Any:
    for kind, mode in (("images", (40, 60, 3)), ("annotations", (40, 60))):
        (root / kind / "train").mkdir(parents=True)
        for number in range(6):
            Image.fromarray(np.full(mode, number % 3, np.uint8)).save(root / kind / "train" / f"{number}.png")
    return read_split(root, "train")


def cases(data: Path) -> dict[str, Case]:
    """By the name in the table."""
    split = _data(data)
    return {
        "save_pretrained": _checkpoint(save),
        "sharded": _checkpoint(save, SHARDS, SHARDS),
        "sharded over single": _checkpoint(save, None, SHARDS),
        "single over sharded": _checkpoint(save, SHARDS, None),
        "tf_model.h5": _checkpoint(save_h5),
        "checkpoint of a run": Case(_save_state, _load_state),
        "export, SavedModel": Case(_export),
        "export, OpenVINO": Case(_openvino),
        "result": Case(_result),
        "report": Case(_report),
        "recipe": Case(_recipe),
        "data shards": Case(
            lambda directory, version: shards.write_shards(split, directory, 2 + version),
            lambda directory: read_split(directory, "train"),
        ),
    }


def contents(directory: Path) -> dict[str, Any]:
    """What each file holds, by its path; drafts left out."""
    found = {}
    for file in directory.rglob("*"):
        if file.is_file() and whole.PREFIX not in str(file):
            name = str(file.relative_to(directory))
            if file.suffix == ".npz":
                with np.load(file) as arrays:
                    found[name] = {key: arrays[key].tobytes() for key in arrays.files}
            else:
                found[name] = file.read_bytes()
    return found


def forked(run: Callable[[], Any], late: bool = False) -> int:
    """A process that runs it from now on; returns its id once it has begun, with `late` once its files are written."""
    begun, begin = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            whole._cleared.clear()  # as in a new process
            commit = whole.commit
            if late:
                whole.commit = lambda *arguments: [os.write(begin, b"1"), commit(*arguments)]
            else:
                os.write(begin, b"1")
            run()
            code = 0
        finally:
            os._exit(code)
    os.close(begin)
    os.read(begun, 1)
    os.close(begun)
    return child


def attack(case: Case, kills: int, rng: random.Random) -> Counter:
    """How often a kill left the old save, the new one, one in the midst of moving, or something bad."""
    found: Counter = Counter()
    with tempfile.TemporaryDirectory() as place:
        directory, old = Path(place, "save"), Path(place, "old")
        case.save(old, 0)
        shutil.copytree(old, directory)
        begin = time.perf_counter()
        os.waitpid(forked(lambda: case.save(directory, 1)), 0)
        seconds = time.perf_counter() - begin
        wanted = {"old": contents(old), "new": contents(directory)}
        assert wanted["old"] != wanted["new"]
        for number in range(kills):
            shutil.rmtree(directory)
            shutil.copytree(old, directory)
            child = forked(lambda: case.save(directory, 1), late=bool(number % 2))
            time.sleep(rng.uniform(0, SWITCH_SECONDS if number % 2 else seconds))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            found["kills"] += 1
            before = contents(directory)
            found["moving"] += before not in wanted.values()
            try:
                case.load(directory)
                after = contents(directory)
                found[next((name for name, files in wanted.items() if files == after), "bad")] += 1
            except Exception as error:
                print(f"  {type(error).__name__}: {error}", file=sys.stderr)
                found["bad"] += 1
            os.waitpid(forked(lambda: case.save(directory, 1)), 0)
            found["bad"] += any(entry.name.startswith(".") for entry in directory.iterdir())
    return found


def race(case: Case, seconds: float) -> Counter:
    """Two processes save the two versions over each other; every look must find one of them whole."""
    found: Counter = Counter()
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place, "save")
        case.save(directory, 0)

        def again(version: int) -> None:
            while True:
                case.save(directory, version)

        children = [forked(lambda version=version: again(version)) for version in (0, 1)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found["looks"] += 1
            try:
                case.load(directory)
            except Exception as error:
                print(f"  {type(error).__name__}: {error}", file=sys.stderr)
                found["bad"] += 1
        for child in children:
            found["bad"] += os.waitpid(child, os.WNOHANG)[0] != 0  # a saver that failed
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000, help="of all kinds of save together")
    parser.add_argument("--race", type=float, default=5.0, help="seconds of two savers at once, for each format")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    bad = 0
    with tempfile.TemporaryDirectory() as place:
        every = cases(Path(place, "data"))
        print("| save | kills | old | new | moving | bad |\n|---|--:|--:|--:|--:|--:|", flush=True)
        total: Counter = Counter()
        for name, case in every.items():
            found = attack(case, -(-arguments.kills // len(every)), rng)
            total += found
            row = " | ".join(str(found[key]) for key in ("kills", "old", "new", "moving", "bad"))
            print(f"| {name} | {row} |", flush=True)
        row = " | ".join(str(total[key]) for key in ("kills", "old", "new", "moving", "bad"))
        print(f"| **together** | {row} |\n\n| two savers | looks | bad |\n|---|--:|--:|", flush=True)
        for name in ("save_pretrained", "sharded", "tf_model.h5") if arguments.race else ():
            found = race(every[name], arguments.race)
            bad += found["bad"]
            print(f"| {name} | {found['looks']} | {found['bad']} |", flush=True)
    return int(bool(bad + total["bad"]))


if __name__ == "__main__":
    sys.exit(main())
