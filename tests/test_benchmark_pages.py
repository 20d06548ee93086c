"""The places that the benchmark scripts write their tables to, and the pictures drawn from them."""

import re
import runpy
import sys

import pytest
from PIL import Image
from reference import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


def cells(mark, head, row):
    """{column: cell} of the first row that begins so, in the table that begins so, between two marks of the page."""
    place = PAGE.read_text("utf-8").split(f"<!-- {mark} -->")[1]
    names, _, *rows = place[place.index(head) :].split("\n\n|  |")[0].splitlines()
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in (names, *rows)]
    return dict(zip(split[0], next(line for line in split[1:] if line[0] == row), strict=True))


def milliseconds(mark, head, row):
    return {name: int(cell.split()[0]) for name, cell in cells(mark, head, row).items() if re.match(r"\d+ ms", cell)}


def said(page, text):
    """The numbers that a sentence of a page names; `#` stands for each."""
    pattern = re.escape(text).replace(r"\#", r"([\d.,]*\d)")
    found = re.search(pattern, " ".join((ROOT / page).read_text("utf-8").split()))
    assert found, f"{page} does not say {text!r}"
    return [float(number.replace(",", "")) for number in found.groups()]


SQUARE = "|  | b0 | b2 | b5 |"


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


def test_every_page_says_that_as_many_labels_differ_from_transformers():
    """101 pictures of 480 x 360."""
    (pixels,) = said("docs/benchmarks.md", "all of the # pixels but two have the same label")
    assert pixels == 101 * 480 * 360
    for page, text in (
        ("README.md", "(of # million pixels two differ: `make agreement IMAGES=`)"),
        ("docs/faq.md", "two labels of # million differ (`make agreement IMAGES=`;"),
    ):
        assert said(page, text) == [round(pixels / 1e6, 1)]


def test_the_fastest_way_is_as_fast_as_the_tables_say():
    saved, openvino = "segformer_tf, SavedModel", "segformer_tf's export in OpenVINO"
    ours, files = (milliseconds("models", SQUARE, row) for row in (saved, openvino))
    factors = [round(ours[name] / files[name], 1) for name in ours]
    least, most, half, double = said(
        "docs/benchmarks.md", "# to # times as fast as the SavedModel, in bfloat16 # to # times"
    )
    assert [least, most] == [min(factors), max(factors)]
    bfloat16 = PAGE.read_text("utf-8").split("bfloat16**")[1].split("| " + openvino + " |")[1].splitlines()[0]
    times = [int(ms) for ms in re.findall(r"(\d+) ms \(", bfloat16)]
    factors = [ours[name] / ms for name, ms in zip(("b0", "b2", "b5"), times, strict=True)]
    assert [half, double] == [round(min(factors), 1), round(max(factors), 1)]
    shares = [files[name] / ours[name] for name in ours]
    assert said("docs/benchmarks.md", "The OpenVINO file takes # to # of that.") == [
        round(min(shares), 1),
        round(max(shares), 1),
    ]


def test_training_takes_the_memory_that_the_table_says():
    peaks = cells(
        "training", "|  | b2-512-1", "transformers 5 PyTorch, eager: peak memory, ours over it (aim at most 0.65)"
    )
    found = sorted(float(cell) for cell in list(peaks.values())[1:])
    assert said("docs/training.md", "its process # to # of the memory") == [found[0], found[-1]]


def test_attention_is_most_of_the_work_from_the_sizes_that_are_said():
    text = "Attention is most of the work from # x # on with b0, from # x # on with b2."
    first, _, second, _ = map(int, said("docs/pictures.md", text))
    table = PAGE.read_text("utf-8").split("<!-- cost -->")[1]
    for model, size in (("b0", first), ("b2", second)):
        shares = {
            int(side): int(share) for side, share in re.findall(rf"{model}, (\d+)x\d+ \| [\d.]+ \| (\d+)%", table)
        }
        assert min(side for side, share in shares.items() if share > 50) == size


def test_core_hours_become_days():
    hours, days, more, cores = said("docs/scale.md", "| # | 850 TB | 56 TB | # days; # at # cores |")
    assert round(hours / 100 / 24, -1) == days and round(hours / cores / 24, 1) == more


def test_the_figures_of_the_hostile_hour_are_what_the_script_writes(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = runpy.run_path(str(ROOT / "benchmarks" / "trust" / "serving.py"))
    result = dict.fromkeys(("seconds", "good", "right", "refused", "hostile", "median_mb", "peak_mb", "stop_s"), 1)
    text = (ROOT / "docs" / "security.md").read_text("utf-8")
    begin, end = script["MARKS"]
    written, shown = script["table"](result | {"good": 2, "growth": -0.01}), text.split(begin)[1].split(end)[0].strip()
    assert re.sub(r"[\d.]+", "#", shown) == re.sub(r"[\d.]+", "#", written)
    assert '"gzip of 1 GB"' in (ROOT / "benchmarks/trust/serving.py").read_text("utf-8") and "a gzip of 1 GB," in text
