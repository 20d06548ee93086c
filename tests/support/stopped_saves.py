"""A save that was stopped half-way."""

import os

import pytest

from segformer_tf.storage import whole


def cut_off(directory, monkeypatch):
    """A save of two files over two others that is stopped as the first of them has moved up."""
    with whole.staged(directory) as stage:
        (stage / "a").write_text("old")
        (stage / "b.json").write_text("old")
    real, steps = os.replace, iter(range(9))

    def replace(*paths):
        if next(steps) == 2:
            raise KeyboardInterrupt
        real(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(KeyboardInterrupt), whole.staged(directory, lambda: ["c"]) as stage:
            (stage / "a").write_text("new")
            (stage / "b.json").write_text("new")
    assert (directory / "b.json").read_text() == "old"
