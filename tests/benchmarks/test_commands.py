"""What scripts, pages and make name as text, where no checker looks: files, options, targets and functions."""

import ast
import re

import pytest
import typer
from reference import ROOT

from segformer_tf import cli

FOLDERS = ("benchmarks", "examples", "docs", "tests/fixtures", "tests/page")
SCRIPTS = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if "node_modules" not in path.parts]
PAGES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md") if "node_modules" not in path.parts]
TEXTS = [*SCRIPTS, *PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile"))]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
COMMANDS = typer.main.get_command(cli.app).commands
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def name_of(path):
    return str(path.relative_to(ROOT))


def options_of(script):
    """Those that the script's parser has; None where it passes on what it does not know."""
    text = script.read_text("utf-8")
    shared = re.search(r"\b(command_line|write_option)\(", text)
    text += (ROOT / "benchmarks/speed/timing.py").read_text("utf-8") if shared else ""
    return None if "parse_known_args" in text else set(re.findall(r'"(--[a-z][\w-]*)"', text))


@pytest.mark.parametrize("file", TEXTS, ids=name_of)
def test_scripts_are_named_where_they_are_with_the_options_that_they_have(file):
    for name, words in re.findall(r"([\w/.-]*\w\.py)\b([^\n`|\"#]*)", file.read_text("utf-8").replace("\\\n", " ")):
        whole = name.startswith(("benchmarks/", "examples/", "docs/", "tests/", "segformer_tf/"))
        path = ROOT / name if whole else file.parent / name
        assert path.is_file() or not whole, f"{name} is not there"
        if path in SCRIPTS and (known := options_of(path)) is not None:
            assert set(OPTION.findall(words)) <= known, f"{name}{words}"


@pytest.mark.parametrize("file", SCRIPTS, ids=name_of)
def test_scripts_call_the_command_line_as_it_is(file):
    """In each function the options in its lists are those of the commands in its lists."""
    tree = ast.parse(file.read_text("utf-8"))
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        lists = [node.elts for node in ast.walk(function) if isinstance(node, (ast.List, ast.Tuple))]
        words = [word.value for each in lists for word in each if isinstance(word, ast.Constant)]
        commands = [COMMANDS[word] for word in words if word in COMMANDS]
        known = {option for command in commands for parameter in command.params for option in parameter.opts}
        said = {word for word in words if isinstance(word, str) and OPTION.fullmatch(word)}
        assert not commands or said <= {"--help", *known}, (function.name, said - known)


@pytest.mark.parametrize("file", SCRIPTS, ids=name_of)
def test_code_that_scripts_hand_to_another_python_imports_what_there_is(file):
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for line in re.findall(r"\bfrom segformer_tf[\w.]* import [\w, ]+", node.value):
                exec(line, {})


def test_peers_are_functions_of_the_file_that_runs_them(script):
    for name, file in (("models", "model_peers"), ("training", "training_peers"), ("pictures", "picture_peers")):
        driver, peers = script(f"speed/{name}"), script(f"speed/{file}")
        asked = [*driver.PEERS, *(what.replace("-", "_") for _, what in getattr(driver, "MADE_FROM", {}).values())]
        assert [peer for peer in asked if not callable(getattr(peers, peer, None))] == []


def test_targets_that_pages_name_are_there_and_make_their_environments():
    told = set(re.findall(r"^([\w-]+):.*##", MAKEFILE, re.MULTILINE))
    phony = set(re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)[1].replace("\\\n", " ").split())
    assert told == phony
    made = set(re.findall(r"\.venv-([\w-]+)/\.made", MAKEFILE))
    assert made <= set(re.findall(r"^PACKAGES_([\w-]+) :?=", MAKEFILE, re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"(?:`|^)make ([a-z][\w-]*)", page.read_text("utf-8"), re.MULTILINE)
        assert set(named) <= told, page
