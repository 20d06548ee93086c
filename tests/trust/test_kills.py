"""The short form of benchmarks/trust/kills.py: a kill at any moment of a save leaves the old files or the new ones."""

import subprocess
import sys

import pytest
from reference import ROOT

SCRIPT = ROOT / "benchmarks" / "trust" / "kills.py"
CODE = f"""
import random, sys, time
sys.path.insert(0, {str(SCRIPT.parent)!r})
import kills

def in_place(directory, version):
    directory.mkdir(exist_ok=True)
    for number in range(200):
        (directory / f"{{number}}.txt").write_text(str(version))
        time.sleep(0.002)  # a quick disk writes them all before the first kill

mixed = kills.attack(kills.Case(in_place), 20, random.Random(0))
assert mixed["bad"] > 0, mixed  # the attack finds a save that is none
sys.argv += ["--kills", "36", "--race", "0.3"]
sys.exit(kills.main())
"""


@pytest.mark.long
def test_kills_and_two_savers_leave_the_old_files_or_the_new_ones(tmp_path):
    run = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in run.stdout.splitlines() if "|" in line]
    together = next(row for row in rows if row[0] == "**together**")
    assert together[1] == "36" and together[-1] == "0" and int(together[2]) + int(together[3]) == 36
