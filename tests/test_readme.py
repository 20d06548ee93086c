"""README and docs: their Python runs as it stands, their links and the files that they name are there."""

import re

import keras
import pytest
from reference import ROOT

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")]
PAGES += sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/*.md"), ROOT / "examples/README.md"])


def snippets(page):
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def test_the_snippets_of_the_readme_run(tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    try:
        for snippet in snippets(ROOT / "README.md"):
            exec(compile(snippet, "README.md", "exec"), names)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert (tmp_path / "out" / "china_overlay.png").is_file()
    assert tuple(names["outputs"].logits.shape) == (1, 32, 40, 19)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_import_what_there_is(page):
    """Snippets that need files or the Hub are not run; their imports are."""
    for snippet in snippets(page):
        compile(snippet, str(page), "exec")
        for line in re.findall(
            r"^(?:from segformer_tf\S* import [^(\n]+|import segformer_tf\S*)$", snippet, re.MULTILINE
        ):
            exec(line, {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name} links to {target}"


def test_everyday_changes_name_one_or_two_files_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8").split("## Where to change what")[1]
    rows = [line for line in text.splitlines() if line.startswith("| a")]
    assert len(rows) >= 10
    for row in rows:
        files = re.findall(r"`(segformer_tf/[^`]+)`", row)
        assert 1 <= len(files) <= 2
        for file in files:
            assert (ROOT / file).is_file(), f"docs/architecture.md names {file}"


def test_install_lines_quote_extras():
    """zsh takes unquoted brackets for a pattern."""
    for page in PAGES:
        for line in re.findall(r"pip install [^`\n]*", page.read_text("utf-8")):
            assert not re.search(r"(?<!['\"])\S*\[", line.replace("'.[", "'").replace("'segformer-tf[", "'")), line
