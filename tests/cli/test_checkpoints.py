"""`info` and `convert`: what a checkpoint is, and what is no checkpoint."""

import json
import shutil

from reference import FIXTURES

from segformer_tf import SegformerConfig
from segformer_tf.pipelines.runtimes import exported
from segformer_tf.pipelines.runtimes.description import Description
from segformer_tf.pipelines.runtimes.runtime import Runtime


def test_info_tells_what_a_checkpoint_is(call):
    status, stdout, _ = call("info", "segformer-b0-camvid", "--json")
    facts = json.loads(stdout)
    assert status == 0 and facts["variant"] == "b0" and facts["parameters"] == 3_717_483
    assert facts["labels"][0] == "sky" and facts["input"] == {"height": 360, "width": 480}
    assert "hidden sizes: 8, 16, 20, 32" in call("info", FIXTURES / "hf4-cls" / "tf_model.h5")[1]


def test_info_tells_what_an_exported_file_says_of_itself(call, tmp_path, monkeypatch):
    (file := tmp_path / "onnx" / "model.onnx").parent.mkdir()
    file.touch()
    (tmp_path / "config.json").touch()
    said = Description("TFSegformerForSemanticSegmentation", SegformerConfig(num_labels=2).to_dict())
    monkeypatch.setattr(exported, "open_exported", lambda path: Runtime(str(path), said))
    facts = json.loads(call("info", tmp_path, "--json")[1])
    assert facts["file"] == str(file) and facts["architecture"] == said.model
    assert facts["num_labels"] == len(facts["labels"]) == 2 and facts["input"] == {"height": 512, "width": 512}


def test_info_shows_a_name_with_a_line_end_in_one_line(call, tmp_path):
    shutil.copytree(FIXTURES / "hf4-seg", tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    first = next(iter(config["id2label"]))
    config["id2label"][first], config["label2id"] = "a\nb", {}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert "labels: a\\nb" in call("info", tmp_path)[1]


def test_info_quotes_a_name_with_a_comma(call, tmp_path):
    shutil.copytree(FIXTURES / "hf4-seg", tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    names = dict(zip(config["id2label"], ["tench, Tinca tinca", "Straße, nass", "sky"], strict=False))
    config["id2label"], config["label2id"] = {**config["id2label"], **names}, {}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert 'labels: "tench, Tinca tinca", "Straße, nass", sky' in call("info", tmp_path)[1]


def test_info_refuses_tensors_that_do_not_fit_the_configuration(call, tmp_path):
    shutil.copy(FIXTURES / "hf4-seg" / "model.safetensors", tmp_path)
    config = json.loads((FIXTURES / "hf4-seg" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "decoder_hidden_size": 24}))
    status, stdout, stderr = call("info", tmp_path)
    assert (status, stdout) == (1, "") and "do not fit the model" in stderr and stderr.count("\n") == 1
    assert "decode_head.linear_fuse.weight is (16, 64, 1, 1), expected (24, 96, 1, 1)" in stderr


def test_a_run_means_its_best_model(call, tmp_path):
    shutil.copytree(FIXTURES / "hf4-seg", tmp_path / "run" / "best")
    (tmp_path / "run" / "log.csv").touch()
    status, stdout, _ = call("info", tmp_path / "run", "--json")
    assert status == 0 and json.loads(stdout)["file"] == str(tmp_path / "run" / "best" / "model.safetensors")


def test_convert_writes_what_info_reads(call, tmp_path):
    status, stdout, _ = call("convert", FIXTURES / "hf4-seg", tmp_path / "tf_model.h5")
    assert status == 0 and f"wrote {tmp_path / 'tf_model.h5'}" in stdout
    assert "names: tf" in call("info", tmp_path / "tf_model.h5")[1]


def test_a_hub_id_without_a_network_says_what_to_do(call, monkeypatch):
    from huggingface_hub import constants  # reads HF_HUB_OFFLINE once, when it is loaded

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    status, _, stderr = call("info", "nobody/nothing")
    assert status == 1 and "download it once with a network, or give the path of a directory" in stderr


def test_what_is_not_there_is_named(call, tmp_path):
    status, _, stderr = call("info", "nowhere/at/all")
    assert status == 1 and "There is no file or directory nowhere/at/all, and it cannot be a Hub id" in stderr
