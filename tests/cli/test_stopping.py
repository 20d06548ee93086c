"""Ctrl-C and SIGTERM, at work and while the program waits for threads."""

import os
import signal
import subprocess
import sys

import pytest
from reference import ROOT

from segformer_tf.cli.stopping import leave_to_the_system, stop_if_asked, stoppable

EXAMPLE = ROOT / "examples" / "china.jpg"

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


@pytest.fixture(autouse=True)
def same_signals_afterwards():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "name", "status"), [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)]
)
def test_it_is_said_that_the_work_is_finished_first_and_a_second_signal_ends_at_once(number, name, status):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", WAITS]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, env=environment) as process:
        assert process.stdout.readline() == "waits\n"
        process.send_signal(number)
        said = process.stderr.readline()
        process.send_signal(number)
        rest = process.communicate(timeout=20)[1]
    assert f"{name} again ends at once" in said
    assert (process.returncode, rest) == (status, "")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_takes_the_empty_output_along(tmp_path, number, status):
    """As `segment` is loading its model: `options.directory_for` has made the directory."""
    code = (
        "import signal\n"
        "from segformer_tf.cli import main, pictures\n"
        f"pictures.load_pipeline = lambda *_, **__: signal.raise_signal({int(number)})\n"
        f"main(['segment', {str(EXAMPLE)!r}, '--output', {str(tmp_path / 'a' / 'b')!r}])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")
    assert not list(tmp_path.iterdir())


def test_ignored_signals_stay_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with stoppable():
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert callable(signal.getsignal(signal.SIGTERM))
        leave_to_the_system()  # as `train` does among several workers
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_is_an_interrupt(number):
    with pytest.raises(KeyboardInterrupt), stoppable():
        signal.raise_signal(number)


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
    from segformer_tf.pipelines.runtimes import exported

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
