"""OpenVINO without its telemetry; what its files say, and that their two parts belong together: .xml and .bin."""

import contextlib
import importlib
import os
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segformer_tf.pipelines.runtimes import checksum
from segformer_tf.pipelines.runtimes.description import KEY

TELEMETRY = "openvino_telemetry"  # a package that OpenVINO and NNCF do without where it is not there
_loading = threading.Lock()


def load(name: str = "openvino") -> Any:
    """The module `openvino` or `nncf`, which sends nothing to its makers.

    Each sends its use to Google Analytics, without a question. While one is loaded here, it finds no package to send
    with. Files and environment stay as they are, and so does a module that the program has loaded before.
    """
    with _loading:
        known = {part: sys.modules.pop(part) for part in list(sys.modules) if part.split(".")[0] == TELEMETRY}
        sys.modules[TELEMETRY] = None  # type: ignore[assignment]  # Python's way of saying that it cannot be imported
        try:
            return importlib.import_module(name)
        finally:
            del sys.modules[TELEMETRY]
            sys.modules.update(known)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C inside is a KeyboardInterrupt, which OpenVINO makes an error of its own of."""
    try:
        yield
    except Exception as error:
        if KeyboardInterrupt.__name__ in str(error):
            raise KeyboardInterrupt from None
        raise


def save(model: Any, path: Path, about: str, compress_to_fp16: bool = False) -> None:
    """Writes an OpenVINO model with its description, which .bin is its own, and the .xml's checksum."""
    openvino = load()
    model.set_rt_info(about, [KEY, "model"])
    openvino.save_model(model, path, compress_to_fp16)
    model.set_rt_info(_fingerprint(path.with_suffix(".bin")), [KEY, "weights"])
    model.set_rt_info(checksum.PLACEHOLDER, [KEY, "checksum"])
    openvino.save_model(model, path, compress_to_fp16)  # the same weights again, now that they are known
    checksum.stamp(path)


def said(model: Any, name: str) -> str | None:
    """A text that `save` put into the file, None where there is none."""
    return model.get_rt_info([KEY, name]).astype(str) if model.has_rt_info([KEY, name]) else None


def weights_of(path: str | os.PathLike) -> Path:
    """The .bin of an .xml; FileNotFoundError where it is not there. What ends otherwise holds its weights itself."""
    weights = Path(path).with_suffix(".bin")
    if Path(path).suffix == ".xml" and not weights.is_file():
        raise FileNotFoundError(f"There is no {weights}, which holds the weights of {path}: copy it there too.")
    return weights


def check_weights(model: Any, weights: Path) -> None:
    """ValueError where the .bin is not the one that was written with the .xml, which older files do not say."""
    known = said(model, "weights")
    if known is not None and known != _fingerprint(weights):
        raise ValueError(
            f"{weights} is not what was written with {weights.with_suffix('.xml').name}: it is another model's, or "
            "damaged; copy both from one place."
        )


def shape_of(port: Any) -> list[int | None]:
    """The shape of an input or output, None where a number depends on the call."""
    return [side.get_length() if side.is_static else None for side in port.get_partial_shape()]


def _fingerprint(file: Path) -> str:
    """Size and checksum: quick for large files too."""
    checksum, size = 0, 0
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            checksum, size = zlib.crc32(block, checksum), size + len(block)
    return f"{size} {checksum:08x}"
