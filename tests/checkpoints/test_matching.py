"""Every tensor finds its place, and what does not is listed."""

import warnings

import numpy as np
import pytest
from random_checkpoints import random_variables

from segformer_tf.checkpoints import match
from segformer_tf.checkpoints.matching import not_finite

TINY = {"depths": [1] * 4, "hidden_sizes": [2, 4, 5, 8], "decoder_hidden_size": 3, "num_labels": 2}


def shapes(task, **changes):
    return {path: array.shape for path, array in random_variables({**TINY, **changes}, task).items()}


def test_a_checkpoint_of_the_same_model_is_taken_whole_and_in_silence():
    variables = random_variables(TINY, "decode_head")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assigned, report = match(shapes("decode_head"), variables, "here")
    assert assigned.keys() == variables.keys()
    assert report == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": [], "error_msgs": []}


def test_one_error_lists_missing_unexpected_and_mis_shaped_tensors_under_the_hubs_names():
    variables = random_variables(TINY, "decode_head")
    del variables["block_0_0/attention/query/kernel"], variables["layer_norm_3/gamma"]
    variables["patch_embeddings_0/proj/kernel"] = np.zeros((7, 7, 4, 2), np.float32)
    variables["block_0_1/mlp/dense1/bias"] = np.zeros(8, np.float32)
    with pytest.raises(ValueError) as error:
        match(shapes("decode_head"), variables, "dir/model.safetensors", ["surplus.weight"])
    assert str(error.value) == (
        "The tensors of dir/model.safetensors do not fit the model: "
        "2 missing: segformer.encoder.block.0.0.attention.self.query.weight, segformer.encoder.layer_norm.3.weight; "
        "2 unexpected: segformer.encoder.block.0.1.mlp.dense1.bias, surplus.weight; "
        "1 of another shape: segformer.encoder.patch_embeddings.0.proj.weight is (2, 4, 7, 7), expected (2, 3, 7, 7); "
        "the configuration must be the checkpoint's own, or pass ignore_mismatched_sizes=True to give tensors of "
        "another shape fresh values."
    )


def test_a_head_that_the_task_adds_is_listed_in_a_warning():
    with pytest.warns(UserWarning, match=r"here has no decode_head\.linear_c\.0\.proj\.weight, .*start from random"):
        assigned, report = match(shapes("decode_head"), random_variables(TINY, None), "here")
    assert not any(path.startswith("decode_head") for path in assigned)
    assert "decode_head.classifier.bias" in report["missing_keys"]


def test_a_head_that_the_model_lacks_is_left_out_with_a_warning():
    with pytest.warns(UserWarning, match=r"no place for these tensors of here, left out: classifier\.weight"):
        assigned, report = match(shapes(None), random_variables(TINY, "classifier"), "here")
    assert assigned.keys() == shapes(None).keys()
    assert report["unexpected_keys"] == ["classifier.weight", "classifier.bias"]


def test_one_head_gives_way_to_another():
    with pytest.warns(UserWarning) as caught:
        _, report = match(shapes("classifier"), random_variables(TINY, "decode_head"), "here")
    assert len(caught) == 2
    assert report["missing_keys"] == ["classifier.weight", "classifier.bias"]
    assert "decode_head.batch_norm.running_mean" in report["unexpected_keys"]


def test_a_head_of_which_only_a_part_is_there_is_an_error():
    variables = random_variables(TINY, "decode_head")
    del variables["decode_head/batch_norm/moving_mean"]
    with pytest.raises(ValueError, match=r"1 missing: decode_head\.batch_norm\.running_mean"):
        match(shapes("decode_head"), variables, "here")


def test_mismatched_sizes_are_an_error_unless_allowed_and_then_a_warning_with_both_shapes():
    wanted = shapes("decode_head", num_labels=4)
    variables = random_variables(TINY, "decode_head")
    text = r"decode_head\.classifier\.weight is \(2, 3, 1, 1\), expected \(4, 3, 1, 1\)"
    with pytest.raises(ValueError, match=text):
        match(wanted, variables, "here")
    with pytest.warns(UserWarning, match=text):
        assigned, report = match(wanted, variables, "here", ignore_mismatched_sizes=True)
    assert wanted.keys() - assigned.keys() == {"decode_head/classifier/kernel", "decode_head/classifier/bias"}
    assert ("decode_head.classifier.bias", (2,), (4,)) in report["mismatched_keys"]


def test_a_tensor_of_another_rank_is_shown_as_it_is_in_the_file():
    variables = random_variables(TINY, "decode_head")
    variables["decode_head/linear_fuse/kernel"] = np.zeros((3,), np.float32)
    with pytest.raises(ValueError, match=r"linear_fuse\.weight is \(3,\), expected \(3, 12, 1, 1\)"):
        match(shapes("decode_head"), variables, "here")


def test_what_mmsegmentation_adds_is_left_out_with_a_warning_and_other_strangers_are_refused():
    variables, wanted = random_variables(TINY, "decode_head"), shapes("decode_head")
    extras = ["auxiliary_head.conv_seg.weight", "data_preprocessor.mean"]
    with pytest.warns(UserWarning, match=r"left out: auxiliary_head\.conv_seg\.weight, data_preprocessor\.mean\."):
        assigned, report = match(wanted, variables, "here", extras)
    assert assigned.keys() == wanted.keys() and report["unexpected_keys"] == extras
    with pytest.raises(ValueError, match=r"1 unexpected: ema_backbone_norm1_weight; take these out of the file\.$"):
        match(wanted, variables, "here", [*extras, "ema_backbone_norm1_weight"])


@pytest.mark.parametrize("dtype", [np.int32, bool])
def test_weights_that_are_not_of_floating_point_are_refused(dtype):
    variables = random_variables(TINY, "decode_head")
    variables["layer_norm_3/gamma"] = variables["layer_norm_3/gamma"].astype(dtype)
    text = rf"1 not of floating point: segformer\.encoder\.layer_norm\.3\.weight is {np.dtype(dtype)}; take the weights"
    with pytest.raises(ValueError, match=text):
        match(shapes("decode_head"), variables, "here")


def test_finite_weights_whose_sum_is_not_are_finite():
    assert not_finite({"a": np.full(4, 3e38, np.float32), "b": np.float32([1, np.inf])}) == ["b"]
