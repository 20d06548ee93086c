"""transformers' PyTorch names on Keras' PyTorch backend, beside transformers itself, in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = Path(__file__).parent / "on_torch.py"


CHECKS = ["segmentation", "classification", "encoder_and_head", "training", "keras_methods", "copies"]


@pytest.mark.parametrize("check", CHECKS)
def test_under_the_torch_backend(check):
    environment = {**os.environ, "KERAS_BACKEND": "torch", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-W", "ignore", CODE, check], check=True, env=environment)


def test_under_another_backend_the_import_says_what_to_do():
    code = (
        "try:\n    from segformer_tf import SegformerModel\n"
        "except ImportError as error:\n    assert 'KERAS_BACKEND=torch' in str(error), error\n"
        "else:\n    raise SystemExit('imported')"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT, env=environment)
