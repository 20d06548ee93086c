"""Which pictures a job has."""

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segformer_tf.batch import inputs


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
