"""The notebooks as they are kept: run from top to bottom, small, of free pictures, and nobody's machine in them."""

import json
import re

import pytest
from reference import ROOT

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_is_kept_as_it_ran(file):
    text = file.read_text("utf-8")
    assert len(text) < 400_000
    notebook = json.loads(text)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)), "make notebooks WRITE=1"
    assert sum(bool(cell["outputs"]) for cell in code) > len(code) / 2
    for cell in code:
        source = "".join(cell["source"])
        compile(source, file.name, "exec")
        for line in re.findall(
            r"^(?:from segformer_tf\S* import [^(\n]+|import segformer_tf\S*)$", source, re.MULTILINE
        ):
            exec(line, {})
        for output in cell["outputs"]:
            assert output["output_type"] != "error"
            shown = re.sub(r"base64,[A-Za-z0-9+/=]+", "", json.dumps({**output, "data": _texts(output)}))
            assert not re.search(r"https?://|/tmp/|/home/|/root/", shown) and str(ROOT) not in shown, shown[:500]


def _texts(output):
    return {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}


def test_there_is_a_notebook_for_each_thing_that_people_do():
    assert [file.stem.partition("_")[2] for file in NOTEBOOKS] == [
        "inference", "fine_tuning", "image_classification", "exporting_and_serving", "attention"
    ]  # fmt: skip
