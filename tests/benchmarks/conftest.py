"""How the tests of this folder load scripts of benchmarks/."""

import importlib.util
import os
import sys

import pytest
from reference import ROOT

SCRIPTS = ROOT / "benchmarks"


@pytest.fixture
def script(monkeypatch, tmp_path):
    """A script as a module, of "speed/gpu"; what it keeps goes to tmp_path/bench."""
    modules, environment = set(sys.modules), dict(os.environ)
    monkeypatch.syspath_prepend(SCRIPTS / "speed")
    import timing

    monkeypatch.setattr(timing, "OUT", tmp_path / "bench")

    def load(name):
        spec = importlib.util.spec_from_file_location(name.replace("/", "_"), SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(SCRIPTS)):
            del sys.modules[name]
    os.environ.clear()
    os.environ.update(environment)
