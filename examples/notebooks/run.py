"""Runs the notebooks of this folder, each in a fresh kernel, away from the checkout; ends with 1 if a cell fails.

    python run.py [NAME ...] [--write]

`--write` keeps what they show, with pictures made small. Needs nbclient and ipykernel: `make notebooks`.
"""

import argparse
import base64
import io
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

HERE = Path(__file__).parent
WIDEST = 640  # pixels of a picture that is kept
LARGEST = 400_000  # bytes of a notebook with what it shows
NOISE = re.compile(
    r"^([IWE]\d{4} |INFO:tensorflow:|WARNING: All log messages before absl|\d{4}-\d\d-\d\d .*tensorflow/).*\n?", re.M
)


def run(notebook: nbformat.NotebookNode, directory: Path) -> None:
    """Fills in the notebook's outputs; `directory` stands for its folder."""
    where = {"metadata": {"path": directory}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", coalesce_streams=True, resources=where).execute()


def small(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without time, place and TensorFlow's log lines of the run, and with pictures as JPEG of a few hundred pixels."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        kept = []
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":
                output.text = NOISE.sub("", output.text).replace(f"{HERE.parents[1]}/", "")
                if not output.text.strip():
                    continue
            data = output.get("data", {})
            if "image/png" in data:
                data["image/jpeg"] = _as_jpeg(data.pop("image/png"))
            kept.append(output)
        if "outputs" in cell:
            cell.outputs = kept
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def _as_jpeg(png: str) -> str:
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.thumbnail((WIDEST, WIDEST * 2))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=75, optimize=True)
    return base64.b64encode(data.getvalue()).decode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
    files = [HERE / f"{name.removesuffix('.ipynb')}.ipynb" for name in arguments.names] or sorted(HERE.glob("*.ipynb"))
    begin = time.monotonic()
    for file in files:
        start = time.monotonic()
        notebook = nbformat.read(file, as_version=4)
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(HERE.parent, Path(copy, "examples"), ignore=shutil.ignore_patterns("out", "node_modules"))
            try:
                run(notebook, Path(copy, "examples", HERE.name))
            except CellExecutionError as error:
                raise SystemExit(f"{file.name}: {error}") from None
        text = nbformat.writes(small(notebook)) + "\n"
        print(f"{file.name}: {time.monotonic() - start:.0f} s, {len(text) / 1000:.0f} kB", flush=True)
        if len(text) > LARGEST:
            raise SystemExit(f"{file.name} has {len(text)} bytes, expected at most {LARGEST}: show fewer pictures.")
        if arguments.write:
            file.write_text(text, "utf-8")
    print(f"{len(files)} notebooks in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
