"""The same weights give the same numbers whichever backend Keras runs on, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import FIXTURES, relative_difference

ROOT = Path(__file__).parents[2]
RUN = """
import sys, numpy as np, keras, segformer_tf
directory, pixels, result, *task = sys.argv[1:]
call = np.load(pixels)
model = getattr(segformer_tf, task[0]).from_pretrained(directory, data_format="channels_first")
fields = {"backend": keras.backend.backend(), "parameters": model.count_params()}
for i in range(3):
    output = model(call[f"pixel_values.{i}"], labels=call[f"labels.{i}"], output_hidden_states=True, output_attentions=True)
    for name in ("logits", "loss"):
        fields[f"{name}.{i}"] = keras.ops.convert_to_numpy(output[name])
    for stage, map_ in enumerate(output.hidden_states):
        fields[f"hidden_states.{stage}@{i}"] = keras.ops.convert_to_numpy(map_)
    if i == 0:
        for block, weights in enumerate(output.attentions):
            fields[f"attentions.{block}@0"] = keras.ops.convert_to_numpy(weights)
np.savez(result, **fields)
"""
TASKS = {"hf4-seg": "TFSegformerForSemanticSegmentation", "hf4-cls": "TFSegformerForImageClassification"}


@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("name", TASKS)
def test_every_backend_gives_the_reference_numbers(name, backend, tmp_path):
    golden = FIXTURES / name / "golden.npz"
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, FIXTURES / name, golden, tmp_path / "found.npz", TASKS[name]],
        check=True,
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    found, expected = np.load(tmp_path / "found.npz"), np.load(golden)
    assert str(found["backend"]) == backend
    compared = [key for key in expected if not key.startswith(("pixel_values", "labels"))]
    assert len(compared) > 20 and set(compared) < set(found)
    for key in compared:
        assert relative_difference(found[key], expected[key]) < 1e-4, key
