"""Directories and object stores: whole files, patience, no secrets."""

import errno
import uuid

import pytest

from segformer_tf.batch import store
from segformer_tf.batch.store import Store, StoreError


@pytest.fixture(params=["directory", "memory"])
def place(request, tmp_path):
    return Store(tmp_path / "out" if request.param == "directory" else f"memory://{uuid.uuid4().hex}", patience=2)


def test_what_is_put_is_there_and_replaced(place):
    place.put("index/a.parquet", b"1")
    place.put("index/a.parquet", b"22")
    place.put("index/b.parquet", b"3")
    assert place.get("index/a.parquet") == b"22" and place.get("index/c.parquet") is None
    assert place.names("index") == {"a.parquet", "b.parquet"} and place.names("masks") == set()


def test_a_store_that_goes_away_and_comes_back_is_waited_for(monkeypatch):
    monkeypatch.setattr(store, "FIRST_PAUSE", 0.001)
    tries = iter([TimeoutError("gone"), ConnectionError("gone"), None])

    def put():
        if error := next(tries):
            raise error
        return "there"

    assert store.again(put, patience=5) == "there"


def test_a_store_that_stays_away_is_told_without_its_secrets(monkeypatch):
    url = "s3://key:SECRET@bucket/out"

    def away(path, data):
        raise ConnectionError(f"cannot reach {path} with SECRET and OTHER")

    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "OTHER")
    monkeypatch.setattr(store, "_put", away)
    with pytest.raises(StoreError, match=r"s3://\*\*\*@bucket/out/a.png could not be written .*start again") as told:
        Store(url, patience=0).put("a.png", b"1")
    assert not {"SECRET", "OTHER"} & set(str(told.value).replace("@", " ").split()) and "SECRET" not in str(told.value)
    assert told.value.__cause__ is None and "SECRET" not in repr(Store(url))


def test_a_relative_place_stays_where_it_was_meant_whatever_directory_a_worker_runs_in(tmp_path, monkeypatch):
    (tmp_path / "worker").mkdir()
    monkeypatch.chdir(tmp_path)
    place = Store("out/")
    monkeypatch.chdir(tmp_path / "worker")
    place.put("masks/a.png", b"1")
    assert (tmp_path / "out/masks/a.png").read_bytes() == b"1" and place.names("masks") == {"a.png"}
    assert place.get("masks/a.png") == b"1" and place.shown == "out" and repr(place) == "Store('out')"


def test_a_full_disk_is_a_store_that_takes_no_more(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(StoreError, match=r"Cannot write .*No space left on device.*make room"):
        Store(tmp_path).put("masks/a.png", b"1")
    assert [entry for entry in tmp_path.rglob("*") if entry.is_file()] == []
