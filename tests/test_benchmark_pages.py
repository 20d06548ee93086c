"""The places that the benchmark scripts write their tables to, and the pictures drawn from them."""

import runpy

import pytest
from PIL import Image
from reference import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


@pytest.mark.parametrize("mark", ["models", "training", "pictures", "cost"])
def test_the_page_has_a_filled_place_for_each_table(mark):
    _, table, _ = PAGE.read_text("utf-8").split(f"<!-- {mark} -->")
    assert "| --- |" in table and " ms (" in table and "## " not in table


def test_the_pictures_show_the_tables():
    """Each file names the figures that it was drawn from."""
    plots = runpy.run_path(str(ROOT / "benchmarks" / "speed" / "plots.py"))
    drawn = plots["figures"]()
    for file, (shown, _) in drawn.items():
        assert Image.open(file).text["Description"] == repr(shown), f"{file.name} is old: run benchmarks/speed/plots.py"
        assert file.name in PAGE.read_text("utf-8")
    by_library, by_side = (shown for shown, _ in drawn.values())
    assert len(by_library["b0"]) > 8 and len(by_side["b0"]) > 3


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").rglob("*.py")), ids=lambda file: file.stem)
def test_every_benchmark_is_named_in_the_readme(file):
    assert file.name in (ROOT / "benchmarks" / "README.md").read_text("utf-8")
