"""The configuration files of TF Serving's own server."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from segformer_tf.serving.config import serving_config
from segformer_tf.serving.directories import home_of, version_directories


def test_the_configuration_files_are_what_tf_serving_reads(tmp_path):
    (tmp_path / "street/1").mkdir(parents=True)
    (tmp_path / "street/2").mkdir()
    texts = serving_config(tmp_path / "street", labels={"stable": 1, "canary": 2}, threads=3)
    assert list(texts) == ["models.config", "batching_params.txt", "monitoring.config"]
    config = text_format.Parse(texts["models.config"], model_server_config_pb2.ModelServerConfig())
    (served,) = config.model_config_list.config
    assert (served.name, served.base_path, served.model_platform) == ("street", "/models/street", "tensorflow")
    assert list(served.model_version_policy.specific.versions) == [1, 2]
    assert dict(served.version_labels) == {"stable": 1, "canary": 2}
    assert "batch_timeout_micros { value: 5000 }\n" in texts["batching_params.txt"]
    assert "num_batch_threads { value: 3 }\n" in texts["batching_params.txt"]
    assert (
        texts["monitoring.config"]
        == 'prometheus_config {\n  enable: true\n  path: "/monitoring/prometheus/metrics"\n}\n'
    )


def test_without_labels_the_latest_version_is_configured(tmp_path):
    (tmp_path / "street/1").mkdir(parents=True)
    text = serving_config(tmp_path / "street", name="road")["models.config"]
    config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    assert config.model_config_list.config[0].base_path == "/models/road"
    assert config.model_config_list.config[0].model_version_policy.latest.num_versions == 1
    with pytest.raises(FileNotFoundError, match=r"There is no version 3 in .*, which the label 'canary' names"):
        serving_config(tmp_path / "street", labels={"canary": 3})
    with pytest.raises(ValueError, match="threads is 0, expected at least 1"):
        serving_config(tmp_path / "street", threads=0)


def test_a_versions_own_directory_stands_for_the_one_that_it_is_in(tmp_path, monkeypatch):
    (version := tmp_path / "street/1").mkdir(parents=True)
    (version / "saved_model.pb").touch()
    monkeypatch.chdir(version)
    for place in (version, "."):
        assert serving_config(place, labels={"stable": 1}) == serving_config(version.parent, labels={"stable": 1})
        assert version_directories(place) == {1: Path(place)} and home_of(place) == version.parent
    version.rename(tmp_path / "model")
    with pytest.raises(
        ValueError, match=r"model is a SavedModel, expected a directory of versions: move it into .*1\."
    ):
        serving_config(tmp_path / "model")


def test_only_numbers_as_tf_serving_reads_them_are_versions(tmp_path):
    for name in ("\u00b2", "\u0663", "-1", "1.5", "12"):
        (tmp_path / name).mkdir()
    assert version_directories(tmp_path) == {12: tmp_path / "12"}
    (tmp_path / "\u00b2/saved_model.pb").touch()
    assert version_directories(tmp_path / "\u00b2") == {1: tmp_path / "\u00b2"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": {'a"b': 1}}, "The label is 'a\"b', expected one without quotes"),
        ({"base_path": "/models/a\n"}, "The base path is .*, expected one without quotes"),
        ({"name": "a/b"}, "The name is 'a/b', expected one without quotes, slashes"),
    ],
)
def test_what_the_files_cannot_hold_is_refused(tmp_path, options, message):
    (tmp_path / "1").mkdir()
    with pytest.raises(ValueError, match=message):
        serving_config(tmp_path, **options)
