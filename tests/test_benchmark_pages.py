"""The places that the benchmark scripts write their tables to."""

import runpy
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@pytest.mark.parametrize("mark", ["bench_models", "bench_training", "bench_pictures", "bench_cost"])
def test_the_page_has_a_filled_place_for_each_table(mark):
    _, table, _ = PAGE.read_text("utf-8").split(f"<!-- {mark} -->")
    assert "| --- |" in table and " ms (" in table and "## " not in table


def test_the_pictures_show_the_tables():
    plots = runpy.run_path(str(PAGE.parents[1] / "benchmarks" / "plots.py"))
    for file, content in plots["pictures"]().items():
        assert file.read_text("utf-8") == content, f"{file.name} is older than the tables: run benchmarks/plots.py"
        assert file.name in PAGE.read_text("utf-8")
        assert content.count("<rect") + content.count("<circle") > 8
