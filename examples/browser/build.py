"""Puts the page together in a folder that any server of files can hand out: `python build.py OUT [--model MODEL]`.

Needs `npm install --omit=dev --ignore-scripts` in this folder before, and segformer-tf with its extra [export].
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = ("index.html", "page.css", "page.js", "segformer.js")
ORT = (  # for the graphics card, and for WebAssembly
    "ort.webgpu.min.mjs",
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
    "ort.wasm.min.mjs",
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
)
RUNTIME = HERE / "node_modules" / "onnxruntime-web" / "dist"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="segformer-b0-camvid")
    parser.add_argument("--weights", default="float32", choices=("float32", "float16", "int8"))
    asked = parser.parse_args()
    if not RUNTIME.is_dir():
        raise SystemExit(f"{RUNTIME} is not there; run `npm install --omit=dev --ignore-scripts` in {HERE} first.")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model")
        export = [sys.executable, "-m", "segformer_tf.cli", "export", asked.model, str(model)]
        options = ["--format", "onnx", "--for", "transformers.js", "--weights", asked.weights]
        if code := subprocess.run([*export, *options]).returncode:
            raise SystemExit(code)  # why, it has said
        files = (model / "config.json", model / "preprocessor_config.json")
        if unknown := what_is_unknown(*(json.loads(file.read_text("utf-8")) for file in files)):
            raise SystemExit(f"{asked.model}: {unknown}; {asked.out} was not written.")
        shutil.rmtree(asked.out / "model" / "onnx", ignore_errors=True)  # its other weights, of a build before
        shutil.copytree(model, asked.out / "model", dirs_exist_ok=True)
    (asked.out / "ort").mkdir(parents=True, exist_ok=True)
    for name in PAGE:
        shutil.copy(HERE / name, asked.out)
    for name in ORT:
        shutil.copy(RUNTIME / name, asked.out / "ort")
    shutil.copy(HERE.parent / "china.jpg", asked.out / "example.jpg")


def what_is_unknown(config: dict[str, Any], processor: dict[str, Any]) -> str | None:
    """What the page cannot show of an exported model, or None; segformer.js asks the same as it loads one."""
    kind, size, resample = config["architectures"][0], processor["size"], processor["resample"]
    if kind != "SegformerForSemanticSegmentation":
        return f"it is a {kind}; the page knows SegformerForSemanticSegmentation"
    if not processor["do_resize"]:
        return "do_resize is false; the page knows pictures that are resized to a height and a width"
    if "height" not in size or resample != 2:
        return f"it resizes to {size} by filter {resample}; the page knows a height, a width and filter 2 (bilinear)"
    if processor.get("do_exif_transpose") is False:
        return "do_exif_transpose is false; browsers turn pictures as their EXIF tag says"
    if processor.get("value_range") is not None:
        return f"value_range is {processor['value_range']}; browsers read 8 bits"
    return None


if __name__ == "__main__":
    main()
