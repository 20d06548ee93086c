"""Locks on directories."""

import os

import pytest

from segformer_tf.storage import locks


def test_readers_share_a_directory_and_keep_out_who_wants_it_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.05)
    with locks.locked(tmp_path, alone=False), locks.locked(tmp_path, alone=False):
        assert locks.hold(tmp_path) == (False, None)
        with pytest.raises(OSError, match=f"Another program has held {tmp_path} for"), locks.locked(tmp_path, True):
            pass
    free, handle = locks.hold(tmp_path)
    assert free
    os.close(handle)


def test_nobody_waits_for_a_directory_that_is_gone_or_a_system_without_locks(tmp_path, monkeypatch):
    with locks.locked(tmp_path / "gone", alone=True):
        pass
    monkeypatch.setattr(locks, "fcntl", None)
    with locks.locked(tmp_path, alone=True), locks.locked(tmp_path, alone=True):
        assert locks.hold(tmp_path) == (True, None)
