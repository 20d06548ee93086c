"""What is installed is what was tested: the wheel, from the source archive, holds code, weights, pages, command."""

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes

import pytest
from reference import ROOT

PYTHON = [sys.executable, "-W", "ignore"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What the repository holds, and what `make docs` leaves there."""
    source = tmp_path_factory.mktemp("packaging") / "source"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "out", "build", "dist", "tests")
    shutil.copytree(ROOT, source, ignore=ignored)
    (source / "docs/__pycache__").mkdir()
    (source / "docs/__pycache__/hooks.cpython-311.pyc").write_bytes(b"compiled")
    return source


def wheel_of(source, built):
    build = [*PYTHON, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", built, source]
    subprocess.run(build, check=True, capture_output=True)
    return zipfile.ZipFile(next(built.glob("*.whl")))


@pytest.fixture(scope="module")
def wheel(clone):
    """An sdist is made of what the repository holds, and a wheel of what the sdist holds."""
    parent, built = clone.parent, clone.parent / "built"
    subprocess.run([*PYTHON, "setup.py", "-q", "sdist", "-d", built], cwd=clone, check=True, capture_output=True)
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        archive.extractall(parent, filter="data")
    with wheel_of(next(parent.glob("segformer*tf-*")), built) as opened:
        yield opened


def test_a_wheel_of_the_clone_holds_the_same_as_one_of_the_sdist(clone, wheel):
    with wheel_of(clone, clone.parent / "of-the-clone") as opened:
        found, expected = ({file.filename: file.CRC for file in one.infolist()} for one in (opened, wheel))
    assert found == expected
    assert "segformer_tf/_docs/site.css" in found and not any("__pycache__" in name for name in found)


def test_the_wheel_holds_code_types_and_command(wheel):
    names = set(wheel.namelist())
    code = {str(file.relative_to(ROOT)) for file in (ROOT / "segformer_tf").rglob("*.py")}
    assert code | {"segformer_tf/py.typed"} <= names
    assert not any(name.startswith(("tests", "benchmarks", "examples")) for name in names)
    entry = next(name for name in names if name.endswith("entry_points.txt"))
    assert b"segformer-tf = segformer_tf.cli:main" in wheel.read(entry)


def test_the_wheel_holds_the_weights_with_their_licence(wheel):
    for directory in (ROOT / "weights").iterdir():
        inside = f"segformer_tf/_weights/{directory.name}"
        for line in (directory / "MANIFEST.sha256").read_text("utf-8").splitlines():
            digest, name = line.split()
            assert hashlib.sha256(wheel.read(f"{inside}/{name}")).hexdigest() == digest
        assert b"research use" in wheel.read(f"{inside}/LICENSE")


def test_the_wheel_holds_the_pages_that_the_readme_links_to(wheel):
    pages = set(re.findall(r"\]\(docs/([^)#]+)", (ROOT / "README.md").read_text("utf-8")))
    assert pages and {f"segformer_tf/_docs/{page}" for page in pages} <= set(wheel.namelist())


def test_the_metadata_names_licence_and_urls(wheel):
    file = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = message_from_bytes(wheel.read(file))
    urls = metadata.get_all("Project-URL")
    assert any("arxiv.org/abs/2105.15203" in url for url in urls) and not any("example" in url for url in urls)
    assert "Apache-2.0" in (metadata["License-Expression"] or metadata["License"])
    assert metadata["Description-Content-Type"].startswith("text/markdown")


def test_the_wheel_holds_the_example_photograph(wheel):
    assert wheel.read("segformer_tf/_examples/china.jpg") == (ROOT / "examples/china.jpg").read_bytes()
    assert b"CC BY" in wheel.read("segformer_tf/_examples/README.md")


def test_every_extra_is_named_where_it_is_needed():
    extras = re.search(r"\[options.extras_require\](.*?)\n\n", (ROOT / "setup.cfg").read_text("utf-8"), re.DOTALL)[1]
    names = set(re.findall(r"^(\w+) =", extras, re.MULTILINE)) - {"dev"}
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("segformer_tf/**/*.py")]
    text = "".join(file.read_text("utf-8") for file in files if file.name != "CHANGELOG.md")
    assert names and {name for name in names if not re.search(rf"\[(\w+,)*{name}(,\w+)*\]", text)} == set()
