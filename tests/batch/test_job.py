"""A job is one row a picture, goes on where it was, and is not mixed with another."""

import dataclasses
import io
import json
from types import SimpleNamespace

import pytest

from segformer_tf.batch import inputs, labeller
from segformer_tf.batch.job import Job
from segformer_tf.batch.labeller import Labeller
from segformer_tf.batch.store import Store, StoreError
from segformer_tf.pipelines.predict import How

ABOUT = {"model": "m"}


def job(where, count=7, place="p", per_shard=3, **about):
    items = [inputs.Item(n, f"/{place}/{n}.jpg") for n in range(count)]
    return Job(Store(where), items, per_shard, {**ABOUT, **about})


def rows(place):
    import pyarrow.parquet as pq

    return [row for file in sorted((place / "index").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def test_a_stopped_job_goes_on_with_the_shards_that_are_missing(tmp_path):
    first = job(tmp_path)
    for number in (4, 0, 3, 5):  # in the order in which workers answer
        assert first.take(labeller.failed(number, f"{number}", "why"))
    second = job(tmp_path)
    assert second.finished == {1} and [item.number for item in second.remaining()] == [0, 1, 2, 6]
    for item in second.remaining():
        second.take(labeller.failed(item.number, item.shown, "why"))
    assert [row["number"] for row in rows(tmp_path)] == list(range(7)) and job(tmp_path).remaining() == []


def test_failures_of_before_are_counted_and_a_damaged_shard_is_made_again(tmp_path):
    first = job(tmp_path)
    for number in range(7):
        first.take(labeller.failed(number, f"{number}", "why"))
    assert job(tmp_path).failed == 7
    (tmp_path / "index" / first.name(1)).write_bytes(b"")
    again = job(tmp_path)
    assert (again.failed, again.finished) == (4, {0, 2}) and [item.number for item in again.remaining()] == [3, 4, 5]


def done(number):
    return {**labeller.failed(number, f"/p/{number}.jpg", ""), "status": labeller.DONE, "error": None}


def test_failures_alone_are_counted_and_a_shard_lists_its_pictures_in_order(tmp_path):
    made = job(tmp_path)
    for number in (2, 1, 0, 6):
        made.take(labeller.failed(number, "x", "why") if number == 1 else done(number))
    assert made.failed == job(tmp_path).failed == 1
    assert [row["number"] for row in rows(tmp_path)] == [0, 1, 2, 6]


def test_a_shard_of_other_columns_is_made_again(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = job(tmp_path)
    (tmp_path / "index").mkdir()
    pq.write_table(pa.table({"number": [0]}), tmp_path / "index" / first.name(0))
    assert job(tmp_path).finished == set()


def test_a_name_that_is_no_text_is_listed_escaped(tmp_path):
    made = job(tmp_path, 1)
    made.take({**done(0), "input": b"p\xe9.jpg".decode("utf-8", "surrogateescape")})
    assert [row["input"] for row in rows(tmp_path)] == [r"p\udce9.jpg"]


def test_shards_of_no_picture_and_an_index_of_nobody_are_refused(tmp_path):
    with pytest.raises(ValueError, match="pictures_per_shard is 0; expected at least 1"):
        Job(Store(tmp_path), [], 0, ABOUT)
    job(tmp_path, 1).take(done(0))
    (tmp_path / "job.json").unlink()
    with pytest.raises(ValueError, match=r"has an index but no job\.json, so nobody knows what it is of"):
        job(tmp_path, 1)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_damaged_job_is_told_as_such(tmp_path, text):
    job(tmp_path)
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(ValueError, match=r"job\.json is damaged, so nobody knows"):
        job(tmp_path)


def test_an_output_that_is_a_file_is_told(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(StoreError, match=r"Cannot write to the directory .*out \(File exists\); choose another"):
        job(tmp_path / "out")


def test_a_model_of_another_task_is_told_before_a_job_is_begun(tiny_model, tmp_path):
    from segformer_tf import SegformerConfig, TFSegformerForImageClassification
    from segformer_tf.batch.on_ray import _processor

    config = SegformerConfig.from_pretrained(tiny_model)
    TFSegformerForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a model for classification; expected one for segmentation"):
        _processor(str(tmp_path), "auto", How())
    _processor(str(tiny_model), "auto", How())


def test_a_row_that_comes_twice_counts_once(tmp_path):
    made = job(tmp_path, 2)
    assert [made.take(labeller.failed(n, "x", "why")) for n in (0, 0, 1, 1)] == [True, False, True, False]
    assert len(rows(tmp_path)) == 2 and made.failed == 2


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": 8}, "pictures 7 there, 8 now"),
        ({"model": "n"}, "model 'm'"),
        ({"option": 1}, "option None there, 1 now"),
        ({"place": "q"}, "inputs_sha256 '"),
        ({"per_shard": 4}, "pictures_per_shard 3 there, 4 now"),
    ],
)
def test_another_job_in_the_same_place_is_refused(tmp_path, change, told):
    job(tmp_path)
    with pytest.raises(ValueError, match=rf"is of another job \(.*{told}"):
        job(tmp_path, **change)


def test_a_job_that_was_begun_with_more_options_is_another(tmp_path):
    job(tmp_path, option=1)
    with pytest.raises(ValueError, match="option 1 there, None now"):
        job(tmp_path)


def test_of_other_options_those_that_differ_are_told(tmp_path):
    from segformer_tf.batch.on_ray import _about

    how = How("slide", window=(64, 96), scales=(0.5, 1.0))
    job(tmp_path, **_about("m", "auto", 1, how))
    job(tmp_path, **_about("m", "auto", 1, how))
    other = _about("m", "auto", 1, dataclasses.replace(how, scores=True, window=(64, 64)))
    told = r"is of another job \(window \[64, 96\] there, \[64, 64\] now; scores False there, True now\)"
    with pytest.raises(ValueError, match=told):
        job(tmp_path, **other)


def test_another_schema_is_refused(tmp_path):
    job(tmp_path)
    about = json.loads((tmp_path / "job.json").read_text())
    (tmp_path / "job.json").write_text(json.dumps({**about, "schema": 0}))
    with pytest.raises(ValueError, match="schema 0 there, 1 now"):
        job(tmp_path)


def test_workers_with_other_weights_are_refused_also_after_a_stop(tmp_path):
    job(tmp_path).agree("a")
    again = job(tmp_path)
    with pytest.raises(ValueError, match="settings, is b, expected a as the job began with"):
        again.agree("b")
    again.agree("a")


def test_masks_are_the_pipelines_and_a_broken_picture_is_a_row_with_its_error(
    tiny_model, photos, tmp_path, monkeypatch
):
    import numpy as np
    from PIL import Image

    from segformer_tf import SegmentationPipeline

    items = inputs.find(f"{photos}/p0*.jpg")
    worker = Labeller(tiny_model, Store(tmp_path))
    made = list(worker.rows((item.number, item.shown, item.source) for item in items))
    assert [row["status"] for row in made] == ["done"] * 3 + ["failed"] + ["done"] * 5
    assert "p03.jpg" in made[3]["error"] and made[3]["mask"] is None
    segment = SegmentationPipeline.from_pretrained(tiny_model)
    for item, row in zip(items, made, strict=True):
        if row["mask"]:
            expected = segment(item.source)
            with Image.open(tmp_path / row["mask"]) as mask:
                assert np.array_equal(np.asarray(mask), expected.labels)
            assert row["classes"] == [each["id"] for each in expected.classes] and len(row["classes"]) > 1
            assert row["shares"] == [each["share"] for each in expected.classes] and row["scores"] is None
            assert (row["height"], row["width"]) == expected.labels.shape
    other = Labeller(tiny_model, Store(tmp_path))
    mark = worker.fingerprint()
    assert other.fingerprint() == mark
    with monkeypatch.context() as patch:
        patch.setattr(labeller, "__version__", "0.0")
        assert other.fingerprint() != mark
    other.pipeline.model.set_weights([value + 1 for value in other.pipeline.model.get_weights()])
    assert other.fingerprint() != mark


def test_a_job_is_not_gone_on_with_after_the_processor_or_the_classes_were_changed(tiny_model, tmp_path):
    import shutil

    from segformer_tf import SegformerImageProcessor

    def mark():
        return Labeller(str(tmp_path / "model"), Store(tmp_path)).fingerprint()

    shutil.copytree(tiny_model, tmp_path / "model")
    before = mark()
    assert mark() == before
    SegformerImageProcessor(size={"height": 32, "width": 96}).save_pretrained(tmp_path / "model")
    resized = mark()
    config = tmp_path / "model" / "config.json"
    config.write_text(config.read_text().replace("LABEL_0", "sky"))
    assert len({before, resized, mark()}) == 3


def test_a_job_follows_every_byte_of_an_exported_file(tmp_path):
    files = [tmp_path / "model.xml", tmp_path / "model.bin", tmp_path / "saved" / "variables" / "x"]
    files[2].parent.mkdir(parents=True)
    made = object.__new__(Labeller)

    def marks():
        found = []
        for source in (files[0], tmp_path / "saved"):
            runtime = SimpleNamespace(source=str(source))
            processor = SimpleNamespace(to_dict=dict)
            made.pipeline = SimpleNamespace(model=None, id2label={}, runtime=runtime, processor=processor)
            found.append(made.fingerprint())
        return found

    for file in files:
        file.write_bytes(b"1")
    (graph, saved) = before = marks()
    assert marks() == before
    files[1].write_bytes(b"2")
    assert marks()[0] != graph and marks()[1] == saved
    files[1].write_bytes(b"1")
    files[2].write_bytes(b"2")
    assert marks()[0] == graph and marks()[1] != saved


def test_workers_find_a_model_by_its_whole_path_and_a_name_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    assert labeller.for_workers("run") == str(tmp_path / "run")
    assert labeller.for_workers("nvidia/b0") == "nvidia/b0" and labeller.for_workers("gs://b/m") == "gs://b/m"


def test_folders_of_masks_stay_small():
    assert labeller.mask_name(1_234_567, "x") == "masks/001234/001234567.png"
    names = {labeller.mask_name(None, name) for name in ("a.jpg", "b.jpg", "\udce9.jpg", "\udcea.jpg")}
    assert len(names) == 4
    for _, folder, file in (name.split("/") for name in names):
        assert len(folder) == 3 and file.startswith(folder) and len(file) == 64 + len(".png")


def test_a_picture_that_does_not_fit_in_memory_is_a_row_and_a_model_that_does_not_ends_the_job(
    tiny_model, photos, tmp_path, monkeypatch
):
    worker = Labeller(tiny_model, Store(tmp_path))
    item = inputs.Item(0, str(photos / "p00.jpg"))

    def full(*_):
        raise MemoryError("none left")

    with monkeypatch.context() as patch:
        patch.setattr(labeller, "pixels", full)
        (row,) = worker.rows([(0, "x.jpg", item)])
        assert (row["status"], row["error"]) == ("failed", "x.jpg does not fit in memory: none left")
    (row,) = worker.rows([(0, "x.jpg", b"no picture")])
    assert row["status"] == "failed" and "x.jpg" in row["error"]
    monkeypatch.setattr(type(worker.pipeline.runtime), "__call__", full)
    with pytest.raises(MemoryError, match="none left"):
        list(worker.rows([(0, "x.jpg", item)]))


def test_a_store_that_takes_no_more_ends_the_job_and_is_not_a_broken_picture(tiny_model, photos, tmp_path, monkeypatch):
    def full(self, name, data):
        raise StoreError("full")

    monkeypatch.setattr(Store, "put", full)
    with pytest.raises(StoreError, match="full"):
        list(Labeller(tiny_model, Store(tmp_path)).rows([(0, "x", io.BytesIO((photos / "p00.jpg").read_bytes()))]))


def test_a_model_of_one_size_labels_windows_of_that_size_as_the_pipeline_does(
    tiny_model, photos, tmp_path, monkeypatch
):
    from segformer_tf import SegmentationPipeline
    from segformer_tf.pipelines.runtimes.runtime import KerasModel

    only = property(lambda runtime: (32, 48), lambda runtime, size: None)
    monkeypatch.setattr(KerasModel, "size", only, raising=False)
    worker = Labeller(tiny_model, Store(tmp_path), how=How("slide", scores=True))
    (row,) = worker.rows([(0, "x", str(photos / "p00.jpg"))])
    expected = SegmentationPipeline.from_pretrained(tiny_model)(photos / "p00.jpg", mode="slide", scores=True)
    assert row["scores"] == [each["score"] for each in expected.classes]
    assert (row["status"], row["classes"]) == ("done", [each["id"] for each in expected.classes])
    with pytest.raises(ValueError, match=r"stride is \(40, 40\); expected at most the window, \(32, 48\)"):
        Labeller(tiny_model, Store(tmp_path), how=How("slide", stride=(40, 40)))
