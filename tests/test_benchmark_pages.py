"""The places that the benchmark scripts write their tables to."""

from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


@pytest.mark.parametrize("mark", ["bench_models", "bench_training", "bench_pictures", "bench_cost"])
def test_the_page_has_a_filled_place_for_each_table(mark):
    _, table, _ = PAGE.read_text("utf-8").split(f"<!-- {mark} -->")
    assert "| --- |" in table and " ms (" in table and "## " not in table
