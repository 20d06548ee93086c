"""The suite's own environment: whatever the caller has set, tests and the processes that they start see the same."""

import os
import subprocess
import sys

import pytest
from reference import ROOT

CALLERS = {
    "HF_HUB_OFFLINE": "1",
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "HF_TOKEN": "secret",
    "KERAS_BACKEND": "jax",
    "KERAS_HOME": "/nowhere",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "1",
    "NO_COLOR": "1",
    "FORCE_COLOR": "1",
    "GITHUB_ACTIONS": "true",
    "COLUMNS": "20",
    "LANG": "tr_TR.ISO-8859-9",
    "LC_ALL": "C",
    "PYTHONWARNINGS": "ignore",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
}


def test_a_test_and_its_processes_see_the_suites_settings(tmp_path):
    code = "import os, sys; os.close(os.open(sys.argv[1], os.O_CREAT, 0o666)); print(dict(os.environ))"
    command = [sys.executable, "-c", code, tmp_path / "new"]
    in_process = eval(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    for environment in (os.environ, in_process):
        left = {name for name, value in CALLERS.items() if environment.get(name) == value}
        assert not left and environment["KERAS_BACKEND"] == "tensorflow"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o644


@pytest.mark.long
def test_a_worker_of_the_suite_passes_in_an_odd_environment():
    """The test above and one that asks the Hub, in a process of pytest-xdist."""
    tests = [
        "tests/test_environment.py::test_a_test_and_its_processes_see_the_suites_settings",
        "tests/storage/test_find.py::test_the_endpoint_and_offline_variables_of_the_environment_are_honoured",
    ]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "1", *tests]
    environment = {**os.environ, **CALLERS}
    done = subprocess.run(command, cwd=ROOT, env=environment, umask=0o077, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
