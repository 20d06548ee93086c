"""The attacks of benchmarks/trust find what they look for, and scripts say what they lack before they work."""

import json
import subprocess
import sys

import pytest
from reference import ROOT


def test_a_run_s_state_that_is_of_another_step_is_found(script, tmp_path):
    kills = script("trust/kills")
    kills._save_state(tmp_path, 1)
    kills._load_state(tmp_path)
    kills.state.save(tmp_path, kills._model(1), {"step": 2})
    with pytest.raises(AssertionError, match="a mix"):
        kills._load_state(tmp_path)


def test_fuzzing_makes_the_folder_of_its_progress(tmp_path):
    file = tmp_path / "new" / "fuzz.json"
    command = [sys.executable, ROOT / "benchmarks/trust/fuzz.py", "--inputs", "1", "--readers", "config"]
    ran = subprocess.run([*command, "--progress", file], capture_output=True, text=True)
    assert ran.returncode == 0 and file.is_file(), ran.stderr


@pytest.mark.filterwarnings("ignore:The configuration of .* is read off its tensors")
def test_every_reader_reads_the_valid_file_that_is_mutated(script, tmp_path):
    for name, reader in script("trust/fuzz").READERS.items():
        (tmp_path / name).mkdir()
        reader.read(reader.write(tmp_path / name))


def test_a_valid_file_that_is_refused_is_told_and_not_a_crash(script, tmp_path, capsys, monkeypatch):
    def refuse(file):
        raise ValueError("a stage is missing")

    fuzz = script("trust/fuzz")
    monkeypatch.setitem(fuzz.READERS, "config", fuzz.READERS["config"]._replace(read=refuse))
    progress = tmp_path / "fuzz.json"
    monkeypatch.setattr(sys, "argv", ["x", "--inputs", "2", "--readers", "config", "--progress", str(progress)])
    assert fuzz.main() == 1
    assert "1 x the valid file is not read: ?: a stage is missing" in capsys.readouterr().out
    assert json.loads(progress.read_text())["config"]["inputs"] == 0


@pytest.mark.parametrize("name", ["serving", "runtimes"])
def test_agreement_says_that_there_are_no_pictures_before_it_exports(script, name, monkeypatch, tmp_path):
    module = script(f"agreement/{name}")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it exported"))
    monkeypatch.setattr(sys, "argv", ["x", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="has no images/val"):
        module.main()
