"""The one reader of JSON files."""

import os

import pytest

from segformer_tf.storage import read


def test_a_byte_order_mark_as_windows_editors_write_it_is_no_error(tmp_path):
    (tmp_path / "a.json").write_bytes('\ufeff{"name": "\u00e9"}'.encode())
    assert read.read_json(tmp_path / "a.json", "a thing") == {"name": "\u00e9"}


@pytest.mark.parametrize(
    "text, told",
    [
        ("", r"a\.json is not JSON \(.*\); expected a thing: correct the file"),
        ("{", r"a\.json is not JSON \("),
        ("\xff", r"a\.json is not JSON \("),
        ("[" * 100_000, r"a\.json is not JSON \(.*recursion"),
        ('{"a": ' * 70 + "1" + "}" * 70, r"a\.json is nested more than 64 deep; expected a thing"),
        ("[1]", r"a\.json holds a list; expected an object, a thing: correct the file"),
        ('"text"', r"a\.json holds 'text'; expected an object"),
        ("null", r"a\.json holds None; expected an object"),
    ],
)
def test_what_is_no_object_is_named_with_the_file_and_what_was_expected(tmp_path, text, told):
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=told):
        read.read_json(tmp_path / "a.json", "a thing")


def test_a_list_is_taken_where_one_is_due(tmp_path):
    (tmp_path / "a.json").write_text("[1]")
    assert read.read_json(tmp_path / "a.json", "a thing", (dict, list)) == [1]
    with pytest.raises(ValueError, match="holds 1; expected an object or a list, a thing"):
        (tmp_path / "a.json").write_text("1")
        read.read_json(tmp_path / "a.json", "a thing", (dict, list))


def test_a_missing_file_a_directory_a_pipe_and_a_huge_file_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for reader in (read.read_json, read.read_text):
        with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.json; expected a thing"):
            reader(tmp_path / "none.json", "a thing")
        with pytest.raises(IsADirectoryError, match=rf"{tmp_path} is a directory; expected a thing"):
            reader(tmp_path, "a thing")
        with pytest.raises(OSError, match=r"pipe is a named pipe; expected a thing"):
            reader(tmp_path / "pipe", "a thing")
    with open(tmp_path / "a.json", "wb") as file:
        file.truncate(read.MAX_BYTES + 1)
    with pytest.raises(ValueError, match=r"a\.json has 67108865 bytes; expected a thing"):
        read.read_json(tmp_path / "a.json", "a thing")


@pytest.mark.parametrize("files", ['"a"', '{"a": 1}', '{"a": "../b"}', '{"a": ""}', '{"a": "/etc/passwd"}', "null"])
def test_an_index_names_files_beside_it_and_no_others(tmp_path, files):
    (tmp_path / "i.json").write_text(f'{{"weight_map": {files}}}')
    with pytest.raises(ValueError, match=r"i\.json is not an index of shards: expected \"weight_map\""):
        read.read_index(tmp_path / "i.json")


def test_lines_end_at_no_other_character(tmp_path):
    (tmp_path / "a.txt").write_bytes("a\u2028\fb\r\n\rc\nd".encode())
    assert read.read_lines(tmp_path / "a.txt", "names") == ["a\u2028\fb", "", "c", "d"]


def test_text_may_have_a_mark_and_another_encoding_is_named_with_the_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("\ufeff\u00e9\r\nb".encode())
    assert read.read_text(file, "names") == "\u00e9\nb"
    for encoding in ("latin-1", "utf-16"):
        file.write_bytes("caf\u00e9".encode(encoding))
        with pytest.raises(
            ValueError, match=r"a\.txt is not UTF-8 \(.* at byte \d\); expected names: save it as UTF-8"
        ):
            read.read_text(file, "names")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*b\.txt; expected names"):
        read.read_text(tmp_path / "b.txt", "names")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("\n  first\nsecond"), "first"),
        (ValueError("Check 'x' failed\n\nno such op"), "no such op"),
        (ValueError("x" * 400), "x" * 300),
        (KeyError(), "KeyError"),
    ],
)
def test_of_an_error_the_first_line_that_says_something_is_told(error, told):
    assert read.reason(error, ("Check ",)) == told
