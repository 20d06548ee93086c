"""The model card and the upload."""

import json
import shutil
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard
from small_data import tiny_network, write_split

from segformer_tf import SegformerConfig, TFSegformerDecodeHead
from segformer_tf.storage.find import load_config
from segformer_tf.storage.publish import model_card, push_to_hub
from segformer_tf.training import evaluate, read_split


def test_the_card_says_what_the_model_is_how_to_load_it_and_what_it_scores(fixtures):
    card = ModelCard(
        model_card("me/tiny", load_config(fixtures / "hf4-seg"), {"mIoU": 0.41234, "F1": 0.9}, 'CamVid: "val", plain')
    )
    assert (card.data.pipeline_tag, card.data.license) == ("image-segmentation", "other")
    assert (card.data.library_name, card.data.model_name) == ("segformer-tf", "tiny")
    assert [(r.metric_type, r.metric_name, r.metric_value) for r in card.data.eval_results] == [
        ("mean_iou", "mIoU", 0.41234),
        ("F1", "F1", 0.9),
    ]
    assert {r.metric_args["protocol"] for r in card.data.eval_results} == {'CamVid: "val", plain'}
    assert 'TFSegformerForSemanticSegmentation.from_pretrained("me/tiny")' in card.text
    assert "with 5 classes" in card.text and "class 0, class 1" in card.text
    assert "| mIoU | 0.4123 |" in card.text and 'Protocol: CamVid: "val", plain' in card.text


def test_a_card_without_scores_has_no_table_of_them(fixtures):
    card = ModelCard(model_card("me/tiny", load_config(fixtures / "hf4-cls")))
    more = model_card("me/tiny", load_config(fixtures / "hf4-cls"), about="## Data\n\nNone.\n")
    assert more.endswith("\n\n## Data\n\nNone.\n") and ModelCard(more).text.startswith(card.text.rstrip())
    assert "Scores" not in card.text and card.data.eval_results is None
    assert card.data.pipeline_tag == "image-classification"


def test_a_directory_is_uploaded_in_one_commit_with_its_card(hub, fixtures, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(fixtures / "hf4-seg" / name, tmp_path)
    address = push_to_hub(tmp_path, "me/tiny", card="# Tiny\n", token="secret", commit_message="First")
    assert address == f"{hub.url}/me/tiny/commit/1"
    header, *lines = hub.commits["me/tiny"]
    assert header["value"]["summary"] == "First"
    uploaded = {line["value"]["path"]: line["value"]["content"] for line in lines}
    assert uploaded.keys() == {"config.json", "model.safetensors", "README.md"}
    assert uploaded["README.md"] == b"# Tiny\n"
    assert json.loads(uploaded["config.json"])["model_type"] == "segformer"


ARGUMENTS = {"token": "secret", "private": True, "commit_message": "Second", "revision": "next", "create_pr": True}


class Recorded:
    """`HfApi` by what it was told, and the files that it was given; how it then asks the Hub is its own affair."""

    def __init__(self, token):
        self.told, self.files = {"token": token}, {}
        Recorded.last = self

    def create_repo(self, repo_id, private, exist_ok):
        assert exist_ok
        self.told |= {"private": private}
        return SimpleNamespace(repo_id=repo_id)

    def upload_folder(self, repo_id, folder_path, **arguments):
        self.told |= {"repo_id": repo_id, **arguments}
        self.files = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        return SimpleNamespace(pr_url=None, commit_url="there")


@pytest.fixture
def api(monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", Recorded)
    return Recorded


def test_every_argument_of_an_upload_reaches_the_hub(api, tmp_path):
    assert push_to_hub(tmp_path, "me/tiny", **ARGUMENTS) == "there"
    assert api.last.told == {"repo_id": "me/tiny", **ARGUMENTS}


def test_a_configuration_hands_every_argument_on(api, tmp_path):
    SegformerConfig().save_pretrained(tmp_path / "tiny", push_to_hub=True, repo_id="me/tiny", **ARGUMENTS)
    assert api.last.told == {"repo_id": "me/tiny", **ARGUMENTS} and api.last.files.keys() == {"config.json"}
    SegformerConfig().save_pretrained(tmp_path / "tiny", push_to_hub=True)
    assert api.last.told["repo_id"] == "tiny"


def test_a_model_hands_every_argument_on(api, tmp_path):
    head = TFSegformerDecodeHead(SegformerConfig())
    about = {"about": "## Data\n\nNone.", "protocol": "val", "metrics": {"mIoU": 0.5}, "max_shard_size": "300KB"}

    def check(repo_id):
        assert api.last.told == {"repo_id": repo_id, **ARGUMENTS}
        card = api.last.files["README.md"]
        assert card.endswith(b"## Data\n\nNone.\n") and b"Protocol: val" in card and b"| mIoU | 0.5000 |" in card
        assert "model.safetensors.index.json" in api.last.files

    head.push_to_hub("me/tiny", **about, **ARGUMENTS)
    check("me/tiny")
    head.save_pretrained(tmp_path / "mine", push_to_hub=True, **about, **ARGUMENTS)  # called as its directory
    check("mine")
    assert (tmp_path / "mine" / "model.safetensors.index.json").exists()


def test_an_upload_that_is_refused_is_one_clear_error_and_nothing_is_sent(hub, fixtures, tmp_path):
    shutil.copy(fixtures / "hf4-seg" / "config.json", tmp_path)
    with pytest.raises(
        OSError, match=r"Uploading to me/tiny failed \(.*401.*check the name, the network and the token"
    ):
        push_to_hub(tmp_path, "me/tiny", token="wrong")
    assert hub.commits == {}


def test_a_readme_that_is_there_is_kept(hub, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    push_to_hub(tmp_path, "me/tiny", card="# Tiny\n", token="secret")
    assert hub.commits["me/tiny"][1]["value"]["content"] == b"mine"


def test_a_model_goes_to_the_hub_with_the_scores_that_evaluate_gives(hub, tmp_path):
    write_split(tmp_path, "val", 3)
    model = tiny_network()
    scores = evaluate(model, read_split(tmp_path, "val"))
    metrics = {name: scores[name] for name in ("mIoU", "mAcc", "aAcc")}
    model.save_pretrained(
        tmp_path / "model",
        push_to_hub=True,
        repo_id="me/tiny",
        token="secret",
        metrics=metrics,
        protocol=scores["protocol"],
    )
    uploaded = {line["value"]["path"]: line["value"]["content"] for line in hub.commits["me/tiny"][1:]}
    card = uploaded["README.md"].decode()
    assert f"| mIoU | {scores['mIoU']:.4f} |" in card and f"Protocol: {scores['protocol']}" in card
    assert uploaded["model.safetensors"] == (tmp_path / "model" / "model.safetensors").read_bytes()


def test_save_pretrained_names_arguments_that_it_does_not_know(tmp_path):
    with pytest.raises(TypeError, match="save_pretrained got an unknown keyword 'signatures': it takes "):
        tiny_network().save_pretrained(tmp_path / "model", signatures={})
    assert not (tmp_path / "model").exists()
