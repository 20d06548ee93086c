"""What an OpenVINO file says, and that its two parts belong together: the .xml and the weights, a .bin beside it."""

import os
import zlib
from pathlib import Path
from typing import Any

from segformer_tf.pipelines.description import KEY


def save(model: Any, path: Path, about: str, compress_to_fp16: bool = False) -> None:
    """Writes an OpenVINO model with its description, and with which .bin is its own."""
    import openvino

    model.set_rt_info(about, [KEY, "model"])
    openvino.save_model(model, path, compress_to_fp16)
    model.set_rt_info(_fingerprint(path.with_suffix(".bin")), [KEY, "weights"])
    openvino.save_model(model, path, compress_to_fp16)  # the same weights again, now that they are known


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
