"""Tables find their places before anything is measured; the model alone computes as much as the others."""

import re

import numpy as np
import pytest
from reference import ROOT

NAMES = {
    name
    for file in (ROOT / "benchmarks").rglob("*.py")
    for name in re.findall(r'command_line\(__doc__, "(\w+)"', file.read_text("utf-8"))
}


@pytest.fixture
def timing(script):
    return script("speed/timing")


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_page_has_a_place_for_what_a_script_writes(timing, name):
    timing.command_line("", name, 1).parse_args(["--write"])


@pytest.mark.parametrize("name", ["speed/serving", "trust/serving"])
def test_the_other_pages_have_theirs(script, timing, name):
    module = script(name)
    timing.around(module.DOCS, module.MARKS)


@pytest.mark.parametrize("text", ["", "<!-- x -->\n", "<!-- x -->\n" * 3])
def test_a_missing_place_is_told_before_anything_is_measured(timing, text, monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(text)
    monkeypatch.setattr(timing, "PAGE", page)
    monkeypatch.setattr(timing, "ROOT", tmp_path)
    parser = timing.command_line("", "x", 1)
    with pytest.raises(SystemExit):
        parser.parse_args(["--write"])
    assert f"{page} must have the lines <!-- x --> and <!-- x -->" in capsys.readouterr().err


def test_a_table_takes_the_place_of_the_last_one_if_asked_to(timing, monkeypatch, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- x -->\nold\n<!-- x -->\nbelow\n")
    monkeypatch.setattr(timing, "PAGE", page)
    monkeypatch.setattr(timing, "ROOT", tmp_path)
    parser = timing.command_line("", "x", 1)
    timing.show(parser.parse_args([]), "new")
    assert "old" in page.read_text() and capsys.readouterr().out == "new\n"
    timing.show(parser.parse_args(["--write"]), "new")
    assert page.read_text() == "above\n<!-- x -->\nnew\n<!-- x -->\nbelow\n"


def test_figures_are_kept_in_a_folder_that_is_not_there_yet(timing, tmp_path):
    arguments = timing.command_line("", "x", 1).parse_args(["--json", str(tmp_path / "new" / "x.json")])
    timing.keep(arguments, {"a": 1})
    assert '"a": 1' in (tmp_path / "new" / "x.json").read_text()


def test_memory_that_was_not_measured_is_not_told(timing):
    row = {"ms": 2.0, "spread": [1, 3]}
    assert timing.cell(row, None, "peak_mb") == "2 ms (1 to 3)"
    assert timing.cell({**row, "peak_mb": 5}, None, "peak_mb") == "2 ms (1 to 3), 5 MB"


@pytest.mark.parametrize("count", [8, 20, 3])
def test_the_model_alone_computes_as_many_pictures_as_are_counted(timing, count):
    sizes = []
    timing.alone(lambda batch: sizes.append(len(batch)), np.zeros((8, 1)), count)
    assert sum(sizes) == count and set(sizes[:-1]) <= {8}


def test_what_is_timed_is_this_tree_whatever_the_environment_has(timing, tmp_path):
    """A linked environment, as of a worktree, has another tree installed."""
    script = tmp_path / "where.py"
    script.write_text("import segformer_tf\nprint('ready\\nanswer', segformer_tf.__path__[0], flush=True)")
    worker = timing.Worker(".venv", script)
    assert worker._line("answer") == [str(timing.ROOT / "segformer_tf")]
    worker.end()
