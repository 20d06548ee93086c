"""Where checkpoints are found: directories, bundled models, and a Hub spoken to over HTTP on this machine."""

import os
import shutil
import subprocess
import sys
from importlib.metadata import version

import pytest
from stopped_saves import cut_off

from segformer_tf.checkpoints import load
from segformer_tf.storage import find as room
from segformer_tf.storage.find import load_config

REPO = "some-one/segformer-tiny"


def contents(directory, *names):
    return {name: (directory / name).read_bytes() for name in names}


@pytest.fixture
def repo(hub, fixtures):
    hub.repos[REPO] = {
        "main": contents(fixtures / "hf4-seg", "config.json", "model.safetensors", "tf_model.h5"),
        "other": contents(fixtures / "hf4-cls", "config.json", "tf_model.h5"),
    }
    return hub


def test_files_of_a_directory_are_preferred_in_order(fixtures, tmp_path):
    shutil.copytree(fixtures / "hf4-seg", tmp_path / "m")
    for name in ("model.safetensors", "tf_model.h5", "pytorch_model.bin"):
        assert room.resolve(tmp_path / "m").weights.name == name
        (tmp_path / "m" / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"m holds no weights: looked for model\.safetensors, .*, \*\.pth in"):
        room.resolve(tmp_path / "m")
    (tmp_path / "m" / "a.pth").write_bytes(b"x")
    assert room.resolve(tmp_path / "m").weights.name == "a.pth"
    (tmp_path / "m" / "b.pth").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"holds 2 \.pth files; give the path of one of them, such as .*a\.pth"):
        room.resolve(tmp_path / "m")


def test_an_empty_directory_says_what_was_looked_for(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"holds no weights: looked for config\.json, model\.safetensors, .*\.pth in"
    ):
        room.resolve(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"holds no configuration: looked for config\.json in"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("file", "advice"),
    [
        (
            "flax_model.msgpack",
            r"its flax_model\.msgpack is Flax's, .*: save it as model\.safetensors, .*from_flax=True",
        ),
        ("model.keras", r"its model\.keras is Keras' own: `segformer-tf convert .*model\.keras NEW` reads it"),
        ("model.pt", r"if PyTorch wrote model\.pt, rename it to \.pth"),
        ("model.pth.tar", r"if PyTorch wrote model\.pth\.tar, rename it to \.pth"),
        ("pytorch_model.bin", r"use_safetensors leaves out pytorch_model\.bin"),
    ],
)
def test_files_that_are_not_read_are_named_with_what_to_do(tmp_path, file, advice):
    (tmp_path / "config.json").write_text('{"model_type": "segformer"}')
    (tmp_path / file).write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match=rf"holds no weights: looked for model\.safetensors.* in .*; {advice}"):
        room.resolve(tmp_path, use_safetensors=True if file.endswith(".bin") else None)


def test_weights_without_a_config_are_refused(fixtures, tmp_path):
    shutil.copy(fixtures / "hf4-seg" / "model.safetensors", tmp_path)
    with pytest.raises(
        FileNotFoundError, match=r"holds model\.safetensors but no configuration: looked for config\.json"
    ):
        room.resolve(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": "vit"}', r"config\.json has model_type 'vit', expected \"segformer\""),
        ("[]", r"config\.json holds a list; expected an object"),
        ("{", r"config\.json is not JSON"),
    ],
)
def test_a_config_of_another_kind_is_refused(tmp_path, text, message):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        room.resolve(tmp_path)
    with pytest.raises(ValueError, match=message):
        load_config(tmp_path / "config.json")


@pytest.mark.parametrize("name", ["./nowhere", "a/b/c", "runs\\best", "model.safetensors", "some-one/m.pth", "~/m", ""])
def test_a_name_that_is_neither_path_nor_hub_id_says_what_is_expected(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room, "bundled_names", lambda: ["segformer-b0-camvid"])
    message = r"cannot be a Hub id; expected a path, a Hub id such as .* or a bundled model \(segformer-b0-camvid\)"
    with pytest.raises(FileNotFoundError, match=message):
        room.resolve(name)


@pytest.mark.parametrize("place", ["segformer_tf/_weights", "weights"])
def test_a_bundled_model_is_found_in_an_installed_package_and_in_a_checkout(fixtures, tmp_path, monkeypatch, place):
    monkeypatch.setattr(room, "_PACKAGE", tmp_path / "segformer_tf")
    assert room.bundled_names() == []
    shutil.copytree(fixtures / "hf4-seg", tmp_path / place / "tiny")
    assert room.bundled_names() == ["tiny"]
    assert room.bundled_path("tiny") == tmp_path / place / "tiny"
    assert room.bundled_path("other") is None
    assert load("tiny").config["decoder_hidden_size"] == 16


def test_hub_arguments_are_taken_out_of_the_others():
    arguments = {"revision": "x", "num_labels": 3, "token": None}
    assert room.pop_hub_arguments(arguments) == {"revision": "x", "token": None}
    assert arguments == {"num_labels": 3}


def test_a_checkpoint_comes_from_the_hub_once_and_then_from_the_cache(repo, fixtures, tmp_path):
    checkpoint = load(REPO)
    assert checkpoint.variables.keys() == load(fixtures / "hf4-seg").variables.keys()
    assert checkpoint.config == load_config(fixtures / "hf4-seg")
    assert (tmp_path / "cache") in checkpoint.file.parents
    repo.requests.clear()
    load(REPO)
    assert {method for method, _, _ in repo.requests} == {"HEAD"}
    repo.requests.clear()
    load(REPO, local_files_only=True)
    assert repo.requests == []


def test_revision_cache_directory_and_subfolder_are_followed(repo, fixtures, tmp_path):
    checkpoint = load(REPO, revision="other", cache_dir=tmp_path / "mine")
    assert checkpoint.file.name == "tf_model.h5" and "classifier/kernel" in checkpoint.variables
    assert (tmp_path / "mine") in checkpoint.file.parents
    files = contents(fixtures / "hf4-cls", "config.json", "model.safetensors")
    repo.repos[REPO]["main"] = {f"deep/{name}": data for name, data in files.items()}
    assert "classifier/kernel" in load(REPO, subfolder="deep").variables
    with pytest.raises(FileNotFoundError, match=r"holds no weights: .*in the Hub's repository"):
        load(REPO)


def test_shards_come_from_the_hub_and_a_missing_one_is_named(repo, fixtures, tmp_path):
    from segformer_tf.checkpoints import save

    checkpoint = load(fixtures / "hf4-seg")
    save(tmp_path / "shards", checkpoint.config, checkpoint.variables, max_shard_size="100KB")
    repo.repos[REPO]["main"] = {file.name: file.read_bytes() for file in (tmp_path / "shards").iterdir()}
    assert load(REPO).variables.keys() == checkpoint.variables.keys()
    del repo.repos[REPO]["main"]["model-00002-of-00003.safetensors"]
    with pytest.raises(FileNotFoundError, match=r"lists the shard model-00002-of-00003\.safetensors, which is not in"):
        load(REPO)


def test_an_unknown_repository_and_revision_are_told_apart(repo):
    with pytest.raises(FileNotFoundError, match=r"The Hub has no some-one/else, or it is private .* no directory"):
        load("some-one/else")
    with pytest.raises(FileNotFoundError, match=r"segformer-tiny has no revision 'v9'"):
        load(REPO, revision="v9")


def test_a_gated_repository_asks_for_a_token_and_opens_with_it(repo):
    repo.gated.add(REPO)
    for token in (False, "wrong"):
        with pytest.raises(OSError, match=r"The Hub does not give some-one/segformer-tiny to everyone \(gated\)"):
            load(REPO, token=token)
    assert load(REPO, token="secret").layout == "hub"


def test_a_connection_cut_half_way_is_resumed_where_it_stopped(repo):
    repo.cut["model.safetensors"] = [100_000]
    if version("huggingface_hub").startswith("0."):  # it does not try again by itself, but goes on when asked again
        with pytest.raises(OSError, match=r"Downloading model\.safetensors of .* failed .*try again"):
            load(REPO)
    assert len(load(REPO).variables) == 145
    ranges = [headers.get("range") for method, path, headers in repo.requests if method == "GET" and "model" in path]
    assert ranges == [None, "bytes=100000-"]


def test_a_connection_that_keeps_breaking_is_a_clear_error_and_leaves_no_file(repo, tmp_path):
    repo.cut["model.safetensors"] = [1000] + [0] * 20
    with pytest.raises(OSError, match=r"Downloading model\.safetensors of some-one/segformer-tiny failed .*try again"):
        load(REPO)
    assert not list((tmp_path / "cache").rglob("snapshots/*/model.safetensors"))
    repo.cut.clear()
    assert len(load(REPO).variables) == 145


def test_a_file_with_a_wrong_checksum_is_thrown_away(repo, tmp_path):
    repo.damaged.add("model.safetensors")
    with pytest.raises(OSError, match=r"model\.safetensors of some-one/segformer-tiny arrived damaged \(SHA-256"):
        load(REPO)
    assert not list((tmp_path / "cache").rglob("snapshots/*/model.safetensors"))
    repo.damaged.clear()
    assert len(load(REPO).variables) == 145


def test_without_a_network_the_error_says_how_to_use_a_directory(repo):
    repo.stop()
    with pytest.raises(
        OSError, match=r"The Hub cannot be reached for config\.json of .*give the path of its directory"
    ):
        load(REPO)


@pytest.mark.parametrize("status", [0, 500, 429])
def test_what_is_in_the_cache_loads_while_the_hub_is_away(repo, status):
    del repo.repos[REPO]["main"]["model.safetensors"]  # whose absence the cache knows
    assert load(REPO).file.name == "tf_model.h5"
    repo.statuses[REPO] = status
    assert load(REPO).file.name == "tf_model.h5"
    with pytest.raises(OSError, match=r"config\.json of some-one/segformer-tiny"):
        load(REPO, force_download=True)
    with pytest.raises(OSError, match=r"config\.json of some-one/segformer-tiny"):
        load(REPO, revision="other")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (0, "try again|check the network"),
        (401, r"401.*check the token \(pass token=, or run `hf auth login`\)|private .*pass token="),
        (403, r"answered with status 403 .*check the token \(pass token=, or run `hf auth login`\)"),
        (429, r"answered with status 429 .*too many requests: wait some minutes"),
        (503, r"answered with status 503 .*try again later, or download the repository elsewhere"),
    ],
)
def test_what_the_hub_answered_is_told_with_what_to_do(repo, status, advice):
    repo.statuses[REPO] = status
    with pytest.raises(OSError, match=advice):
        load(REPO)


def test_offline_and_not_in_the_cache_says_so(repo):
    with pytest.raises(FileNotFoundError, match=r"in the Hub's cache only, .*give the path of a directory"):
        load(REPO, local_files_only=True)


def test_the_endpoint_and_offline_variables_of_the_environment_are_honoured(repo, tmp_path):
    code = f"from segformer_tf.checkpoints import load; print(len(load({REPO!r}).variables))"

    def run(**more):
        environment = {**os.environ, "HF_ENDPOINT": repo.url, "HF_HOME": str(tmp_path / "home"), **more}
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)

    assert run().stdout.strip() == "145"
    repo.stop()
    assert run(HF_HUB_OFFLINE="1").stdout.strip() == "145"


def test_a_stopped_save_is_finished_before_a_file_is_looked_for(tmp_path, monkeypatch):
    cut_off(tmp_path, monkeypatch)
    assert room.find(tmp_path, "b.json").read_text() == "new"


@pytest.mark.parametrize(
    "name", ["segformer-b0-camvd", "segformer-B0-camvid", "SegFormer-B0-CamVid", "Segformer-b0-camvid/"]
)
def test_a_misspelt_bundled_model_is_told_before_the_network_is_asked(monkeypatch, name):
    monkeypatch.setattr(room, "download", None)
    told = f"no file, directory or bundled model {name}: did you mean segformer-b0-camvid"
    with pytest.raises(FileNotFoundError, match=told):
        room.find(name, "config.json")


def test_the_name_of_a_bundled_model_under_another_owner_is_a_hub_id(monkeypatch, tmp_path):
    monkeypatch.setattr(room, "download", lambda repo, *_: tmp_path / repo)
    assert room.find("acme/segformer-b0-camvid", "config.json") == tmp_path / "acme/segformer-b0-camvid"


def test_a_bundled_model_that_was_changed_is_refused(tmp_path, monkeypatch):
    weights = tmp_path / "package" / "_weights" / room.DEFAULT_MODEL
    shutil.copytree(room.bundled_path(room.DEFAULT_MODEL), weights)
    (weights / "config.json").write_text("{}")
    monkeypatch.setattr(room, "_PACKAGE", tmp_path / "package")
    monkeypatch.chdir(tmp_path)
    room._check_bundled.cache_clear()
    try:
        with pytest.raises(OSError, match=r"config\.json is not the file that was published"):
            room.find(room.DEFAULT_MODEL, "config.json")
    finally:
        room._check_bundled.cache_clear()


def test_a_directory_best_inside_a_model_is_not_taken_for_it(tmp_path):
    (tmp_path / "best").mkdir()
    for directory in (tmp_path, tmp_path / "best"):
        (directory / "config.json").write_text("{}")
    assert room.find(tmp_path, "config.json") == tmp_path / "config.json"
