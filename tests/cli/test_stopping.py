"""Ctrl-C while the program waits for threads."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from segformer_tf.cli.stopping import stop_if_asked, stoppable

WAITS = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from segformer_tf.cli import stopping
stopping.SECONDS = 0.1
with stopping.stoppable(), ThreadPoolExecutor() as pool:
    pool.submit(time.sleep, 60)
    print("waits", flush=True)
    time.sleep(60)
"""


def test_it_is_said_that_the_work_is_finished_first_and_a_second_ctrl_c_ends_at_once():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", WAITS]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment) as process:
        assert process.stdout.readline() == "waits\n"
        process.send_signal(signal.SIGINT)
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)[1]
    assert "Ctrl-C again ends at once" in said
    assert (process.returncode, rest) == (130, "")


def test_others_who_answer_ctrl_c_still_do():
    before = signal.getsignal(signal.SIGINT)
    with stoppable():
        pass
    assert signal.getsignal(signal.SIGINT) is before
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_first_ctrl_c_is_an_interrupt():
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), stoppable():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_library_makes_of_a_ctrl_c_is_still_an_interrupt():
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt), stoppable():
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise RuntimeError("Check failed: KeyboardInterrupt, at a.cpp:1") from None
        with pytest.raises(KeyboardInterrupt):  # as `benchmark` asks, which goes on after errors
            stop_if_asked()
    finally:
        signal.signal(signal.SIGINT, before)
    with stoppable():
        stop_if_asked()


def test_a_command_ends_so_with_status_130(call, monkeypatch):
    from segformer_tf.pipelines import exported

    def interrupted(*_):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise RuntimeError("Check failed") from None

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(exported, "exported_file", interrupted)
    try:
        status, _, said = call("benchmark", "segformer-b0-camvid")
    finally:
        signal.signal(signal.SIGINT, before)
    assert (status, said) == (130, "")
