"""Which pictures a job has."""

import io
import os
import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

from segformer_tf.batch import inputs
from segformer_tf.batch.job import Job, parquet
from segformer_tf.batch.labeller import failed
from segformer_tf.batch.store import Store


def names(items):
    return [item.shown.rpartition("/")[2] for item in items]


def test_a_directory_gives_its_pictures_in_order_and_leaves_out_what_is_hidden_or_no_picture(photos):
    items = inputs.find(photos)
    assert [item.number for item in items] == list(range(11))
    assert names(items) == ["p09.jpg", "p10.jpg", *(f"p{n:02}.jpg" for n in range(9))]


def test_a_pattern_and_a_list_file_give_the_same_pictures(photos, tmp_path):
    found = inputs.find(f"{photos}/p0*.jpg")
    (tmp_path / "list.txt").write_text("# a list\n" + "\n".join(item.source for item in found) + "\n\n")
    assert inputs.find(tmp_path / "list.txt") == found and len(found) == 9


def test_a_list_file_is_relative_to_itself(photos):
    (photos / "list.txt").write_text("p00.jpg\nmore/p09.jpg\n")
    try:
        assert [inputs.encoded(item)[:2] for item in inputs.find(photos / "list.txt")] == [b"\xff\xd8"] * 2
    finally:
        (photos / "list.txt").unlink()


@pytest.mark.parametrize("form", ["paths", "bytes", "hub"])
def test_parquet_of_paths_or_bytes_gives_the_bytes_of_the_files(photos, tmp_path, form):
    files = sorted(photos.glob("p0*.jpg"))
    columns = {
        "paths": {"path": [str(file) for file in files]},
        "bytes": {"bytes": [file.read_bytes() for file in files]},
        "hub": {"image": [{"bytes": file.read_bytes(), "path": file.name} for file in files]},
    }
    pq.write_table(pa.table(columns[form]), tmp_path / "part.parquet", row_group_size=4)
    items = inputs.find(tmp_path)
    assert [inputs.encoded(item) for item in items] == [file.read_bytes() for file in files]


def test_parquet_without_such_a_column_is_told_with_those_that_it_has(tmp_path):
    pq.write_table(pa.table({"a": [1], "path": [2]}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"has the columns a, path; expected photo"):
        inputs.find(tmp_path / "x.parquet", "photo")
    with pytest.raises(ValueError, match=r"Column path of .* is int64; expected paths"):
        inputs.find(tmp_path / "x.parquet")


def test_a_place_without_pictures_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no pictures"):
        inputs.find(tmp_path)
    with pytest.raises(FileNotFoundError, match="There is nothing at"):
        inputs.find(tmp_path / "nowhere")


def test_pixels_are_those_that_the_pipeline_reads(photos):
    from segformer_tf import SegformerImageProcessor

    processor = SegformerImageProcessor()
    item = next(item for item in inputs.find(photos) if item.shown.endswith("p02.jpg"))
    expected = processor.pixels(str(photos / "p02.jpg"), strict=True)
    assert inputs.pixels(item, processor).tolist() == expected.tolist() and expected.shape == (92, 60, 3)
    assert io.BytesIO(inputs.encoded(item)).read() == (photos / "p02.jpg").read_bytes()


def picture(path, software=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    said = PngImagePlugin.PngInfo()
    if software:
        said.add_text("Software", software)
    Image.new("L", (2, 2)).save(path, "PNG", pnginfo=said)


@pytest.mark.parametrize("place", ["many", "many/**/*.png"])
@pytest.mark.parametrize("folder", ["many/out", "many"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_job_that_writes_below_its_input_has_the_same_pictures_again(tmp_path, monkeypatch, place, folder, linked):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "many/a.png")
    picture(tmp_path / "many/masks.png")
    if linked:
        (tmp_path / "link").symlink_to("many")
        place = place.replace("many", "link")
    picture(tmp_path / folder / "masks/left.png")  # before there is a job
    first = inputs.find(place, output=folder)
    job = Job(Store(folder), first, 1, {})
    job.store.put("masks/000000/000000000.png", (tmp_path / "many/a.png").read_bytes())
    job.store.put("index/part-000000.parquet", parquet([]))
    assert names(first) == ["a.png", "masks.png"] and inputs.find(place, output=folder) == first
    # another job beside it, and one of another program
    picture(tmp_path / "many/else/masks/b.png")
    (tmp_path / "many/else/job.json").write_text("{}")
    assert names(inputs.find(place, output="other")) == ["a.png", "b.png", "masks.png"]
    with pytest.raises(ValueError, match="has the columns number, input"):  # asked for by its name it is taken
        inputs.find(f"{folder}/index")


@pytest.mark.parametrize("pattern", ["", "/**/*.jpg"])
def test_linked_folders_are_looked_into_and_links_that_go_in_a_circle_end(tmp_path, pattern):
    for file in ("in/a.jpg", "else/b.jpg", "else/.hidden/c.jpg"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "in/link").symlink_to(tmp_path / "else")
    (tmp_path / "else/up").symlink_to(tmp_path / "in")
    found = [item.source for item in inputs.find(f"{tmp_path}/in{pattern}")]
    assert found == [f"{tmp_path}/in/a.jpg", f"{tmp_path}/in/link/b.jpg"]


@pytest.mark.parametrize("folder", ["d [1]", "d::e", "d*?"])
def test_a_folder_may_be_called_as_a_pattern_or_a_chain_of_stores(tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.jpg").write_bytes(b"1")
    (item,) = inputs.find(tmp_path / folder)
    assert inputs.encoded(item) == b"1" and Store(tmp_path / folder).get("a.jpg") == b"1"
    with pytest.raises(FileNotFoundError, match=r"nothing at .* for one in a name write \[\[\]"):
        inputs.find(tmp_path / "d [1]/*.png")
    assert len(inputs.find(f"{tmp_path}/{folder.replace('[', '[[]')}/*.jpg")) == 1


def test_a_job_in_a_store_leaves_its_own_files_out():
    place = f"memory://{uuid.uuid4().hex}"
    store = Store(f"{place}/out")
    Store(place).put("a.jpg", b"picture")
    first = inputs.find(place, output=f"{place}/out")
    Job(store, first, 1, {})
    store.put("masks/000000/000000000.png", b"mask")
    assert names(first) == ["a.jpg"] and inputs.find(place, output=f"{place}/out") == first == inputs.find(place)


def test_results_of_segment_are_no_pictures_and_pictures_that_are_called_so_are(tmp_path):
    picture(tmp_path / "x_labels.png", "segformer-tf 0.1")
    picture(tmp_path / "y_labels.png")
    os.mkfifo(tmp_path / "z_labels.png")
    for place in (tmp_path, f"{tmp_path}/*.png"):
        assert "x_labels.png" not in names(inputs.find(place)) and "y_labels.png" in names(inputs.find(place))
    assert names(inputs.find(tmp_path / "x_labels.png")) == ["x_labels.png"]


def test_a_named_pipe_is_an_error_of_its_row_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    (item,) = inputs.find(tmp_path)
    with pytest.raises(OSError, match=r"a\.jpg is a named pipe; expected a picture"):
        inputs.encoded(item)
    os.mkfifo(tmp_path / "b.parquet")
    with pytest.raises(OSError, match=r"b\.parquet is a named pipe; expected Parquet"):
        inputs.find(tmp_path)


def test_a_list_with_a_byte_order_mark_keeps_its_first_picture(tmp_path):
    (tmp_path / "LIST.TXT").write_text("a.jpg\nb.jpg\n", "utf-8-sig")
    assert [item.source for item in inputs.find(tmp_path / "LIST.TXT")] == [f"{tmp_path}/a.jpg", f"{tmp_path}/b.jpg"]


def test_a_line_of_a_list_is_a_name_with_all_its_characters(tmp_path):
    names = ["#first.jpg", " lead.jpg", "trail.jpg ", "line\u2028sep\x85\x0b\x0c.jpg", "https://x/a.jpg?b/c"]
    (tmp_path / "#first.jpg").touch()
    (tmp_path / "a.txt").write_bytes("\r\n".join(["# no name", *names[:3], "", "  ", *names[3:]]).encode())
    assert [item.source.removeprefix(f"{tmp_path}/") for item in inputs.find(tmp_path / "a.txt")] == names


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_list_in_utf_16_is_refused(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("a.jpg\n", encoding)
    with pytest.raises(ValueError, match=r"a\.txt is UTF-16 or no text; expected a list .* save it as UTF-8"):
        inputs.find(tmp_path / "a.txt")


def test_a_name_that_is_no_utf_8_is_found_and_shown_escaped(tmp_path):
    name = os.fsdecode(b"\xff.jpg")
    (tmp_path / name).write_bytes(b"no picture")
    (item,) = inputs.find(tmp_path)
    assert inputs.encoded(item) == b"no picture" and item.shown == rf"{tmp_path}/\udcff.jpg"
    (tmp_path / "list.txt").write_bytes(b"\xff.jpg\n")
    assert inputs.find(tmp_path / "list.txt") == [item]
    row = failed(0, item.shown, OSError(f"{item.source} is broken"))
    assert row["input"] in row["error"]
    parquet([row])


def test_a_signed_list_is_a_list_beside_its_pictures_and_the_signature_is_no_part_of_the_job(monkeypatch):
    signed = "https://h/p/list.txt?X-Amz-Credential=A/b/c&X-Amz-Signature="
    monkeypatch.setattr(inputs, "_files", lambda place, own: [place])
    monkeypatch.setattr(inputs, "read", lambda path, what: b"a.jpg\nhttps://h/q?id=7&sig=" + path[-1:].encode())
    one, two = (inputs.find(signed + each) for each in "12")
    assert [item.source for item in one] == ["https://h/p/a.jpg", "https://h/q?id=7&sig=1"]
    assert inputs.digest(one) == inputs.digest(two)
    other = [one[0], one[1]._replace(source="https://h/q?id=8&sig=1")]
    assert inputs.digest(one) != inputs.digest(other)
    monkeypatch.undo()
    assert inputs.address("s3://b/what?.jpg") == inputs.unsigned("s3://b/what?.jpg") == "s3://b/what?.jpg"


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["p00.jpg"]).dictionary_encode(),
        pa.array(["p00.jpg"], pa.string_view()),
        pa.array(["p00.jpg"], pa.large_string()),
        [{"bytes": None, "path": "p00.jpg"}],
        pa.array([{"bytes": None, "path": "p00.jpg"}], pa.struct({"bytes": pa.binary(), "path": pa.string()})),
        [b"12345"],
        pa.array([b"12345"], pa.binary(5)),
        pa.array([b"12345"], pa.binary_view()),
    ],
)
def test_parquet_is_read_whatever_form_its_columns_have(tmp_path, column):
    (tmp_path / "p00.jpg").write_bytes(b"12345")
    pq.write_table(pa.table({"image": column}), tmp_path / "x.parquet")
    (item,) = inputs.find(tmp_path / "x.parquet")
    assert inputs.encoded(item) == b"12345"


def test_a_picture_that_cannot_be_decoded_is_called_by_its_name(tmp_path):
    from segformer_tf import SegformerImageProcessor

    (tmp_path / "a.jpg").write_bytes(b"no picture")
    (item,) = inputs.find(tmp_path)
    with pytest.raises(OSError, match=rf"^{tmp_path}/a\.jpg is not an image"):
        inputs.pixels(item, SegformerImageProcessor())


def test_an_empty_path_in_parquet_is_a_row_that_is_empty(tmp_path):
    pq.write_table(pa.table({"path": ["a.jpg", None, "", "b.jpg"]}), tmp_path / "P.PARQUET", row_group_size=1)
    items = inputs.find(tmp_path)
    assert names(items) == ["a.jpg", "P.PARQUET#1", "P.PARQUET#2", "b.jpg"]
    for item in items[1:3]:
        with pytest.raises(ValueError, match=r"PARQUET#[12] is empty; expected a picture's bytes or path"):
            inputs.encoded(item)
