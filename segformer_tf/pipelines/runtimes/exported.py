"""Runtimes of exported files: OpenVINO, ONNX Runtime, LiteRT, a SavedModel. Only the last loads TensorFlow."""

import importlib.util
import os
import queue
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from segformer_tf.pipelines.runtimes import checksum, openvino_files
from segformer_tf.pipelines.runtimes.description import KEY, Description, of_saved_model, read_appended
from segformer_tf.pipelines.runtimes.runtime import Runtime, graphs_at_once
from segformer_tf.storage.cores import cores
from segformer_tf.storage.find import has_weights
from segformer_tf.storage.read import reason
from segformer_tf.storage.switch import settle

# OpenVINO's, 1 second each: a size has one for a picture alone, one for several; then any size shares one.
SIZED_PLANS = 8
WRITTEN = ("openvino_model.xml", "model.onnx", "model.tflite")  # by `export` into the directory that it is given
PLACES = ("Exception from ", "Check '")  # lines of OpenVINO's errors that tell where in its source
PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "litert": "ai_edge_litert"}


class OpenVino(Runtime):
    """An OpenVINO or ONNX file, planned for each size that comes, one picture at a time: its fastest way on a CPU.

    A picture alone has all cores. Several share them out, each in a stream of its own, which takes less time in all: no
    thread waits for another.
    """

    backend = "openvino"

    def __init__(self, path: str | os.PathLike, description: Description | None = None):
        openvino = openvino_files.load()
        self._core = openvino.Core()
        weights = openvino_files.weights_of(path)
        self._model = _readable(path, lambda: self._core.read_model(str(path)))
        super().__init__(str(path), description or Description.parse(openvino_files.said(self._model, "model"), path))
        openvino_files.check_weights(self._model, weights)
        pixels, logits = (openvino_files.shape_of(port) for port in (self._model.input(0), self._model.output(0)))
        self.description.check_shapes(path, pixels, logits)
        self.batch = pixels[0] or 1
        self.at_once = min(cores(), 2)
        self._plans: dict[tuple[Any, bool], _Plan] = {}
        self._planning = threading.Lock()
        self._several = False
        self._precision = "bf16" if _in_int8(self._model) and _has_bfloat16(self._core) else "f32"

    def _run_all(self, parts: list[np.ndarray]) -> Iterable[Any]:
        # The last picture of many comes alone, and is not worth a plan of its own.
        several, self._several = self._several or len(parts) > 1, len(parts) > 1
        return self._plan(parts[0].shape, several).run_all(parts)

    def _plan(self, shape: tuple[int, ...], several: bool) -> "_Plan":
        with self._planning:
            known = sum(planned != () for planned, _ in self._plans)
            key = (shape if (shape, several) in self._plans or known < SIZED_PLANS else (), several)
            if key not in self._plans:
                self._plans[key] = self._compile(*key)
            return self._plans[key]

    def _compile(self, shape: tuple[int, ...], several: bool) -> "_Plan":
        model = self._model
        if shape and model.is_dynamic():
            model = model.clone()
            model.reshape(list(shape))
        # Without the first hint OpenVINO computes in bfloat16 on processors that have it. It may where the products are
        # in int8: that saves an eighth of the time, and changes less than int8 does.
        hints = {"INFERENCE_PRECISION_HINT": self._precision}
        hints["PERFORMANCE_HINT"] = "THROUGHPUT" if several else "LATENCY"
        return _Plan(self._core.compile_model(model, "CPU", hints))


class _Plan:
    """A compiled file with a thread for each of its streams; threads of others may call it at the same time."""

    def __init__(self, compiled: Any):
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self._idle: queue.SimpleQueue = queue.SimpleQueue()
        for _ in range(count):
            self._idle.put(compiled.create_infer_request())
        self._threads = ThreadPoolExecutor(count, "segformer-openvino")

    def run_all(self, parts: list[np.ndarray]) -> Iterable[Any]:
        return map(self._run, parts) if len(parts) == 1 else self._threads.map(self._run, parts)

    def _run(self, pixel_values: np.ndarray) -> np.ndarray:
        request = self._idle.get()
        try:
            return request.infer([pixel_values])[0]  # a copy
        finally:
            self._idle.put(request)


def _in_int8(model: Any) -> bool:
    """Whether products of an OpenVINO file are computed in int8, by ranges from pictures."""
    return any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())


def _has_bfloat16(core: Any) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class Onnx(Runtime):
    """An ONNX file in ONNX Runtime."""

    backend = "onnx"

    def __init__(self, path: str | os.PathLike, description: Description | None = None):
        import onnxruntime

        self._session = _readable(
            path, lambda: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        )
        text = self._session.get_modelmeta().custom_metadata_map.get(KEY)
        super().__init__(str(path), description or Description.parse(text, path))
        pixels, logits = self._session.get_inputs()[0].shape, self._session.get_outputs()[0].shape
        self.description.check_shapes(path, pixels, logits)
        self.batch = pixels[0] if isinstance(pixels[0], int) else None

    def _run(self, pixel_values: np.ndarray) -> Any:
        return self._session.run(["logits"], {"pixel_values": pixel_values})[0]


class LiteRt(Runtime):
    """A LiteRT file: one picture of one size at a time."""

    backend = "litert"
    batch = 1

    def __init__(self, path: str | os.PathLike, description: Description | None = None):
        from ai_edge_litert.interpreter import Interpreter

        super().__init__(str(path), description or Description.parse(read_appended(path), path))
        self._runner = _readable(path, lambda: Interpreter(str(path), num_threads=cores()).get_signature_runner())
        pixels, logits = self._runner.get_input_details(), self._runner.get_output_details()
        shapes = (pixels["pixel_values"]["shape"].tolist(), logits["logits"]["shape"].tolist())
        self.description.check_shapes(path, *shapes)
        self._one_caller = threading.Lock()

    def _run(self, pixel_values: np.ndarray) -> Any:
        with self._one_caller:
            return self._runner(pixel_values=pixel_values)["logits"]


class SavedModel(Runtime):
    """The `logits` signature of a version directory that `export` wrote."""

    backend = "tensorflow"

    def __init__(self, path: str | os.PathLike):
        import tensorflow as tf

        super().__init__(str(path), Description.parse(of_saved_model(path), path))
        self.description = self.description.channels_last()  # as its signature is, whatever the model was
        self.size = None
        self._loaded: Any = _readable(path, lambda: tf.saved_model.load(str(path)))
        if "logits" not in self._loaded.signatures:
            raise ValueError(
                f"{path} has the signatures {', '.join(self._loaded.signatures)}; expected logits among them: export "
                "it with all of them."
            )
        signature = self._loaded.signatures["logits"]
        pixels, logits = signature.inputs[0].shape, signature.structured_outputs["logits"].shape
        self.description.check_shapes(path, pixels.as_list(), logits.as_list())
        self.at_once = graphs_at_once()

    def _run(self, pixel_values: np.ndarray) -> Any:
        import tensorflow as tf

        return self._loaded.signatures["logits"](pixel_values=tf.constant(pixel_values))["logits"].numpy()


def exported_file(name_or_path: str | os.PathLike) -> Path | None:
    """The exported file or SavedModel version that a name means; of a directory the latest version, or its one file.

    Raises:
        ValueError: A directory has exported files of several formats.
    """
    path = Path(name_or_path)
    if path.suffix.lower() in KINDS and not path.is_dir():
        return path
    if path.name == "saved_model.pb":
        return path.parent
    if path.suffix == ".bin" and path.with_suffix(".xml").is_file():  # OpenVINO's weights beside their graph
        return path.with_suffix(".xml")
    if path.is_dir() and (found := _of_transformers_js(path)):
        return found
    if not path.is_dir() or any((path / name).exists() for name in ("config.json", "best/config.json")):
        return None  # a checkpoint or a run
    versions = sorted(
        (int(e.name), e) for e in path.iterdir() if e.name.isdecimal() and (e / "saved_model.pb").exists()
    )
    if (path / "saved_model.pb").exists():
        return path
    files = [path / name for name in WRITTEN if (path / name).is_file()] + [file for _, file in versions[-1:]]
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{path} has several exported models ({names}), expected one: name the file that you mean.")
    return files[0] if files else None


def _of_transformers_js(path: Path) -> Path | None:
    """The file in a folder for transformers.js, or in its folder `onnx`, where there are no weights of a checkpoint."""
    inside = path if path.name == "onnx" and (path.parent / "config.json").exists() else path / "onnx"
    beside = inside.parent
    if has_weights(beside) or not (beside / "config.json").is_file():
        return None
    files = sorted(inside.glob("model*.onnx"))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise ValueError(f"{inside} has several exported models ({names}), expected one: name the file that you mean.")
    return files[0] if files else None


def open_exported(path: Path, runtime: str = "auto") -> Runtime:
    """The runtime of an exported file.

    Raises:
        FileNotFoundError, ImportError, ValueError: No such file; its runtime is not installed; another program's file.
    """
    for directory in path.parents[: 2 if path.parent.name == "onnx" else 1]:
        if directory.is_dir():
            settle(directory)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}; expected what segformer-tf export wrote.")
    suffix = "" if path.is_dir() else path.suffix.lower()
    own = {".xml": "openvino", ".onnx": "onnx", ".tflite": "litert"}.get(suffix, "tensorflow")
    if runtime not in ("auto", own):
        raise ValueError(f'runtime is {runtime!r}; expected "auto" or {own!r} for {path}.')
    if own != "tensorflow":
        check_installed(own, str(path))
    return KINDS.get(suffix, SavedModel)(path)


KINDS: dict[str, Any] = {".xml": OpenVino, ".onnx": Onnx, ".tflite": LiteRt}


def check_installed(runtime: str, why: str) -> None:
    """Raises ImportError with the line to run, where a runtime's package is not there."""
    package = PACKAGES[runtime]
    if importlib.util.find_spec(package) is None:
        name = package.replace("_", "-")
        raise ImportError(f"{why} needs {name}, which is not installed: pip install 'segformer-tf[export]'.")


def _readable(path: str | os.PathLike, load: Any) -> Any:
    checksum.check(path)  # before a runtime, which computes with damaged weights, or ends with the whole program
    try:
        with openvino_files.interruptible():
            return load()
    except Exception as error:  # every runtime has its own
        raise ValueError(f"{path} cannot be read by its runtime ({reason(error, PLACES)}): export it again.") from error
