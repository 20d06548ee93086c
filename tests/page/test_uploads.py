"""Pictures' files: how they are taken, and that none stays behind."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from segformer_tf.page import uploads
from segformer_tf.page.uploads import Picture, taken, upload_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def upload(tmp_path):
    file = tmp_path / "uploads" / "hash" / "street.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"picture")
    return file


def test_an_upload_is_read_once_and_its_file_is_gone(upload):
    folder = upload.parents[1]
    assert taken({"path": str(upload)}, str(folder)) == Picture("street.jpg", b"picture")
    assert folder.is_dir() and not any(folder.iterdir())


@pytest.mark.parametrize(
    ("given", "name"),
    [("Stra\u00dfe #1.jpg", "Stra\u00dfe #1.jpg"), ("a/b/../c.jpg", "c.jpg"), ("", "street.jpg"), ("/", "street.jpg")],
)
def test_a_picture_has_the_name_that_it_was_given_with(upload, given, name):
    assert taken({"path": str(upload), "orig_name": given}, str(upload.parents[1])).name == name


def test_an_upload_that_another_page_took_is_told(upload):
    folder = str(upload.parents[1])
    upload.unlink()
    for _ in range(2):  # the folder made for it goes, too
        with pytest.raises(OSError, match=r"street.jpg did not arrive whole; give it again"):
            taken({"path": str(upload)}, folder)
        assert not upload.parent.exists()


def test_a_path_outside_the_uploads_is_not_read_and_not_deleted(tmp_path):
    folder, other = tmp_path / "uploads", tmp_path / "secret.jpg"
    folder.mkdir()
    other.write_bytes(b"secret")
    (folder / "link.jpg").symlink_to(other)
    for path in (str(other), f"{folder}/../secret.jpg", str(folder / "link.jpg")):
        assert taken({"path": path}, str(folder)) is None
    assert taken(None, str(folder)) is None and other.read_bytes() == b"secret"


HOLDING = """
import pathlib, sys
from segformer_tf.page.uploads import upload_folder
with upload_folder() as folder:
    pathlib.Path(folder, "picture.jpg").write_bytes(b"picture")
    print(flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holding(temporary):
    """A process with a picture in its folder, as a page is one."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDING], env=environment, **pipes) as process:
        process.stdout.readline()
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_page_that_is_told_to_end_deletes_its_folder(temporary, holding, number):
    assert [path.name for path in temporary.glob("*/*")] == ["picture.jpg"]
    holding.send_signal(number)
    holding.communicate(timeout=60)
    assert not any(temporary.iterdir())


def test_the_folder_of_a_page_that_was_killed_is_deleted_by_the_next(temporary, holding):
    (temporary / "segformer-tf-page-file").write_text("another's file")
    (living,) = filter(Path.is_dir, temporary.iterdir())
    with upload_folder():
        assert living.is_dir()
    holding.kill()
    holding.communicate()
    with upload_folder() as folder:
        assert [str(path) for path in temporary.iterdir() if path.is_dir()] == [folder]


def test_a_folder_that_another_page_deletes_before_it_is_held_is_made_again(temporary, monkeypatch):
    made, make = [], tempfile.mkdtemp

    def mkdtemp(*names, **options):
        folder = make(*names, **options)
        made.append(folder)
        if len(made) == 1:
            with upload_folder():  # the other page starts, and finds a folder that nobody holds
                assert not Path(folder).exists()
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", mkdtemp)
    with upload_folder() as folder:
        assert Path(folder).is_dir() and folder == made[-1] and len(made) == 3
    assert not any(temporary.iterdir())


def test_a_signal_that_is_ignored_stays_so():
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with uploads.ends_in_order():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, usual)
