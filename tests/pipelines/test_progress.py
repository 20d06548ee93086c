"""How far the work is, said in a notebook in one line."""

import io
import sys
import time
import types

import pytest

from segformer_tf.pipelines import progress
from segformer_tf.training.console import Console


@pytest.fixture
def notebook(monkeypatch):
    """What a notebook's page would show: a list for each display, of all its texts."""
    displays = []

    class Handle:
        def __init__(self, texts):
            self.texts = texts

        def update(self, data, raw):
            self.texts.append(data["text/plain"])

    def display(data, raw, display_id):
        displays.append([data["text/plain"]])
        return Handle(displays[-1])

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    return displays


def test_only_a_kernel_s_shell_is_a_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not progress.in_notebook()
    shell = types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert not progress.in_notebook(), "IPython on a terminal"
    shell.kernel = object()
    assert progress.in_notebook()


def test_one_line_counts_pictures_and_ends_with_all_of_them(notebook, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS", 0)
    assert list(progress.tracked(iter("abc"), 3)) == ["a", "b", "c"]
    (texts,) = notebook
    assert [text.partition(",")[0] for text in texts] == [f"{n} of 3 pictures" for n in (1, 2, 3, 3)]
    assert "s left" in texts[1] and "s left" not in texts[-1] and "pictures/s" in texts[-1]


def test_the_line_is_not_written_more_often_than_one_can_read(notebook):
    list(progress.tracked(range(1000), None))
    (texts,) = notebook
    assert len(texts) <= 4 and texts[-1].startswith("1000 pictures, ")


def test_one_picture_and_a_pipe_need_no_bar(notebook, monkeypatch, capsys):
    list(progress.tracked("a", 1))
    assert notebook == []
    monkeypatch.delitem(sys.modules, "IPython")
    list(progress.tracked("abc", 3))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_with_pictures_a_second_and_the_time_left(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    monkeypatch.setattr(sys, "stderr", Terminal())
    for _ in progress.tracked(range(4), 4):
        time.sleep(0.15)  # the bar is drawn ten times a second
    shown = sys.stderr.getvalue()
    assert "Pictures" in shown and "4/4" in shown and "pictures/s, 0 s left" in shown


def test_a_run_in_a_notebook_speaks_on_stdout_and_moves_one_line(notebook, capsys):
    console = Console()
    with console.running(0, 30):
        console.step(10, 0.5, 1e-3, None)
        console.line("[validation] of three pictures")
        console.step(30, 0.25, 1e-3, 0.5)
    assert capsys.readouterr() == ("[validation] of three pictures\n", "")
    (texts,) = notebook
    assert texts[0].startswith("step 10 of 30  loss 0.5000  rate 1.00e-03  0 s left")
    assert texts[-1] == "step 30 of 30  loss 0.2500  rate 1.00e-03  score 0.5000"


def test_the_rate_is_since_the_start_and_long_times_are_hours_and_minutes():
    assert progress._rate_and_rest(0, 60, 0.0, "pictures") == ""
    assert progress._rate_and_rest(8, 60, 4.0, "pictures") == "2.0 pictures/s, 26 s left"
    assert progress._rate_and_rest(8, 9000, 4.0, "pictures") == "2.0 pictures/s, 1:14:56 left"
    assert progress._rate_and_rest(60, 60, 30.0, "frames") == "2.0 frames/s"
