"""The same weights give the same numbers whichever backend Keras runs on; two devices learn what one does."""

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
        assert relative_difference(found[key], expected[key]) < 1e-5, key  # 3e-6 is reached


FIT = """
import os, sys
result, devices = sys.argv[1], int(sys.argv[2])
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
import numpy as np, keras, jax
from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
assert len(jax.devices()) == devices and keras.backend.backend() == "jax"
if devices > 1:
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=keras.distribution.list_devices()))
keras.utils.set_random_seed(1)
rates = dict.fromkeys(("drop_path_rate", "classifier_dropout_prob"), 0.0)
sizes = {"num_encoder_blocks": 2, "depths": [1, 1], "hidden_sizes": [8, 16], "decoder_hidden_size": 16}
sizes |= {"sr_ratios": [2, 1], "patch_sizes": [7, 3], "strides": [4, 2], "num_attention_heads": [1, 2]}
config = SegformerConfig(**sizes, mlp_ratios=[2, 2], num_labels=3, **rates)
model = TFSegformerForSemanticSegmentation(config, data_format="channels_last")
model.compile()
random = np.random.default_rng(0)
pictures, labels = random.normal(size=(24, 32, 64, 3)).astype("f4"), random.integers(0, 3, (24, 32, 64))
labels[:5] = 255
model.fit(pictures, labels, batch_size=4, epochs=1, shuffle=False, verbose=0)
np.savez(result, **{variable.path: np.asarray(variable) for variable in model.weights})
model.compile()  # Keras builds anew, by dictionaries as they come
batch = {"pixel_values": pictures[:4], "labels": labels[:4], "name": np.zeros(4)}
assert np.isfinite(model.fit(batch, batch_size=4, verbose=0).history["loss"]).all()
"""


def test_two_devices_of_jax_learn_what_one_does(tmp_path):
    """`fit` under Keras' own `DataParallel`: BatchNorm's statistics and the loss are those of the whole batch."""
    found = []
    for devices in (1, 2):
        result = tmp_path / f"{devices}.npz"
        environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-W", "ignore", "-c", FIT, result, str(devices)]
        subprocess.run(command, check=True, cwd=ROOT, env=environment)
        found.append(np.load(result))
    one, two = found
    assert set(one) == set(two) and len(one) > 40
    assert (one["decode_head/batch_norm/moving_variance"] < 0.9).all(), "the statistics are not learnt"
    for name in one:  # a bias that BatchNorm takes out again is of rounding alone, 4e-8
        assert np.abs(two[name] - one[name]).max() < 1e-4 * max(np.abs(one[name]).max(), 1e-3), name
