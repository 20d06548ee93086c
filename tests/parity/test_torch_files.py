"""PyTorch's files, read and written beside PyTorch and transformers themselves."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from segformer_tf import SegformerImageProcessor
from segformer_tf.checkpoints import formats, load, names, save
from segformer_tf.convert import convert

# The fixtures of NVlabs' code are tiny models.
pytestmark = pytest.mark.filterwarnings("ignore:The configuration of .* is read off its tensors")
FIXTURES = Path(__file__).parents[1] / "fixtures"
CLASSES = {
    "hf4-seg": transformers.SegformerForSemanticSegmentation,
    "hf4-cls": transformers.SegformerForImageClassification,
}


def same(first, second):
    assert first.keys() == second.keys()
    for path, array in first.items():
        np.testing.assert_array_equal(second[path], array)


@pytest.mark.parametrize("name", CLASSES)
def test_a_bin_holds_the_same_values_as_the_safetensors_file(name):
    checkpoint = load(FIXTURES / name / "pytorch_model.bin")
    assert checkpoint.layout == "hub" and checkpoint.unexpected == []
    same(load(FIXTURES / name).variables, checkpoint.variables)


@pytest.mark.parametrize(("name", "labels"), [("segformer.pth", 5), ("mit.pth", 7)])
def test_a_pth_of_nvlabs_is_read_with_the_config_that_its_tensors_say(name, labels):
    checkpoint = load(FIXTURES / "nvlabs" / name)
    own = load(FIXTURES / "hf4-seg").config
    assert checkpoint.layout == "nvlabs" and checkpoint.unexpected == []
    assert checkpoint.config["encoder_norm_eps"] == 1e-6
    assert len(checkpoint.config["id2label"]) == labels
    for key in ("depths", "hidden_sizes", "sr_ratios", "patch_sizes", "mlp_ratios", "num_channels", "strides"):
        assert checkpoint.config[key] == own[key]


@pytest.mark.parametrize("name", ["segformer.pth", "mit.pth"])
def test_a_pth_comes_back_bit_for_bit_through_every_format(name, tmp_path):
    content = torch.load(FIXTURES / "nvlabs" / name, weights_only=True)
    source = content.get("state_dict", content)
    step = FIXTURES / "nvlabs" / name
    for number, format in enumerate(("safetensors", "h5", "keras", "bin", "pth")):
        step = convert(step, tmp_path / str(number), format=format)[-1]
    back = torch.load(step, weights_only=True)
    written = back["state_dict"]
    assert {key for key in source if "conv_seg" not in key} == set(written)
    assert all(torch.equal(written[key], source[key]) for key in written if "num_batches" not in key)
    if "meta" in content:
        assert back["meta"]["CLASSES"] == content["meta"]["CLASSES"]


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_saved_loads_in_transformers_without_a_missing_or_unexpected_key(name, tmp_path):
    checkpoint = load(FIXTURES / name)
    for shards in (None, "100KB"):
        save(tmp_path / str(shards), checkpoint.config, checkpoint.variables, max_shard_size=shards)
        model, report = CLASSES[name].from_pretrained(tmp_path / str(shards), output_loading_info=True)
        assert not any(report.values()), report
        reference = CLASSES[name].from_pretrained(FIXTURES / name)
        for key, tensor in reference.state_dict().items():
            assert torch.equal(model.state_dict()[key], tensor), key


def test_an_encoder_alone_loads_in_transformers(tmp_path):
    checkpoint = load(FIXTURES / "hf4-cls")
    encoder = {path: array for path, array in checkpoint.variables.items() if not path.startswith("classifier")}
    save(tmp_path, checkpoint.config, encoder)
    _, report = transformers.SegformerModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report


@pytest.mark.parametrize("name", CLASSES)
def test_a_live_module_has_names_that_are_read(name):
    state = {key: tensor.numpy() for key, tensor in CLASSES[name].from_pretrained(FIXTURES / name).state_dict().items()}
    layout = names.detect_layout(state)
    variables, unexpected = names.to_variables(state, layout)
    assert layout in ("hub", "transformers5") and unexpected == []
    same(load(FIXTURES / name).variables, variables)
    assert names.from_variables(variables, layout).keys() == state.keys()


def test_a_pth_for_other_code_warns_of_its_epsilon(tmp_path):
    with pytest.warns(UserWarning, match=r"NVlabs' code runs the norms .* at epsilon 1e-6, this checkpoint has 1e-5"):
        convert(FIXTURES / "hf4-seg", tmp_path / "m.pth")


@pytest.mark.parametrize("legacy", [False, True])
def test_half_precision_legacy_files_and_other_wrappings_are_read(tmp_path, legacy):
    state = {
        "head.weight": torch.nn.Parameter(torch.tensor([[1.5, -2.0]]).bfloat16()),
        "head.bias": torch.ones(1).half(),
    }
    for content in (
        state,
        {"model": state},
        {"model_state_dict": state, "epoch": 3},
        {"state_dict": state, "meta": None},
        {**state, "epoch": 3, "optimizer": {"lr": 0.1}},
    ):
        torch.save(content, tmp_path / "m.pth", _use_new_zipfile_serialization=not legacy)
        tensors, _ = formats.read(tmp_path / "m.pth")
        np.testing.assert_array_equal(tensors["head.weight"], np.array([[1.5, -2.0]], np.float32))
        assert tensors["head.bias"].dtype == np.float32


def test_of_several_sets_of_weights_the_one_taken_is_told(tmp_path):
    state, average = {"head.weight": torch.ones(2)}, {"head.weight": torch.zeros(2)}
    for taken, other in (("state_dict", "ema_state_dict"), ("model", "model_ema")):
        torch.save({taken: state, other: average, "optimizer": {"state": {}}}, tmp_path / "m.pth")
        with pytest.warns(UserWarning, match=rf'holds weights under "{taken}", which are taken, and under \'{other}\''):
            tensors, _ = formats.read(tmp_path / "m.pth")
        assert tensors["head.weight"].all()


@pytest.mark.parametrize("content", [{"epoch": 3}, {"state_dict": {}}, {"model": {"a": 1}}, [1]], ids=str)
def test_a_file_without_tensors_by_name_says_where_they_are_looked_for(tmp_path, content):
    torch.save(content, tmp_path / "m.pth")
    keys = "state_dict, model_state_dict, model"
    with pytest.raises(
        ValueError, match=rf"m\.pth holds no tensors by name; expected a state dict, bare or under {keys}"
    ):
        formats.read(tmp_path / "m.pth")


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "model.", "net."])
def test_the_names_of_wrapped_modules_are_read(tmp_path, before):
    state = torch.load(FIXTURES / "nvlabs" / "segformer.pth", weights_only=True)["state_dict"]
    torch.save({"state_dict": {before + key: value for key, value in state.items()}}, tmp_path / "m.pth")
    same(load(FIXTURES / "nvlabs" / "segformer.pth").variables, load(tmp_path / "m.pth").variables)


class Run:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_bin_that_would_run_code_is_refused_and_does_not_run(tmp_path, legacy):
    shutil.copy(FIXTURES / "hf4-seg" / "config.json", tmp_path)
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": Run(tmp_path / "ran")}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(
        ValueError, match=r"pytorch_model\.bin is refused: it holds more than tensors and could run code"
    ):
        load(tmp_path)
    path.write_bytes(pickle.dumps(Run(tmp_path / "ran"), protocol=2))
    with pytest.raises(ValueError, match=r"pytorch_model\.bin is (refused|not a whole PyTorch file)"):
        load(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_damaged_file_and_one_without_tensors_are_refused(tmp_path):
    whole = (FIXTURES / "hf4-seg" / "pytorch_model.bin").read_bytes()
    for content in (whole[: len(whole) // 2], b"not weights at all"):
        (tmp_path / "m.bin").write_bytes(content)
        with pytest.raises(ValueError, match=r"m\.bin is (refused|not a whole PyTorch file)"):
            formats.read(tmp_path / "m.bin")
    for content in ([1, 2], {"epoch": 3}, torch.ones(2)):
        torch.save(content, tmp_path / "m.bin")
        with pytest.raises(ValueError, match=r"m\.bin holds no tensors by name; expected a state dict"):
            formats.read(tmp_path / "m.bin")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tensors_with_gradients_and_in_bfloat16_are_logits_and_pictures(dtype):
    processor = SegformerImageProcessor(size=16, do_rescale=False, data_format="channels_first")
    logits = torch.rand(2, 3, 6, 7).to(dtype)
    expected = processor.post_process_semantic_segmentation(logits.float().numpy(), [(12, 14)] * 2)
    sizes = torch.tensor([[12, 14]] * 2)
    for given in (logits.requires_grad_(), list(logits)):
        np.testing.assert_array_equal(processor.post_process_semantic_segmentation(given, sizes), expected)
    picture = torch.rand(3, 40, 50).to(dtype)
    np.testing.assert_array_equal(
        processor(picture.requires_grad_()).pixel_values, processor(picture.detach().float().numpy()).pixel_values
    )


def test_a_sparse_tensor_is_told_as_such(tmp_path):
    torch.save({"weight": torch.eye(3).to_sparse()}, tmp_path / "m.pth")
    with pytest.raises(
        ValueError, match=r"tensor weight is sparse; expected a dense one: save what its to_dense\(\) gives"
    ):
        formats.read(tmp_path / "m.pth")


def test_a_file_of_pytorch_with_another_suffix_is_read_once_it_is_renamed(tmp_path):
    expected = load(FIXTURES / "nvlabs" / "segformer.pth")
    for name in ("model.pth.tar", "model.pt", "model.ckpt"):
        shutil.copy(FIXTURES / "nvlabs" / "segformer.pth", tmp_path / name)
        with pytest.raises(ValueError, match=r"rename it to \.pth"):
            load(tmp_path / name)
        (tmp_path / name).rename(tmp_path / "model.pth")
        same(expected.variables, load(tmp_path / "model.pth").variables)
