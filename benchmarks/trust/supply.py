"""What is installed is what the repository holds: wheels byte for byte, the sdist, and a user who may not write.

    python benchmarks/trust/supply.py

Builds a wheel from two copies of the repository with other paths and times and compares the bytes; builds a wheel of
the sdist and compares that too; unpacks it into a directory without write permission and runs `segformer-tf segment`
from there as a user who is not root and has no home. Run as root, so that it can become that user.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IGNORED = shutil.ignore_patterns("__pycache__", ".*", "*.egg-info", "out", "build", "dist", "tests")
NOBODY = 65534


def build(source: Path, to: Path) -> Path:
    """A wheel of the repository in `source`."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-W", "ignore", "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", to, source], check=True, env=environment)
    return next(to.glob("*.whl"))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def interpreter(place: Path) -> Path:
    """A Python that every user may run: this one, or a copy where it lies in root's own home."""
    python = Path(sys.executable).resolve()
    if all(parent.stat().st_mode & 0o005 == 0o005 for parent in python.parents):
        return python
    base = Path(sys.base_prefix)
    shutil.copytree(base, place / "python", symlinks=True, ignore=shutil.ignore_patterns("site-packages", "test"))
    return place / "python" / python.relative_to(base)


def run_as_nobody(wheel: Path, place: Path) -> None:
    """`segformer-tf segment` with the bundled model, from a read-only directory."""
    site, out = place / "site", place / "out"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for path in [site, *site.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    out.mkdir()
    os.chown(out, NOBODY, NOBODY)
    code = "from segformer_tf.cli import main; main()"
    picture = site / "segformer_tf" / "_examples" / "china.jpg"
    environment = {
        "PYTHONPATH": f"{site}:{sysconfig.get_paths()['purelib']}",
        "HOME": "/nonexistent",
        "PATH": "/usr/bin",
    }
    command = [interpreter(place), "-W", "ignore", "-c", code, "segment", picture, "--output", out]
    place.chmod(0o755)
    subprocess.run(command, check=True, env=environment, user=NOBODY, group=NOBODY, extra_groups=[], cwd=out)
    assert (out / "china_labels.png").is_file() and (out / "china_labels.png").stat().st_uid == NOBODY


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for copy in ("a", "another/b"):
            shutil.copytree(ROOT, place / copy, ignore=IGNORED, copy_function=shutil.copy)
        wheels = [build(place / copy, place / f"wheel-{number}") for number, copy in enumerate(("a", "another/b"))]
        sdist = [sys.executable, "-W", "ignore", "setup.py", "-q", "sdist", "-d", place / "sdist"]
        subprocess.run(sdist, check=True, cwd=place / "a", capture_output=True)
        with tarfile.open(next((place / "sdist").glob("*.tar.gz"))) as archive:
            archive.extractall(place / "unpacked", filter="data")
        wheels.append(build(next((place / "unpacked").iterdir()), place / "wheel-2"))
        for wheel in wheels:
            print(f"{digest(wheel)}  {wheel.name}")
        if len({digest(wheel) for wheel in wheels}) != 1:
            sys.exit("the wheels differ")
        if os.geteuid() != 0:
            sys.exit("not run as root, so the rest was not tried: sudo it")
        run_as_nobody(wheels[0], place)
        print(f"segment ran as user {NOBODY} from read-only files")


if __name__ == "__main__":
    main()
