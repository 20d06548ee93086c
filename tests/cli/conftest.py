"""How the tests of this folder call commands."""

import subprocess
import sys

import pytest

from segformer_tf import cli


@pytest.fixture
def call(capsys, monkeypatch):
    """Runs a command in this process -> (exit status, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main(list(map(str, arguments)))
        return ended.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def run():
    """Runs a command in a process of its own."""

    def run(*arguments, **options):
        command = [sys.executable, "-m", "segformer_tf.cli", *map(str, arguments)]
        options = {"capture_output": True, "text": True, **options}
        return subprocess.run(command, **options)

    return run


@pytest.fixture
def data(tmp_path):
    """Two pictures a split, of the drives a and b."""
    from small_data import write_drives

    root = tmp_path / "data"
    write_drives(root)
    return root


@pytest.fixture
def model(tmp_path):
    """A tiny one, in a directory."""
    from small_data import tiny_network

    tiny_network().save_pretrained(tmp_path / "model")
    return tmp_path / "model"
