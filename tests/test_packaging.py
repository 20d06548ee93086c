"""What is installed is what was tested: the wheel holds the code, the bundled weights and the command."""

import hashlib
import shutil
import subprocess
import sys
import zipfile

from reference import ROOT


def test_the_wheel_holds_code_weights_and_command(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("setup.py", "setup.cfg", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    for name in ("segformer_tf", "weights"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        tmp_path,
        source,
    ]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        assert {"segformer_tf/models/tasks.py", "segformer_tf/cli/__main__.py"} <= names
        entry = next(name for name in names if name.endswith("entry_points.txt"))
        assert b"segformer-tf = segformer_tf.cli:main" in wheel.read(entry)
        for directory in (ROOT / "weights").iterdir():
            for line in (directory / "MANIFEST.sha256").read_text().splitlines():
                digest, name = line.split()
                data = wheel.read(f"segformer_tf/_weights/{directory.name}/{name}")
                assert hashlib.sha256(data).hexdigest() == digest
