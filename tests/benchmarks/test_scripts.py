"""What single scripts of benchmarks/speed compare: like with like."""

import json
import subprocess
import sys

import numpy as np
import pytest
from reference import ROOT

PAGE = (ROOT / "docs" / "benchmarks.md").read_text("utf-8")


def test_a_peer_whose_logits_have_another_size_is_not_timed(script, tmp_path, monkeypatch):
    peers = script("speed/model_peers")
    job = peers.Job("b0", "64", "2")
    job.exports.mkdir(parents=True)
    values = np.random.default_rng(0).normal(size=(2, 16, 16, 150)).astype("float32")
    for logits in (values, values.transpose(0, 3, 1, 2)):
        job.save("peer", logits)
        np.testing.assert_array_equal(np.load(job.exports / "peer-float32.npy"), values)
    with pytest.raises(ValueError, match=r"logits are \(2, 64, 64, 150\), expected \(2, 16, 16, 150\)"):
        job.save("peer", np.zeros((2, 64, 64, 150)))


def test_keras_hub_s_weights_of_its_own_are_no_failure(script, monkeypatch):
    models = script("speed/models")
    exports = models.OUT / "b0-64-1"
    exports.mkdir(parents=True)

    def measured(make, runs):
        for number, name in enumerate(make):
            np.save(exports / f"{name}-float32.npy", np.full((1, 16, 16, 150), 1.0 + number))
        return {name: {"ms": 1.0} for name in make}

    monkeypatch.setattr(models, "prepare", lambda *_: {})
    monkeypatch.setattr(models, "measure", measured)
    rows = models.run_job("b0-64-1-float32", [models.BASE, "keras_hub", "openvino"], 1)
    assert "ms" in rows["keras_hub"] and "not compared" in rows["openvino"]["failure"]


def test_an_earlier_tree_is_also_that_of_the_processes_it_starts(tmp_path):
    """`python -m` looks into the directory it is started in before PYTHONPATH."""
    package = tmp_path / "segformer_tf"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cli.py").write_text("print('the earlier command')")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks/speed')!r}); import before, subprocess\n"
        f"before.enter({str(tmp_path)!r})\n"
        "subprocess.run([sys.executable, '-m', 'segformer_tf.cli'], check=True)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert ran.stdout == "the earlier command\n", ran.stderr


def test_a_tree_without_the_package_is_not_timed_as_another(tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks/speed')!r})\n"
        f"import before; before.enter({str(tmp_path)!r})"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert ran.returncode == 1 and f"expected that of {tmp_path}" in ran.stderr


def test_the_model_alone_is_asked_for_as_many_pictures_as_the_pipeline(script, tmp_path):
    pipeline, counted = script("speed/pipeline"), []

    class Fake:
        def processor(self, files, **_):
            return {"pixel_values": np.zeros((len(files), 4, 4, 3), np.float32)}

        def runtime(self, batch):
            counted.append(len(batch))

    for number in range(20):
        (tmp_path / f"{number:02}.jpg").touch()
    pipeline.ways(Fake(), None, tmp_path, tmp_path)["the model alone"]()
    assert counted == [8, 8, 4]


def test_figures_of_jobs_that_a_gpu_does_not_run_now_are_kept(script, monkeypatch, tmp_path):
    gpu = script("speed/gpu")
    answer = {"ms": 1.0, "spread": [1, 1], "peak_mb": 1}
    monkeypatch.setattr(gpu, "gpu", lambda: "a GPU")
    monkeypatch.setattr(gpu, "measured", lambda _, rows, options: [[r, j, answer] for r in rows for j in options.jobs])
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    gpu.main()
    kept = json.loads((tmp_path / "bench/gpu.json").read_text())["results"]
    answer = {**answer, "ms": 2.0}
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--jobs", "infer-b0-512-8", "--rows", "torch"])
    gpu.main()
    now = json.loads((tmp_path / "bench/gpu.json").read_text())["results"]
    changed = {(job, row) for job, rows in kept.items() for row in rows if now[job].get(row) != rows[row]}
    assert changed == {("infer-b0-512-8", "torch")} and now["infer-b0-512-8"]["torch"]["ms"] == 2


def test_tensorflow_s_memory_is_not_told_as_tensorrt_s(script):
    assert script("speed/gpu").peak_mb("tensorrt") == {}


def test_the_rows_of_merging_are_those_of_the_page(script):
    merging = script("speed/merging")
    table = PAGE.split("<!-- merging -->")[1].split("| merged |")[1]
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:] if line.startswith("|")]
    assert rows == [merging.in_words(way) for way in merging.SCORED]
    assert merging.settings("q1,2,3 k1") == {"merge_queries": [1, 2, 3], "merge_keys": [1]}
    assert merging.settings("qk1,2") == {"merge_queries": [1, 2], "merge_keys": [1, 2]} and merging.settings("") == {}
