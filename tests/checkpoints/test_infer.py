"""Configurations read off tensors."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from random_checkpoints import checkpoints, random_variables

from segformer_tf.checkpoints import checkpoint as whole_checkpoint
from segformer_tf.checkpoints import infer, load, names
from segformer_tf.config import VARIANTS, SegformerConfig

TINY = {"depths": [1] * 4, "hidden_sizes": [2, 4, 5, 8], "decoder_hidden_size": 3, "num_labels": 2}


@settings(max_examples=30, deadline=None)
@given(checkpoint=checkpoints())
def test_a_config_comes_back_from_the_shapes_alone(checkpoint):
    config, _, variables = checkpoint
    assert infer.infer_config(variables, "hub") == config


def test_nvlabs_epsilon_is_recorded_and_only_for_their_code():
    variables = random_variables(TINY, "classifier")
    assert infer.infer_config(variables, "nvlabs")["encoder_norm_eps"] == 1e-6
    assert infer.infer_config(variables, "mmseg")["encoder_norm_eps"] == 1e-6
    assert "encoder_norm_eps" not in infer.infer_config(variables, "hub")


@pytest.mark.parametrize("metadata", [{"CLASSES": ("sky", "road")}, {"dataset_meta": {"classes": ["sky", "road"]}}])
def test_class_names_come_from_the_files_metadata(metadata):
    config = infer.infer_config(random_variables(TINY, "decode_head"), "nvlabs", metadata)
    assert config["id2label"] == {"0": "sky", "1": "road"}
    assert config["label2id"] == {"sky": 0, "road": 1}


def test_class_names_of_another_number_are_not_used():
    config = infer.infer_config(random_variables(TINY, "decode_head"), "nvlabs", {"CLASSES": ("sky",)})
    assert config["id2label"] == {"0": "LABEL_0", "1": "LABEL_1"}


def test_a_ratio_that_is_not_whole_is_kept():
    config = {**TINY, "mlp_ratios": [4, 4, 4, 2.5]}
    assert infer.infer_config(random_variables(config, None), "hub")["mlp_ratios"] == [4, 4, 4, 2.5]


def without(variables, *parts):
    return {path: array for path, array in variables.items() if not any(part in path for part in parts)}


def told(variables, layout="nvlabs"):
    """The warnings for a file of these tensors and no configuration."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        whole_checkpoint.understand(names.from_variables(variables, layout), None, {}, Path("a.pth"))
    return [str(each.message) for each in caught]


@pytest.mark.parametrize("variant", VARIANTS)
def test_published_models_are_read_off_their_tensors_without_a_word(variant):
    narrow = {"hidden_sizes": [2, 4, 5, 8], "depths": VARIANTS[variant][0], "decoder_hidden_size": 3}
    assert told(random_variables(narrow, "decode_head")) == []


def test_what_was_read_is_told_where_blocks_or_reductions_may_be_missing():
    whole = random_variables({**TINY, "depths": [3, 4, 6, 3]}, "decode_head")
    for parts, read in (
        (["block_1_3"], r"depths=\[3, 3, 6, 3\], sr_ratios=\[8, 4, 2, 1\]"),
        (["attention/sr", "attention/layer_norm"], r"depths=\[3, 4, 6, 3\], sr_ratios=\[1, 1, 1, 1\]"),
    ):
        (warning,) = told(without(whole, *parts))
        assert re.match(
            f"The configuration of a.pth is read off its tensors, and no published SegFormer has {read}", warning
        )
    assert infer.infer_config(without(whole, "block_1_2"), "hub")["depths"] == [3, 4, 6, 3]  # the gap is missing


@pytest.mark.parametrize("layout", ["nvlabs", "hub"])
@pytest.mark.parametrize(("parts", "nvlabs", "hub"), [
    (["patch_embeddings_2"], "patch_embed3.proj.weight", "encoder.patch_embeddings.2.proj.weight"),
    (["block_1_"], "block2.0.mlp.fc1.bias", "encoder.block.1.0.mlp.dense1.bias"),
    (["_3"], "patch_embed4.proj.weight", "encoder.patch_embeddings.3.proj.weight"),
])  # fmt: skip
def test_a_stage_that_is_missing_is_named_by_its_tensor(parts, nvlabs, hub, layout):
    variables = without(random_variables({**TINY, "depths": [2] * 4}, None), *parts)
    name = {"nvlabs": nvlabs, "hub": hub}[layout]
    with pytest.raises(
        ValueError, match=rf"^a\.pth has no tensor {re.escape(name)}, expected one for each stage, 4 where"
    ):
        told(variables, layout)


def test_tensors_without_an_encoder_give_an_error():
    with pytest.raises(ValueError, match=r"no patch embedding of stage 0"):
        infer.infer_config({"classifier/bias": np.zeros(3)}, "hub")


@pytest.mark.parametrize(("directory", "task"), [("hf4-seg", "decode_head"), ("hf4-cls", "classifier")])
def test_expected_shapes_are_those_of_the_reference_files(fixtures, directory, task):
    checkpoint = load(fixtures / directory)
    expected = infer.expected_shapes(SegformerConfig.from_dict(checkpoint.config), task)
    assert expected == {path: array.shape for path, array in checkpoint.variables.items()}
