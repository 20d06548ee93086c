"""Every reader of strangers' files on mutated ones: nothing but documented errors, in time and within memory.

    python benchmarks/trust/fuzz.py --seconds 600
    python benchmarks/trust/fuzz.py --inputs 1000000 --progress out/fuzz.json

The first reads for that time; the second so many inputs, and goes on from what the file says when it was stopped.
Documented are ValueError and OSError whose text names the file, ImportError that names it and says what to install,
and warnings. An input may take 10 seconds of the processor's time, four minutes in all, and 1 GB more than the process
has at its start. Inputs are valid files with
bytes changed, cut, repeated and put in, numbers set to extremes, and JSON (also inside of safetensors files) with
values put in the place of others. Each reader runs in a process of its own, so that a crash is found; `--keep` keeps
inputs that show a fault. Input N of a reader is the same for the same `--seed`, whatever came before. A .keras file is
read as far as it is checked before Keras is given it.
"""

import argparse
import copy
import io
import json
import logging
import math
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from segformer_tf import SegformerConfig, SegformerImageProcessor
from segformer_tf.checkpoints import load, save, save_h5
from segformer_tf.checkpoints.infer import expected_shapes
from segformer_tf.convert import _check_keras
from segformer_tf.data.layouts import read_split
from segformer_tf.data.masks import mask_values
from segformer_tf.data.splits import Coding
from segformer_tf.images.opening import open_image
from segformer_tf.pipelines.runtimes.description import Description

SECONDS, WAITING, BYTES = 10, 120, 2**30
CONFIG = SegformerConfig(depths=[1, 1], hidden_sizes=[8, 16], decoder_hidden_size=8, num_labels=3, num_encoder_blocks=2,
    sr_ratios=[2, 1], patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2])  # fmt: skip
ODD = [None, True, False, 0, -1, 1, 2, 7, 2**31, 2**63, 10**30, 1e308, 0.5, "", "a", "0", "../x", "/etc/passwd", "\x00",
    "\ud800", [], {}, [[]], [0], ["a"], {"a": 1}, {"0": "a"}, [None], "NaN", [1e9] * 4, [10**6] * 4, {"height": 10**7},
    {"shortest_edge": 10**7}, {"1": {"2": {"3": []}}}, "x" * 3000]  # fmt: skip
NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1]


class Reader(NamedTuple):
    """Writes a valid file (and what stands beside it) into a directory, and reads it; the one that is mutated."""

    write: Callable[[Path], Path]
    read: Callable[[Path], Any]
    is_json: bool = False


def _weights(config: SegformerConfig = CONFIG) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {path: rng.normal(size=shape).astype("f4") for path, shape in expected_shapes(config, "decode_head").items()}


def _saved(file: str, writer: Callable = save, *more: Any) -> Callable[[Path], Path]:
    def write(directory: Path) -> Path:
        writer(directory, CONFIG.to_dict(), _weights(), *more)
        return next(path for path in sorted(directory.iterdir()) if path.name == file)

    return write


def _alone(directory: Path) -> Path:
    """A weight file without a configuration, which has to have all four stages."""
    config = SegformerConfig(depths=[1] * 4, hidden_sizes=[8, 16, 20, 32], decoder_hidden_size=8, num_labels=3)
    save(directory, config.to_dict(), _weights(config))
    (directory / "config.json").unlink()
    return (directory / "model.safetensors").rename(directory / "weights.safetensors")


def _keras(directory: Path) -> Path:
    import h5py

    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        for path, array in _weights().items():
            file[f"layers/{path}/vars/0"] = array
    with zipfile.ZipFile(directory / "model.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"config": CONFIG.to_dict()}}))
        archive.writestr("model.weights.h5", weights.getvalue())
    return directory / "model.keras"


def _picture(name: str, mode: str = "RGB", **how: Any) -> Callable[[Path], Path]:
    def write(directory: Path) -> Path:
        shape = (40, 50, 3) if mode == "RGB" else (40, 50)
        Image.fromarray(np.random.default_rng(0).integers(0, 3, shape, np.uint8)).save(directory / name, **how)
        return directory / name

    return write


def _data(kind: str) -> Callable[[Path], Path]:
    """A data set of two pictures with annotations in one JSON file, or in the file of one of them."""

    def write(directory: Path) -> Path:
        (directory / "train").mkdir()
        for number in range(2):
            _picture(f"{number}.png")(directory / "train")
        points = [[1, 1], [20, 1], [20, 20]]
        if kind == "coco":
            outline = [value for point in points for value in point]
            rows = [{"id": 1, "image_id": i, "category_id": 1, "segmentation": [outline]} for i in range(2)]
            rows[1]["segmentation"] = {"size": [40, 50], "counts": [100, 100, 1800]}
            images = [{"id": i, "file_name": f"{i}.png", "height": 40, "width": 50} for i in range(2)]
            content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "a"}]}
            file = directory / "train" / "_annotations.coco.json"
        else:
            shape = {"label": "a", "points": points, "shape_type": "polygon"}
            content = {"shapes": [shape], "imageHeight": 40, "imageWidth": 50}
            (directory / "train" / "1.json").write_text(json.dumps(content))
            file = directory / "train" / "0.json"
        file.write_text(json.dumps(content))
        return file

    return write


def _drawn(file: Path) -> None:
    split = read_split(file.parents[1], "train")
    for target in split.targets:
        target.ids((40, 50))


def _classes(directory: Path) -> Path:
    for kind, mode in (("images", "RGB"), ("annotations", "L")):
        (directory / kind / "train").mkdir(parents=True)
        _picture("a.png", mode)(directory / kind / "train")
    file = directory / "classes.json"
    file.write_text(json.dumps([{"id": i, "name": f"n{i}", "color": [i, 0, 0]} for i in range(3)]))
    return file


def _text(name: str, content: Any) -> Callable[[Path], Path]:
    def write(directory: Path) -> Path:
        (directory / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return directory / name

    return write


def _shards(directory: Path) -> Path:
    (directory / "train-00000-of-00001.tfrecord").write_bytes(b"")
    about = {"pictures": 2, "classes": [{"id": 0, "name": "a"}], "shards": ["train-00000-of-00001.tfrecord"]}
    return _text("train.json", about)(directory)


def _stub() -> Any:
    def variable(number: int) -> Any:
        return SimpleNamespace(
            path=f"v{number}", shape=(number, 3), numpy=lambda: np.ones((number, 3), "f4"), assign=lambda value: None
        )

    return SimpleNamespace(variables=[variable(2)], optimizer=SimpleNamespace(variables=[variable(5)]))


def _state(directory: Path) -> Path:
    from segformer_tf.training import state

    rows = [{"step": 4, "score": 0.5, "seconds": 1.0}]
    state.save(directory, _stub(), {"step": 4, "seconds": 1.0, "rows": rows, "partial": (0.0, 0)})
    return directory / "last" / state.STATE


def _restore(file: Path) -> None:
    from segformer_tf.training import state

    state.restore(file.parents[1], _stub())


def _recipe(directory: Path) -> Path:
    from segformer_tf.training import RECIPES

    return _text("recipe.json", {**RECIPES["fine-tune"].to_dict(), "seed": 0})(directory)


def _read_recipe(file: Path) -> None:
    from segformer_tf.training import state

    state.read_recipe(file.parent)


def _mask(file: Path) -> None:
    mask_values(file, Coding())


def _process(file: Path) -> None:
    processor: Any = SegformerImageProcessor.from_pretrained(file)
    processor(np.zeros((30, 40, processor.channels), np.uint8), input_data_format="channels_last")


READERS = {
    "safetensors": Reader(_saved("model.safetensors"), lambda file: load(file.parent)),
    "safetensors alone": Reader(_alone, load),
    "index": Reader(_saved("model.safetensors.index.json", save, "4KB"), lambda file: load(file.parent), True),
    "h5": Reader(_saved("tf_model.h5", save_h5), lambda file: load(file.parent)),
    "keras": Reader(_keras, _check_keras),
    "config": Reader(_saved("config.json"), lambda file: load(file.parent), True),
    "preprocessor": Reader(
        _text("preprocessor_config.json", SegformerImageProcessor().to_dict()),
        _process,
        True,
    ),
    "description": Reader(
        _text("segformer.json", {"class": "TFSegformerModel", "config": CONFIG.to_dict(), "size": [64, 64]}),
        lambda file: Description.parse(file.read_text("utf-8", "replace"), file),
        True,
    ),
    "png": Reader(_picture("a.png"), open_image),
    "jpeg": Reader(_picture("a.jpg"), open_image),
    "tiff": Reader(_picture("a.tif", compression="tiff_lzw"), open_image),
    "webp": Reader(_picture("a.webp", lossless=True), open_image),
    "bmp": Reader(_picture("a.bmp"), open_image),
    "mask": Reader(_picture("a.png", "L"), _mask),
    "coco": Reader(_data("coco"), _drawn, True),
    "labelme": Reader(_data("labelme"), _drawn, True),
    "classes": Reader(_classes, lambda file: read_split(file.parent, "train"), True),
    "shards": Reader(_shards, lambda file: read_split(file.parent, "train"), True),
    "resume state": Reader(_state, _restore),
    "recipe": Reader(_recipe, _read_recipe, True),
}  # fmt: skip


def mutated_json(values: Any, rng: random.Random) -> Any:
    """A copy with one to three values put in the place of others, keys renamed or things taken out."""
    values = copy.deepcopy(values)
    for _ in range(rng.randint(1, 3)):
        parent: Any = None
        key: Any = None
        node = values
        while isinstance(node, (dict, list)) and node and (parent is None or rng.random() < 0.7):
            parent, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
            node = node[key]
        if parent is None:
            return rng.choice(ODD)
        how = rng.random()
        if how < 0.75:
            parent[key] = copy.deepcopy(rng.choice(ODD))
        elif how < 0.85:
            del parent[key]
        elif isinstance(parent, dict):
            parent[rng.choice(["a", "to_dict", "_keys", "", "0", "-1", "9" * 30, "name"])] = parent.pop(key)
        else:
            parent.extend(parent[:50] * rng.choice([1, 3]))
    return values


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four places changed, mostly near the beginning or the end, where files say what they are."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        size = len(found)
        if not size:
            break
        near = min(size, rng.choice([16, 100, 1000, size]))
        place = rng.randrange(near) if rng.random() < 0.7 else size - 1 - rng.randrange(near)
        how = rng.random()
        if how < 0.35:
            found[place] = rng.randrange(256)
        elif how < 0.6:
            width = rng.choice([1, 2, 4, 8])
            number = rng.choice(NUMBERS) % (1 << 8 * width)
            found[place : place + width] = number.to_bytes(width, rng.choice(["little", "big"]))
        elif how < 0.7:
            del found[place : place + rng.choice([1, 8, 100])]
        elif how < 0.8:
            found[place:place] = rng.randbytes(rng.choice([1, 4, 100]))
        elif how < 0.9:
            other = rng.randrange(size)
            found[place : place + 32] = found[other : other + 32]
        else:
            del found[place:]
    return bytes(found)


def mutated(data: bytes, reader: Reader, rng: random.Random) -> bytes:
    if reader.is_json and rng.random() < 0.85:
        return json.dumps(mutated_json(json.loads(data), rng)).encode()
    if data[8:9] == b"{" and rng.random() < 0.6:  # safetensors
        size = int.from_bytes(data[:8], "little")
        header = json.dumps(mutated_json(json.loads(data[8 : 8 + size]), rng)).encode()
        return len(header).to_bytes(8, "little") + header + data[8 + size :]
    return mutated_bytes(data, rng)


class TooLong(BaseException):
    """The time of an input is over."""


def _alarm(number: int, _: Any) -> None:
    """The second time: of the first the cause may be a stop of this program (SIGSTOP), while the clock runs on."""
    if number == signal.SIGALRM and not signal.getitimer(signal.ITIMER_REAL)[1]:
        signal.setitimer(signal.ITIMER_REAL, WAITING, WAITING)
        return
    raise TooLong


def attack(name: str, seed: int, begin: int, end: int, seconds: float, tell: Any, keep: Path | None) -> None:
    """Reads inputs `begin` to `end` of one kind, or until the time is over; tells how far it is, and faults."""
    warnings.simplefilter("ignore")
    logging.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what C libraries have to say of broken pictures
    reader = READERS[name]
    with tempfile.TemporaryDirectory() as place:
        file = reader.write(Path(place))
        data = file.read_bytes()
        try:
            reader.read(file)
        except Exception as error:
            tell.send((begin, f"the valid file is not read: {_where(error)}: {error!s:.90}"))
            return
        with open("/proc/self/statm") as stream:
            pages = int(stream.read().split()[0])
        limit = pages * resource.getpagesize() + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(number, _alarm)
        stop, done, seen = time.monotonic() + seconds, begin, set()
        while done < end and time.monotonic() < stop:
            content = mutated(data, reader, random.Random(f"{seed} {name} {done}"))
            file.write_bytes(content)
            fault = _fault(reader, file, place)
            if fault and keep and fault not in seen:
                (keep / f"{name}.{done}").write_bytes(content)
            seen.add(fault)
            done += 1
            if done % 100 == 0 or fault:
                tell.send((done, fault))
        tell.send((done, None))


def _fault(reader: Reader, file: Path, place: str) -> str | None:
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    try:
        reader.read(file)
    except (ValueError, OSError, ImportError) as error:
        named = file.name in str(error) or place in str(error)
        return None if named else f"{type(error).__name__} without the file's name: {_where(error)}: {error!s:.90}"
    except TooLong as error:
        return f"over {SECONDS} s: {_where(error)}"
    except BaseException as error:
        return f"{type(error).__name__}: {_where(error)}: {error!s:.90}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    return None


def _where(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "segformer_tf" in frame.filename]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def run(name: str, begin: int, end: int, options: argparse.Namespace, note: Callable[[int, dict], Any]) -> None:
    """One reader in a process of its own, in another one after a crash: that is a fault of the input it was at."""
    context = multiprocessing.get_context("fork")
    faults: Counter = Counter()
    stop = time.monotonic() + options.seconds / len(options.readers)
    while begin < end and time.monotonic() < stop:
        hear, tell = context.Pipe(duplex=False)
        seconds = stop - time.monotonic()
        worker = context.Process(target=attack, args=(name, options.seed, begin, end, seconds, tell, options.keep))
        worker.start()
        tell.close()
        try:
            while True:
                begin, fault = hear.recv()
                if fault:
                    faults[fault] += 1
                note(begin, faults)
        except EOFError:
            worker.join()
        if not worker.exitcode:
            break
        faults[f"the process ended with {worker.exitcode} in the 100 inputs after {begin}"] += 1
        begin = min(begin + 100, end)
        note(begin, faults)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, help="for all readers together; 600 where no --inputs are given")
    parser.add_argument("--inputs", type=int, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--progress", type=Path, help="JSON of how far it is, which it goes on from")
    parser.add_argument("--keep", type=Path, help="a directory for inputs that show a fault")
    parser.add_argument("--readers", nargs="*", default=list(READERS), choices=READERS)
    options = parser.parse_args()
    options.seconds = options.seconds or (math.inf if options.inputs else 600.0)
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    end = -(-(options.inputs or 10**9) // len(options.readers))
    file = options.progress
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = json.loads(file.read_text()) if file and file.exists() else {"seed": options.seed}
    if found["seed"] != options.seed:
        parser.error(f"{file} is of seed {found['seed']}, not {options.seed}")
    print("| reader | inputs | seconds | faults |\n|---|--:|--:|--:|", flush=True)
    for name in options.readers:
        was = found.get(name, {"inputs": 0, "seconds": 0.0, "faults": {}})
        start, noted = time.monotonic(), -math.inf

        def note(done: int, faults: dict, was: dict = was, name: str = name, start: float = start) -> None:
            nonlocal noted
            together = dict(Counter(was["faults"]) + Counter(faults))
            found[name] = {"inputs": done, "seconds": was["seconds"] + time.monotonic() - start, "faults": together}
            if file and (time.monotonic() - noted > 5 or done == end):
                noted = time.monotonic()
                draft = file.with_suffix(".draft")
                draft.write_text(json.dumps(found, indent=1))
                draft.replace(file)

        run(name, was["inputs"], end, options, note)
        row = found.get(name, was)
        print(f"| {name} | {row['inputs']:,} | {row['seconds']:.0f} | {sum(row['faults'].values())} |", flush=True)
        for fault, count in row["faults"].items():
            print(f"  {count} x {fault}", flush=True)
    rows = [found[name] for name in options.readers if name in found]
    total, bad = sum(row["inputs"] for row in rows), sum(sum(row["faults"].values()) for row in rows)
    print(f"| **together** | {total:,} | {sum(row['seconds'] for row in rows):.0f} | {bad} |")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
