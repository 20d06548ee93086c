"""`examples/browser/build.py`: which models it takes; that the page shows them, `chromium/test_browser.py` tests."""

import importlib.util
import sys

import pytest
from reference import ROOT

from segformer_tf import SegformerImageProcessor

CONFIG = {"architectures": ["SegformerForSemanticSegmentation"]}


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build", ROOT / "examples" / "browser" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("settings", [{}, {"do_normalize": False}, {"do_rescale": False}, {"rescale_factor": 0.01}])
def test_what_the_page_computes_is_taken(build, settings):
    assert build.what_is_unknown(CONFIG, SegformerImageProcessor(**settings).to_dict()) is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"do_resize": False}, "do_resize is false"),
        ({"size": {"shortest_edge": 64}}, "resizes to {'shortest_edge': 64} by filter 2"),
        ({"resample": 3}, "by filter 3"),
        ({"do_exif_transpose": False}, "do_exif_transpose is false"),
        ({"value_range": (0, 4095)}, "value_range is (0.0, 4095.0)"),
    ],
)
def test_what_it_does_not_is_told(build, settings, told):
    assert told in build.what_is_unknown(CONFIG, SegformerImageProcessor(**settings).to_dict())


def test_a_classifier_is_refused(build):
    config = {"architectures": ["SegformerForImageClassification"]}
    assert "SegformerForImageClassification" in build.what_is_unknown(config, SegformerImageProcessor().to_dict())


def test_nothing_is_written_for_a_model_that_is_refused(build, tmp_path, monkeypatch):
    def export(command):
        model = build.Path(command[5])
        model.mkdir()
        (model / "config.json").write_text('{"architectures": ["SegformerForImageClassification"]}')
        (model / "preprocessor_config.json").write_text(SegformerImageProcessor().to_json_string())
        return build.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(build, "RUNTIME", tmp_path)
    monkeypatch.setattr(build.subprocess, "run", export)
    monkeypatch.setattr(sys, "argv", ["build.py", str(tmp_path / "site"), "--model", "mine"])
    with pytest.raises(SystemExit, match=r"mine: it is a SegformerForImageClassification; .* was not written"):
        build.main()
    assert not (tmp_path / "site").exists()


def test_another_build_into_the_same_folder_leaves_no_weights_of_the_first(build, tmp_path, monkeypatch):
    def export(command):
        model, weights = build.Path(command[5]), command[-1]
        (model / "onnx").mkdir(parents=True)
        (model / "onnx" / f"{weights}.onnx").touch()
        (model / "config.json").write_text(build.json.dumps(CONFIG))
        (model / "preprocessor_config.json").write_text(SegformerImageProcessor().to_json_string())
        return build.subprocess.CompletedProcess(command, 0)

    (tmp_path / "ort").mkdir()
    for name in build.ORT:
        (tmp_path / "ort" / name).touch()
    monkeypatch.setattr(build, "RUNTIME", tmp_path / "ort")
    monkeypatch.setattr(build.subprocess, "run", export)
    for weights in ("float32", "int8"):
        monkeypatch.setattr(sys, "argv", ["build.py", str(tmp_path / "site"), "--weights", weights])
        build.main()
    assert [file.name for file in (tmp_path / "site/model/onnx").iterdir()] == ["int8.onnx"]
