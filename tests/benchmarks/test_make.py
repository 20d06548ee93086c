"""Targets and .ci/run do what they say on a fresh clone."""

import os
import re
import subprocess

import pytest
from reference import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def recipe(target):
    """(prerequisites, commands) of a target."""
    found = re.search(rf"^{target}: (.*?)  ##.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    return found[1], found[2]


def test_what_draws_has_matplotlib():
    needs, commands = recipe("camvid")
    assert "--diagram" in commands and needs == ".venv/.dev"


def test_tables_are_drawn_though_a_start_is_too_slow():
    _, commands = recipe("bench")
    assert commands.index("plots.py") < commands.index("start.py")


@pytest.mark.parametrize("there", [True, False])
def test_ci_says_which_targets_do_not_run_without_camvid(tmp_path, there):
    for name in ("make", "npm", "chromium", "timeout"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 0\n")
        (tmp_path / name).chmod(0o755)
    if there:
        (tmp_path / "camvid/images/val").mkdir(parents=True)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CAMVID": str(tmp_path / "camvid")}
    ran = subprocess.run([ROOT / ".ci/run"], env=environment, check=True, capture_output=True, text=True)
    left = re.findall(r"make (\S+): NOT RUN, there is no CamVid", ran.stdout)
    using = {target for target in re.findall(r"^make ([\w-]+): \d", ran.stdout, re.MULTILINE)} | set(left)
    takes = {target for target in using if "$(CAMVID)" in MAKEFILE.split(f"\n{target}: ")[-1].split("\n\n")[0]}
    assert set(left) == (set() if there else takes) and takes == {"serving", "runtimes", "keras-io", "agreement"}
