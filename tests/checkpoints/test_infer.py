"""Configurations read off tensors."""

import numpy as np
import pytest
from hypothesis import given, settings
from random_checkpoints import checkpoints, random_variables

from segformer_tf.checkpoints import infer, load
from segformer_tf.config import SegformerConfig

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


def test_tensors_without_an_encoder_give_an_error():
    with pytest.raises(ValueError, match=r"no patch embedding of stage 0"):
        infer.infer_config({"classifier/bias": np.zeros(3)}, "hub")


@pytest.mark.parametrize(("directory", "task"), [("hf4-seg", "decode_head"), ("hf4-cls", "classifier")])
def test_expected_shapes_are_those_of_the_reference_files(fixtures, directory, task):
    checkpoint = load(fixtures / directory)
    expected = infer.expected_shapes(SegformerConfig.from_dict(checkpoint.config), task)
    assert expected == {path: array.shape for path, array in checkpoint.variables.items()}
