"""Names and orientations: against the reference files, and there and back for checkpoints of any shape."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from random_checkpoints import checkpoints, random_variables
from safetensors.numpy import load_file

from segformer_tf.checkpoints import formats, names
from segformer_tf.checkpoints.layouts import LAYOUTS

WRITTEN = ["hub", "transformers5", "nvlabs", "tf"]
TINY = {"depths": [1] * 4, "hidden_sizes": [2, 4, 5, 8], "decoder_hidden_size": 3, "num_labels": 2}


@pytest.mark.parametrize("layout", WRITTEN)
@settings(max_examples=15, deadline=None)
@given(checkpoint=checkpoints())
def test_every_layout_returns_the_same_bits_and_is_recognised(layout, checkpoint):
    _, _, variables = checkpoint
    tensors = names.from_variables(variables, layout)
    assert names.detect_layout(tensors) == layout
    back, unexpected = names.to_variables(tensors, layout)
    assert unexpected == []
    assert set(back) == set(variables)
    for path, array in variables.items():
        np.testing.assert_array_equal(back[path], array)


@pytest.mark.parametrize("directory", ["hf4-seg", "hf4-cls"])
def test_hub_names_and_arrays_are_those_that_transformers_writes(fixtures, directory):
    reference = load_file(fixtures / directory / "model.safetensors")
    variables, unexpected = names.to_variables(reference, "hub")
    assert unexpected == []
    written = names.from_variables(variables, "hub")
    assert set(written) == set(reference)
    for name, array in reference.items():
        assert written[name].dtype == array.dtype
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_array_equal(written[name], array)


@pytest.mark.parametrize("directory", ["hf4-seg", "hf4-cls"])
def test_tf_names_and_shapes_are_those_of_transformers_tf_classes(fixtures, directory):
    variables, _ = names.to_variables(load_file(fixtures / directory / "model.safetensors"), "hub")
    written = names.from_variables(variables, "tf")
    with h5py.File(fixtures / directory / "tf_model.h5") as file:
        reference = {}
        for group in file.values():
            group.visititems(lambda name, item: reference.update({name: item}) if hasattr(item, "shape") else None)
        assert {name.partition("/")[2] if name.startswith("tf_") else name for name in reference} == set(written)
        for name, dataset in reference.items():
            np.testing.assert_array_equal(written[name.partition("/")[2]], dataset[()])


def test_an_encoder_alone_is_written_without_a_prefix_and_a_task_with_it():
    encoder = random_variables(TINY, None)
    assert "encoder.patch_embeddings.0.proj.weight" in names.from_variables(encoder, "hub")
    assert "patch_embed1.proj.weight" in names.from_variables(encoder, "nvlabs")
    segmenter = random_variables(TINY, "decode_head")
    assert "segformer.encoder.patch_embeddings.0.proj.weight" in names.from_variables(segmenter, "hub")
    assert "backbone.patch_embed1.proj.weight" in names.from_variables(segmenter, "nvlabs")
    classifier = names.from_variables(random_variables(TINY, "classifier"), "nvlabs")
    assert {"patch_embed1.proj.weight", "head.weight", "head.bias"} < set(classifier)


def test_mmsegmentation_holds_query_then_key_then_value():
    variables = random_variables(TINY, None)
    joined = names.from_variables(variables, "mmseg")["layers.1.1.0.attn.attn.in_proj_weight"]
    for part, name in zip(np.split(joined, 3), ("query", "key", "value"), strict=True):
        np.testing.assert_array_equal(part, variables[f"block_1_0/attention/{name}/kernel"].T)


def test_nvlabs_kv_holds_key_then_value_and_the_head_counts_from_one():
    variables = random_variables(TINY, "decode_head")
    tensors = names.from_variables(variables, "nvlabs")
    kv = tensors["backbone.block2.0.attn.kv.weight"]
    np.testing.assert_array_equal(kv[:4], variables["block_1_0/attention/key/kernel"].T)
    np.testing.assert_array_equal(kv[4:], variables["block_1_0/attention/value/kernel"].T)
    np.testing.assert_array_equal(
        tensors["decode_head.linear_c4.proj.weight"], variables["decode_head/linear_c_3/kernel"].T
    )


def test_nvlabs_unused_conv_seg_is_dropped():
    tensors = names.from_variables(random_variables(TINY, "decode_head"), "nvlabs")
    tensors["decode_head.conv_seg.weight"] = np.zeros((2, 128, 1, 1), np.float32)
    assert names.to_variables(tensors, "nvlabs")[1] == []


def test_an_encoder_of_mmsegmentation_1_is_read():
    variables = random_variables(TINY, None)
    tensors = names.from_variables(variables, "mmseg")
    assert "layers.2.1.0.attn.attn.in_proj_weight" in tensors
    assert tensors["layers.0.1.0.ffn.layers.0.weight"].shape == (8, 2, 1, 1)
    tensors = {f"backbone.{name}": array for name, array in tensors.items()}
    assert names.detect_layout(tensors) == "mmseg"
    back, unexpected = names.to_variables(tensors, "mmseg")
    assert unexpected == []
    for path, array in variables.items():
        np.testing.assert_array_equal(back[path], array)


def test_the_head_of_mmsegmentation_1_is_refused_with_the_reason():
    tensors = {
        f"backbone.{name}": array for name, array in names.from_variables(random_variables(TINY, None), "mmseg").items()
    }
    tensors["decode_head.convs.0.conv.weight"] = np.zeros((3, 2, 1, 1), np.float32)
    with pytest.raises(ValueError, match=r"MMSegmentation 1\.x, whose decode head has a BatchNorm and a ReLU"):
        names.detect_layout(tensors)


def test_tensors_of_another_model_are_refused_by_name():
    with pytest.raises(ValueError, match=r"not the tensors of a SegFormer checkpoint: found conv1\.weight, fc\.bias"):
        names.detect_layout(["conv1.weight", "fc.bias"])


def test_two_tensors_of_one_variable_that_differ_are_told(fixtures):
    tensors = formats.read(fixtures / "hf4-seg" / "model.safetensors")[0]
    name = "segformer.encoder.layer_norm.0.weight"
    alone = tensors | {name.removeprefix("segformer."): tensors[name]}
    assert names.to_variables(alone, "hub")[1] == []
    with pytest.raises(ValueError, match=r"encoder\.layer_norm\.0\.weight is there twice, with and without a prefix"):
        names.to_variables(alone | {name.removeprefix("segformer."): tensors[name] + 1}, "hub")


def test_names_without_a_place_are_returned_not_lost(fixtures):
    tensors = formats.read(fixtures / "hf4-seg" / "model.safetensors")[0]
    tensors["segformer.encoder.block.0.0.attention.self.gate.weight"] = np.zeros(3, np.float32)
    tensors["optimizer.step"] = np.zeros((), np.float32)
    _, unexpected = names.to_variables(tensors, "hub")
    assert unexpected == ["segformer.encoder.block.0.0.attention.self.gate.weight", "optimizer.step"]


@pytest.mark.parametrize(
    "before", ["module.", "_orig_mod.", "model.", "net.", "module._orig_mod.", "net.model.module."]
)
@pytest.mark.parametrize(
    ("layout", "task"), [("hub", "decode_head"), ("transformers5", None), ("nvlabs", "classifier"), ("mmseg", None)]
)
def test_what_a_wrapper_of_pytorch_puts_before_names_is_taken_off(before, layout, task):
    tensors = names.from_variables(random_variables(TINY, task), layout)
    wrapped = {before + name: array for name, array in tensors.items()}
    assert names.unwrapped(wrapped).keys() == tensors.keys()
    others = {"criterion.weight": 1, "val_iou.confmat": 2}  # of a module that holds a loss and a metric too
    assert names.unwrapped(others | wrapped).keys() == {*tensors, *others}
    assert names.unwrapped(tensors | {f"{before}a": 1}).keys() == {*tensors, f"{before}a"}


def test_names_of_no_segformer_are_left():
    for tensors in ({}, {"model.a": 1, "b": 2}, {"a.b.c.d.e.f": 1}):
        assert names.unwrapped(tensors) == tensors


def test_a_joined_tensor_that_cannot_be_split_is_named():
    tensors = {"block1.0.attn.kv.weight": np.zeros((3, 2), np.float32)}
    with pytest.raises(ValueError, match=r"block1\.0\.attn\.kv\.weight has .*3.*expected a multiple of 2"):
        names.to_variables(tensors, "nvlabs")


def test_a_tensor_of_another_rank_keeps_its_shape_for_the_report():
    tensors = {"decode_head.classifier.weight": np.zeros((5, 16), np.float32)}
    assert names.to_variables(tensors, "hub")[0]["decode_head/classifier/kernel"].shape == (5, 16)


def test_a_variable_without_a_name_is_an_error():
    with pytest.raises(ValueError, match=r"Variable dense/kernel has no name in the 'hub' layout"):
        names.from_variables({"dense/kernel": np.zeros((1, 1))}, "hub")


def test_reading_makes_views_not_copies(fixtures):
    tensors = {name: array for name, array in load_file(fixtures / "hf4-seg" / "model.safetensors").items()}
    variables, _ = names.to_variables(tensors, "hub")
    name = "segformer.encoder.patch_embeddings.0.proj.weight"
    assert np.shares_memory(variables["patch_embeddings_0/proj/kernel"], tensors[name])


def test_every_table_knows_every_variable_of_the_encoder():
    encoder = random_variables({**TINY, "sr_ratios": [8, 4, 2, 1]}, None)
    for layout in LAYOUTS:
        assert names.to_variables(names.from_variables(encoder, layout), layout)[0].keys() == encoder.keys()
