"""`benchmark`: which row is marked, what a process measures, what a wrong call says."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_data import small_checkpoint, write_split

from segformer_tf import SegformerImageProcessor
from segformer_tf.cli import benchmark, main, tables
from segformer_tf.pipelines.runtimes.measuring import Measured


def row(numbers, ms, **more):
    return {"runtime": "tensorflow", "numbers": numbers, "size": [64, 96], "ms": ms, "rate": 1000 / ms, **more}


def test_the_fastest_row_that_loses_little_is_marked():
    slow, fast, lossy = row("float32", 30, score=0.7), row("float16", 20, score=0.697), row("int8", 10, score=0.69)
    assert benchmark.recommended([slow, fast, lossy]) is fast
    assert benchmark.recommended([{**slow, "score": 0.6}, fast, lossy]) is lossy


def test_the_row_with_most_pictures_a_second_is_marked_also_where_one_picture_takes_longer():
    soon, many = {**row("float32", 9), "rate": 100.0}, {**row("float32", 10), "rate": 500.0}
    assert benchmark.recommended([soon, many]) is many


def test_the_title_tells_how_many_pictures_were_computed_together(capsys):
    tables.costs(
        [row("float32", 30, batch=2, recommended=True), {**row("int8", 1), "failure": "", "recommended": False}]
    )
    assert "64 x 96, one picture and batches of 2" in capsys.readouterr().out


def test_without_scores_only_float32_is_recommended_and_failures_never():
    slow, fast, small = row("float32", 30), row("float32", 20), row("int8", 10)
    assert benchmark.recommended([slow, {**fast, "failure": "no"}, small]) is slow
    assert benchmark.recommended([slow, fast, small]) is fast
    assert benchmark.recommended([{"failure": "no"}]) is None


def test_what_is_lost_is_counted_from_the_best_float32_row_whichever_ran_first():
    lossy, exact, small = row("mixed_bfloat16", 30, score=0.5), row("float32", 20, score=0.7), row("int8", 5, score=0.5)
    assert benchmark.recommended([lossy, exact, small]) is exact
    assert benchmark.recommended([lossy, {**exact, "score": 0.4}, {**exact, "ms": 1}, small])["score"] == 0.7
    assert benchmark.recommended([lossy, small]) is small


def test_scores_that_are_no_numbers_are_none():
    nan = float("nan")
    exact, small = row("float32", 20, score=nan), row("int8", 5, score=nan)
    assert benchmark.recommended([exact, small]) is exact
    assert benchmark.recommended([{**exact, "score": 0.7}, small, row("float16", 9, score=0.7)])["numbers"] == "float16"


def test_the_table_marks_the_row_and_says_how_to_get_it(capsys):
    best = {**row("float16", 20, score=0.5, memory_mb=300.0, disk_mb=7.0), "runtime": "openvino", "recommended": True}
    tables.costs(
        [
            row("float32", 30, score=0.5, recommended=False),
            best,
            {**row("int8", 1), "failure": "no", "recommended": False},
        ]
    )
    shown = capsys.readouterr().out
    assert "->  openvino" in " ".join(shown.split("\n")).replace("   ", "  ")
    assert "not run: tensorflow, int8: no" in shown
    assert "-> segformer-tf export MODEL DIRECTORY --format openvino --weights float16 --size 64 96 --batch 1" in shown


@pytest.mark.long
def test_a_row_is_measured_in_a_process_of_its_own(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "WAYS", [("tensorflow", "float32"), ("litert", "float32")])
    export = "segformer_tf.export.export.export"
    monkeypatch.setattr(export, lambda *_, **__: (_ for _ in ()).throw(ImportError("litert needs a package")))
    with pytest.raises(SystemExit) as end:
        main(["benchmark", "segformer-b0-camvid", "--size", "32", "64", "--seconds", "0.01", "--json"])
    found, missing = json.loads(capsys.readouterr().out)
    assert end.value.code == 0 and found["recommended"] and found["ms"] > 0 and found["rate"] > 0
    assert found["memory_mb"] > 100 and found["size"] == [32, 64]
    assert missing["failure"] == "litert needs a package" and not missing["recommended"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-model"], "'no-model' is no model"),
        (["segformer-b0-camvid", "--size", "8", "96"], "8 x 96; expected at least 32 a side"),
        (["segformer-b0-camvid", "--data", "nowhere"], "there is no nowhere"),
    ],
)
def test_a_wrong_call_is_told(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(["benchmark", *arguments])
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_data_without_a_val_split_is_told_before_the_work(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "_prepared", lambda *_: pytest.fail("work was begun"))
    (tmp_path / "images" / "train").mkdir(parents=True)
    (tmp_path / "annotations" / "train").mkdir(parents=True)
    with pytest.raises(SystemExit) as end:
        main(["benchmark", "segformer-b0-camvid", "--data", str(tmp_path)])
    assert end.value.code == 1 and "val" in capsys.readouterr().err


def test_every_row_is_scored_at_the_size_that_it_is_timed_at(tmp_path, monkeypatch):
    write_split(tmp_path / "data", "val", 1)
    processor, processors = SegformerImageProcessor(size={"height": 512, "width": 512}), []
    runtime = SimpleNamespace(description=SimpleNamespace(image_processor=lambda: processor))
    monkeypatch.setattr("segformer_tf.pipelines.runtimes.exported.open_exported", lambda _: runtime)
    monkeypatch.setattr("segformer_tf.pipelines.runtimes.measuring.measure", lambda *_: Measured(1.0, 1000.0, 1, None))
    scored = "segformer_tf.training.evaluate"
    monkeypatch.setattr(scored, lambda *given: processors.append(given[3]) or {"mIoU": 0.5})
    (tmp_path / "model.onnx").touch()
    for path in (small_checkpoint(), tmp_path / "model.onnx"):
        task = {"path": str(path), "numbers": "float32", "size": [32, 64], "seconds": 0.01, "data": tmp_path / "data"}
        assert benchmark.run_one(task)["score"] == 0.5
    assert [(found.fixed_size, found.do_resize) for found in processors] == [((32, 64), True)] * 2


def test_a_file_of_one_size_is_timed_at_that_size(tmp_path, capsys, monkeypatch):
    runtime = SimpleNamespace(
        backend="openvino", size=(96, 128), description=SimpleNamespace(image_processor=lambda: None)
    )
    monkeypatch.setattr("segformer_tf.pipelines.runtimes.exported.exported_file", Path)
    monkeypatch.setattr("segformer_tf.pipelines.runtimes.exported.open_exported", lambda _: runtime)
    (way,) = benchmark._prepared("model.xml", None, tmp_path)
    assert way["size"] == [96, 128]
    with pytest.raises(SystemExit) as end:
        main(["benchmark", "model.xml", "--size", "200", "200"])
    assert (
        end.value.code == 2
        and "200 200; expected 96 128, the only size that model.xml takes" in capsys.readouterr().err
    )
