"""Puts the page together in a folder that any server of files can hand out: `python build.py OUT [--model MODEL]`.

Needs `npm install` in this folder before, and segformer-tf with its extra [export].
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", default="segformer-b0-camvid")
    parser.add_argument("--weights", default="float32", choices=("float32", "float16", "int8"))
    asked = parser.parse_args()
    if not RUNTIME.is_dir():
        raise SystemExit(f"{RUNTIME} is not there; run `npm install` in {HERE} first.")
    (asked.out / "ort").mkdir(parents=True, exist_ok=True)
    for name in PAGE:
        shutil.copy(HERE / name, asked.out)
    for name in ORT:
        shutil.copy(RUNTIME / name, asked.out / "ort")
    shutil.copy(HERE.parent / "china.jpg", asked.out / "example.jpg")
    export = [sys.executable, "-m", "segformer_tf.cli", "export", asked.model, str(asked.out / "model")]
    options = ["--format", "onnx", "--for", "transformers.js", "--weights", asked.weights]
    subprocess.run([*export, *options], check=True)


if __name__ == "__main__":
    main()
