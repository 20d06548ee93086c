"""Damage anywhere in a stamped file is told; a file without a checksum is left to whoever reads it."""

import pytest

from segformer_tf.pipelines.runtimes import checksum

FILE = b"weights " * 1000 + checksum.PLACEHOLDER.encode() + b" and more"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(FILE)
    checksum.stamp(path)
    return path


def test_what_was_stamped_is_sound_and_differs_in_the_digits_alone(file):
    checksum.check(file)
    found = file.read_bytes()
    place = found.rindex(checksum.MARK) + len(checksum.MARK)
    assert len(found) == len(FILE) and found[:place] == FILE[:place] and found[place + 8 :] == FILE[place + 8 :]
    checksum.stamp(file)
    assert file.read_bytes() == found


@pytest.mark.parametrize("place", [0, 4321, len(FILE) - 12, len(FILE) - 1])
def test_one_byte_that_changed_is_told(file, place):
    damaged = bytearray(file.read_bytes())
    damaged[place] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"model\.onnx is not what was written: its checksum is .*: copy it again"):
        checksum.check(file)


@pytest.mark.parametrize("change", [lambda data: data[:100] + data[101:], lambda data: data + b"x"])
def test_a_byte_too_few_or_too_many_is_told(file, change):
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(ValueError, match="is not what was written"):
        checksum.check(file)


def test_files_without_a_checksum_and_no_files_are_left_alone(tmp_path):
    for name, data in (("older", FILE[:8000]), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
        checksum.check(tmp_path / name)
    checksum.check(tmp_path)
    checksum.check(tmp_path / "nothing")
