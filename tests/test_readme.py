"""README and docs: their Python runs as it stands, their links and the files that they name are there."""

import re
import shlex

import keras
import pytest
import typer
import yaml
from pages import blocks, shell_lines
from reference import ROOT

from segformer_tf import cli

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")]
PAGES += sorted([*(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*/*.md"), ROOT / "examples/README.md"])
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))


def snippets(page):
    return blocks(page.read_text("utf-8"), "python")


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


@pytest.mark.parametrize("name", ["index", "concepts", "how-to"])
def test_the_snippets_of_a_page_run_and_give_what_their_last_lines_say(name, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names, said = {}, 0
    for snippet in snippets(ROOT / "docs" / f"{name}.md"):
        exec(compile(snippet, name, "exec"), names)
        for line, value in re.findall(r"^([^\n=]+?)  # ([\[(].*[\])])$", snippet, re.MULTILINE):
            found = eval(line, names)
            assert repr(tuple(found) if hasattr(found, "as_list") else found) == value, line
            said += 1
    assert said


def command_lines(page):
    """The `segformer-tf` lines of a page's blocks of commands, without comments, redirections and pipes."""
    for line in shell_lines(page.read_text("utf-8")):
        if call := re.search(r"(?:^|\| )segformer-tf (.*)", line):
            words = shlex.split(call[1], comments=True)
            yield line, words[: next((i for i, word in enumerate(words) if word in ("<", ">", "|", "&")), None)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_have_the_options_that_a_page_gives_them(page):
    commands = typer.main.get_command(cli.app).commands
    found = list(command_lines(page))
    assert len(found) == len(re.findall(r"^(?:.* \| )?segformer-tf ", page.read_text("utf-8"), re.MULTILINE))
    for line, (name, *words) in found:
        if name.startswith("--"):
            continue
        assert name in commands, line
        commands[name].make_context(name, cli._several_values([name, *words])[1:], resilient_parsing=True)
        known = {option for parameter in commands[name].params for option in parameter.opts} | {"--help", "--debug"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, line


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
        if target.startswith("notebooks/"):  # pages of the site, made of the notebooks
            target = f"../examples/{target.replace('.md', '.ipynb')}"
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


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: str(page.relative_to(ROOT)))
def test_install_lines_work_in_a_clone(page):
    """The package is on no index; the sentence that says so names what messages say."""
    text = page.read_text("utf-8").replace("Where a message says `pip install 'segformer-tf[serve]'`", "")
    assert re.findall(r"pip install [^`\n]*segformer-tf\b[^`\n]*", text) == []


def test_the_site_names_pages_that_there_are_and_asks_no_other_host():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    pages = [page for page in _leaves(site["nav"]) if not page.startswith("notebooks/")]
    known = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert set(pages) <= known and len(known - set(pages)) < 3, known - set(pages)
    assert site["strict"] and site["theme"]["font"] is False and site["extra"] == {"generator": False}
    notebooks = {f"notebooks/{file.stem}.md" for file in (ROOT / "examples/notebooks").glob("*.ipynb")}
    assert notebooks == set(_leaves(site["nav"])) - set(pages)


def _leaves(part):
    if isinstance(part, str):
        return [part]
    return [page for each in (part.values() if isinstance(part, dict) else part) for page in _leaves(each)]


def test_every_picture_of_the_pages_is_made_by_a_script_that_names_it():
    scripts = [file for name in ("docs", "benchmarks", "tests") for file in (ROOT / name).rglob("*.py")]
    said = "".join(file.read_text("utf-8") for file in [*scripts, ROOT / "docs/architecture.md"])
    for picture in sorted((ROOT / "docs").rglob("*")):
        if picture.suffix in (".png", ".jpg", ".svg"):
            assert str(picture.relative_to(ROOT / "docs")) in said, picture
