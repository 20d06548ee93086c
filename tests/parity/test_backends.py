"""The same weights give the same numbers whichever backend Keras runs on, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference import FIXTURES, relative_difference

ROOT = Path(__file__).parents[2]
RUN = """
import sys, numpy as np, keras, segformer_tf
directory, golden, result, task, numbers = sys.argv[1:]
model = getattr(segformer_tf, task).from_pretrained(directory, data_format="channels_first")
def run(pixels, labels):
    return dict(model(pixels, labels=labels, output_hidden_states=True, output_attentions=True))
if keras.backend.backend() == "jax":
    import jax
    run = jax.jit(run)  # compiled whole it is ready in a tenth of the time that op after op takes
fields = {"backend": keras.backend.backend()}
for i in numbers:
    call = np.load(golden)
    output = run(call[f"pixel_values.{i}"], call[f"labels.{i}"])
    output = keras.tree.map_structure(keras.ops.convert_to_numpy, output)
    fields |= {f"{name}.{i}": output[name] for name in ("logits", "loss")}
    fields |= {f"hidden_states.{stage}@{i}": map_ for stage, map_ in enumerate(output["hidden_states"])}
    fields |= {f"attentions.{block}@{i}": weights for block, weights in enumerate(output["attentions"])}
np.savez(result, **fields)
"""
TASKS = {"hf4-seg": "TFSegformerForSemanticSegmentation", "hf4-cls": "TFSegformerForImageClassification"}


@pytest.mark.parametrize(("backend", "numbers"), [("torch", "012"), ("jax", "1")])
@pytest.mark.parametrize("name", TASKS)
def test_every_backend_gives_the_reference_numbers(name, backend, numbers, tmp_path):
    golden, result = FIXTURES / name / "golden.npz", tmp_path / "found.npz"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, FIXTURES / name, golden, result, TASKS[name], numbers],
        check=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    found, expected = np.load(result), np.load(golden)
    assert str(found["backend"]) == backend
    compared = [key for key in expected if key[-1] in numbers and not key.startswith(("pixel_values", "labels"))]
    assert len(compared) >= 6 * len(numbers) and set(compared) < set(found)
    for key in compared:
        assert relative_difference(found[key], expected[key]) < 1e-4, key
