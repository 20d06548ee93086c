"""`examples/demo`: what a Space and a container are made of fits together."""

import configparser
import importlib.util
import re

import pytest
import yaml
from reference import ROOT

DEMO = ROOT / "examples" / "demo"


@pytest.fixture
def app():
    spec = importlib.util.spec_from_file_location("app", DEMO / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_spaces_header_names_the_app_and_a_gradio_that_fits():
    header = yaml.safe_load((DEMO / "README.md").read_text("utf-8").split("---")[1])
    assert header["sdk"] == "gradio" and (DEMO / header["app_file"]).is_file()
    assert header["sdk_version"].startswith("6.") and header["python_version"] in ("3.10", "3.11", "3.12", "3.13")
    assert len(header["short_description"]) <= 60  # the Hub takes no longer one


def test_the_spaces_requirements_are_the_packages_own():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = [setup["options"]["install_requires"], setup["options.extras_require"]["demo"]]
    lines = (DEMO / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == "".join(wanted).strip().splitlines()


def test_what_the_dockerfile_copies_is_there_and_not_ignored():
    copied = re.findall(r"^COPY (.*) \S+$", (DEMO / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    names = [name for line in copied for name in line.split()]
    kept = (DEMO / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert len(names) >= 10
    for name in names:
        assert (ROOT / name).exists() and f"!{name}" in kept, name


def test_the_archive_for_the_space_holds_what_the_page_needs():
    text = (DEMO / "README.md").read_text("utf-8")
    (named,) = re.findall(r"git archive --prefix=segformer-tf/ HEAD (.*) \| tar", text)
    assert {"segformer_tf", "weights", "examples/china.jpg"} == set(named.split())


def test_the_app_serves_the_models_that_are_named_to_everyone(app, monkeypatch):
    from segformer_tf import cli

    called = []
    monkeypatch.setattr(cli, "main", called.append)
    monkeypatch.setattr(app, "MODELS", ["a/b", "c"])
    app.main()
    assert called == [["demo", "--host", "0.0.0.0", "--port", "7860", "--model", "a/b", "--model", "c"]]
