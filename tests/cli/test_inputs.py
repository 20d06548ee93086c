"""Which pictures are meant, what their files are called, and which are refused before the first is touched."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from segformer_tf.cli.inputs import find_pictures, plan
from segformer_tf.images.png import write_png
from segformer_tf.pipelines import files
from segformer_tf.pipelines.marks import MAKER

KINDS = files.DEFAULT


@pytest.fixture
def folder(tmp_path):
    """Pictures (empty files do), and things that are none."""
    folder = tmp_path / "p"
    (folder / "sub" / "deep").mkdir(parents=True)
    for name in ("b.jpg", "a.JPG", "c.tif", ".hidden.jpg", "notes.txt", "scan.pdf", "sub/a.jpg", "sub/deep/d.webp"):
        (folder / name).touch()
    (folder / "broken.png").symlink_to("nowhere")
    (folder / "sub" / "loop").symlink_to("..")
    return folder


def found(*arguments, **options):
    return [picture.shown for picture in find_pictures(list(map(str, arguments)), **options)]


def test_a_folder_gives_its_pictures_in_order_and_says_what_is_left_out(folder, capsys):
    assert found(folder) == [str(folder / name) for name in ("a.JPG", "b.jpg", "c.tif")]
    assert capsys.readouterr().err == (
        f"segformer-tf: {folder}: left out 1 hidden file, 1 broken link, 2 other files (notes.txt, scan.pdf), "
        "1 folder (--recursive takes them too).\n"
    )


def test_folders_of_folders_keep_their_places_and_links_in_a_circle_end(folder):
    pictures = find_pictures([str(folder)], recursive=True)
    assert [picture.folder / picture.source.name for picture in pictures] == [
        Path("a.JPG"), Path("b.jpg"), Path("c.tif"), Path("sub/a.jpg"), Path("sub/deep/d.webp")
    ]  # fmt: skip


def test_patterns_are_followed_but_a_file_of_that_name_comes_first(folder, tmp_path):
    assert found(folder / "*.jpg") == [str(folder / "b.jpg")]
    (folder / "sub" / "deep" / "loop").symlink_to("..")  # the second: they end all the same
    assert found(folder / "**" / "*.webp") == [str(folder / "sub/deep/d.webp")]
    (tmp_path / "x[1].jpg").touch()
    assert found(tmp_path / "x[1].jpg") == [str(tmp_path / "x[1].jpg")]
    with pytest.raises(FileNotFoundError, match=r"No file matches .*nothing\*"):
        found(folder / "nothing*")


def test_two_stars_are_all_folders_below_a_place(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    (folder / "broken.png").unlink()
    everything = ["p/a.JPG", "p/b.jpg", "p/c.tif", "p/notes.txt", "p/scan.pdf", "p/sub/a.jpg", "p/sub/deep/d.webp"]
    assert found("p/**") == found("**") == everything
    assert found("p/**/a.*") == found("**/a.*") == ["p/a.JPG", "p/sub/a.jpg"]
    assert found("**/deep/**/*.webp") == found("p/*/**/*.webp") == ["p/sub/deep/d.webp"]
    assert found(f"{folder}/**/*.tif") == [str(folder / "c.tif")]


def test_our_own_results_are_left_out_of_a_pattern_and_told(tmp_path, capsys):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "b_labels.png")  # of others
    for name in ("a_labels.png", "a_overlay.png"):
        write_png(Image.new("RGB", (4, 3)), tmp_path / name, MAKER)
    assert found(tmp_path / "*.png") == [str(tmp_path / "a.png"), str(tmp_path / "b_labels.png")]
    assert capsys.readouterr().err == (f"segformer-tf: {tmp_path}/*.png: left out 2 results of segformer-tf itself.\n")
    assert found(tmp_path / "a_labels.png") == [str(tmp_path / "a_labels.png")], "named, so meant"
    with pytest.raises(FileNotFoundError, match=r"a_\*\.png matches results of segformer-tf itself alone"):
        found(tmp_path / "a_*.png")


def test_a_picture_named_twice_is_done_once(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert found("b.jpg", "./b.jpg", folder / "b.jpg") == ["b.jpg"]


def test_an_empty_folder_is_an_error_that_says_where_to_look(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no pictures; expected files such as \.jpg"):
        found(tmp_path)
    (tmp_path / "in").mkdir()
    with pytest.raises(FileNotFoundError, match="holds no pictures; --recursive looks into its folders"):
        found(tmp_path)


def test_an_empty_folder_among_others_is_told_and_the_others_are_found(folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "more").mkdir()
    picture = folder / "b.jpg"
    for arguments in ((tmp_path / "out", picture, tmp_path / "more"), (tmp_path / "[om]*", picture)):
        assert found(*arguments) == [str(picture)]
        told = capsys.readouterr().err
        assert f"{tmp_path / 'out'} holds no pictures" in told and f"{tmp_path / 'more'} holds no pictures" in told
    with pytest.raises(FileNotFoundError, match=r"out holds no pictures.*more holds no pictures"):
        found(tmp_path / "out", tmp_path / "more")


def test_one_picture_comes_from_stdin(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"data")))
    [twice] = find_pictures(["-", "-"])  # its bytes come once
    assert twice.source == b"data"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"data")))
    (picture,) = find_pictures(["-"])
    assert picture.source == b"data"
    assert plan([picture], Path("out"), KINDS, False, False, False).names == {"-": (Path("out"), "stdin")}


def test_our_own_results_in_a_folder_are_no_pictures(tmp_path, capsys):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 3)).save(tmp_path / "b_labels.png")
    write_png(Image.new("RGB", (4, 3)), tmp_path / "a_labels.png", MAKER)
    assert found(tmp_path) == [str(tmp_path / "a.png"), str(tmp_path / "b_labels.png")]
    assert "left out 1 result of segformer-tf itself." in capsys.readouterr().err


def test_names_do_not_change_when_a_file_is_added(tmp_path):
    def names(*pictures):
        for name in pictures:
            (tmp_path / name).touch()
        planned = plan(find_pictures([str(tmp_path)]), tmp_path / "out", KINDS, False, False, False)
        return {Path(shown).name: name for shown, (_, name) in planned.names.items()}

    before = names("a.png", "a.tif", "b.jpg")
    assert before == {"a.png": "a", "a.tif": "a.tif", "b.jpg": "b"}
    after = names("a.bmp", "aa.png")
    assert {key: after[key] for key in before} == before and after["a.bmp"] == "a.bmp"


def test_two_pictures_of_one_name_are_refused_both_and_whole_names_tell_them_apart(tmp_path):
    for name in ("a.jpg", "a.png", "b.jpg"):
        (tmp_path / name).touch()
    pictures = find_pictures([str(tmp_path)])
    planned = plan(pictures, Path("out"), KINDS, False, False, False)
    assert list(planned.names) == [str(tmp_path / "b.jpg")]
    assert f"{tmp_path / 'a.jpg'} and {tmp_path / 'a.png'} would both be written as out/a" in "".join(
        planned.refused.values()
    )
    assert len(planned.refused) == 2
    whole = plan(pictures, Path("out"), KINDS, True, False, False)
    assert [name for _, name in whole.names.values()] == ["a.jpg", "a.png", "b.jpg"] and not whole.refused


def test_two_pictures_that_share_one_file_alone_are_refused_as_well(tmp_path):
    for name in ("x.jpg", "x_polygons.jpg"):
        (tmp_path / name).touch()
    pictures = find_pictures([str(tmp_path)])
    planned = plan(pictures, Path("out"), ("json", "polygons"), False, False, False)
    (told,) = set(planned.refused.values())
    assert not planned.names and len(planned.refused) == 2 and "both be written as out/x_polygons.json;" in told
    assert len(plan(pictures, Path("out"), ("json", "labels"), False, False, False).names) == 2
    assert len(plan(pictures, Path("out"), ("json", "polygons"), True, False, False).names) == 2


def test_a_picture_given_is_never_where_a_result_goes(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "a_labels.png").write_bytes(b"the user's")
    pictures = find_pictures([str(tmp_path)])
    for overwrite, why in ((False, "was not written by segformer-tf"), (True, "is one of the pictures given")):
        planned = plan(pictures, tmp_path, KINDS, False, overwrite, False)
        assert list(planned.names) == [str(tmp_path / "a_labels.png")]
        assert why in planned.refused[str(tmp_path / "a.jpg")]


def test_what_is_done_is_left_out_if_asked_and_only_if_it_is_ours(tmp_path):
    picture, output = tmp_path / "a.jpg", tmp_path / "out"
    picture.touch()
    output.mkdir()
    pictures = find_pictures([str(picture)])
    assert plan(pictures, output, KINDS, False, False, True).names
    for kind in ("labels", "overlay"):
        write_png(Image.new("RGB", (4, 3)), output / f"a{files.ENDINGS[kind]}", MAKER)
    (output / "a.json").write_text(f'{{"made_by": "{MAKER}", "path": "{picture}"}}')
    assert plan(pictures, output, KINDS, False, False, True).done == [str(picture)]
    assert plan(pictures, output, KINDS, False, False, False).names
    assert plan(pictures, output, (*KINDS, "polygons"), False, False, True).names, "a kind is missing"
    elsewhere = tmp_path / "q"
    elsewhere.mkdir()
    os.rename(picture, elsewhere / "a.jpg")
    planned = plan(find_pictures([str(elsewhere)]), output, KINDS, False, False, True)
    assert "choose another directory, or overwrite" in planned.refused[str(elsewhere / "a.jpg")]
