import itertools
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segformer_tf import SegformerConfig
from segformer_tf.bounds import smallest_side
from segformer_tf.checkpoints.infer import expected_shapes
from segformer_tf.config import VARIANTS, variant_of

# Table 6 and 7 of the paper: encoder with its ImageNet classifier, millions of parameters.
PUBLISHED = {"b0": 3.7, "b1": 14.0, "b2": 25.4, "b3": 45.2, "b4": 62.6, "b5": 82.0}


def test_defaults_are_those_of_the_hub():
    values = SegformerConfig().to_dict()
    assert values == {
        "model_type": "segformer",
        "num_channels": 3,
        "num_encoder_blocks": 4,
        "depths": [2, 2, 2, 2],
        "sr_ratios": [8, 4, 2, 1],
        "hidden_sizes": [32, 64, 160, 256],
        "patch_sizes": [7, 3, 3, 3],
        "strides": [4, 2, 2, 2],
        "num_attention_heads": [1, 2, 5, 8],
        "mlp_ratios": [4, 4, 4, 4],
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "classifier_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "drop_path_rate": 0.1,
        "layer_norm_eps": 1e-6,
        "decoder_hidden_size": 256,
        "reshape_last_stage": True,
        "semantic_loss_ignore_index": 255,
        "id2label": {0: "LABEL_0", 1: "LABEL_1"},
        "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_variants_have_the_published_numbers_of_parameters(name):
    shapes = expected_shapes(SegformerConfig.from_variant(name, num_labels=1000), "classifier")
    count = sum(math.prod(shape) for shape in shapes.values())
    assert count / 1e6 == pytest.approx(PUBLISHED[name], rel=0.04)  # the paper's b0 is 3 % above its own code's


def test_a_variant_is_told_by_its_depths_and_hidden_sizes():
    assert [variant_of(SegformerConfig.from_variant(name)) for name in VARIANTS] == [*VARIANTS]
    assert variant_of(SegformerConfig.from_variant("b0", depths=[1, 2, 2, 2])) is None


def test_unknown_keys_are_kept_and_written_back(tmp_path):
    SegformerConfig.from_dict({"torch_dtype": "float16", "made_by": {"who": "me"}}).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["made_by"] == {"who": "me"}
    config = SegformerConfig.from_pretrained(tmp_path)
    assert config.torch_dtype == "float16" and config.to_dict()["made_by"] == {"who": "me"}
    assert config == SegformerConfig.from_dict(json.loads(config.to_json_string()))


def test_attributes_that_are_set_are_written_too(tmp_path):
    config = SegformerConfig()
    config.name_or_path, config._private, config.calibration_temperature = "here", 1, 3.0
    written = config.to_dict()
    assert {*written} - {*SegformerConfig().to_dict()} == {"calibration_temperature"}
    config.update({"drop_path_rate": 0.3})
    config.save_pretrained(tmp_path)
    again = SegformerConfig.from_pretrained(tmp_path)
    assert again.calibration_temperature == 3.0 and again == config != SegformerConfig(drop_path_rate=0.3)
    del config.calibration_temperature
    assert config == SegformerConfig(drop_path_rate=0.3)


def test_labels_follow_each_other():
    config = SegformerConfig(id2label={"0": "sky", "1": "tree", "2": "road"})
    assert config.num_labels == 3 and config.label2id["tree"] == 1
    config.num_labels = 2
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert SegformerConfig.from_dict({"id2label": {"0": "a"}}, num_labels=4).num_labels == 4
    assert SegformerConfig.from_dict({"id2label": {"0": "a"}}, num_labels=1).id2label == {0: "a"}
    assert SegformerConfig.from_variant("b0").num_labels == 150


def test_names_win_over_another_number_in_a_file_and_that_is_told():
    names = {"id2label": {"0": "sky", "1": "tree"}}
    with pytest.warns(UserWarning, match="num_labels is 5, expected 2 as id2label names: the names are taken"):
        assert SegformerConfig.from_dict({"num_labels": 5, **names}).num_labels == 2
    assert SegformerConfig.from_dict({"num_labels": 2, **names}).num_labels == 2
    assert SegformerConfig.from_dict({"num_labels": 5, **names}, num_labels=3).num_labels == 3
    assert SegformerConfig.from_dict({"num_labels": 5, "id2label": None}).num_labels == 5


def test_names_may_be_given_as_label2id_alone():
    names, ids = {0: "sky", 1: "tree", 2: "road"}, {"sky": 0, "road": 2, "tree": 1}
    given = {"label2id": {**ids, "road": "2"}}
    for config in (
        SegformerConfig(**given),
        SegformerConfig(**given, num_labels=3),
        SegformerConfig.from_variant("b0", **given),
        SegformerConfig.from_dict(given),
        SegformerConfig.from_dict({**given, "num_labels": 3, "id2label": None}),
        SegformerConfig.from_dict(SegformerConfig(num_labels=5).to_dict(), **given),
    ):
        assert config.num_labels == 3 and config.id2label == names and config.label2id == ids
    config = SegformerConfig(num_labels=5)
    config.label2id = ids
    assert config.id2label == names
    config.id2label = {0: "a", 1: "b"}
    assert config.label2id == {"a": 0, "b": 1} == config.to_dict()["label2id"]
    config.update(given)
    assert config.id2label == names


def test_names_that_are_set_later_are_by_numbers_and_checked():
    config = SegformerConfig()
    config.id2label = {"0": "sky", "1": 7, "2": "tree"}
    assert config.id2label == {0: "sky", 1: "7", 2: "tree"} and config.label2id == {"sky": 0, "7": 1, "tree": 2}
    for wrong in ({0: "sky", 2: "tree"}, {}, None, ["sky"]):
        with pytest.raises(ValueError, match=r"id2label is .*, expected .*: correct this key"):
            config.id2label = wrong
    assert config.num_labels == 3


def test_two_classes_of_one_name_have_either_id_in_label2id():
    names = {0: "crane", 1: "bolt", 2: "crane"}
    for ids in ({"crane": 0, "bolt": 1}, {"crane": 2, "bolt": 1}):
        for config in (
            SegformerConfig(id2label=names, label2id=ids),
            SegformerConfig.from_dict({"id2label": names, "label2id": ids}),
        ):
            assert config.id2label == names and config.label2id == {"crane": 2, "bolt": 1}
            config.label2id = {"crane": 2, "bolt": 1}
            assert config.id2label == names


@pytest.mark.parametrize("ids", [{"LABEL_0": 0, "LABEL_1": 1}, {"sky": 1, "tree": 0}, {"sky": 0}, [0, 1]])
def test_names_win_over_other_ids_in_a_file_and_that_is_told(ids, tmp_path):
    """transformers writes what it was given, and reads `id2label`."""
    values = {"model_type": "segformer", "id2label": {"0": "sky", "1": "tree"}, "label2id": ids}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.warns(UserWarning, match=r"label2id is .*, expected .*: the names are taken"):
        config = SegformerConfig.from_pretrained(tmp_path)
    assert config.id2label == {0: "sky", 1: "tree"} and config.label2id == {"sky": 0, "tree": 1}
    assert SegformerConfig.from_dict(config.to_dict()) == config
    assert SegformerConfig.from_dict(values, num_labels=3).label2id["LABEL_2"] == 2
    assert SegformerConfig.from_dict(values, num_labels=2) == config
    for nothing in ({}, None):
        assert SegformerConfig.from_dict({**values, "label2id": nothing}) == config


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"depths": [2, 2]}, r"depths is \[2, 2\], expected a list of num_encoder_blocks = 4 numbers"),
        (
            {"hidden_sizes": [1, 64, 160, 256], "num_attention_heads": [1] * 4, "mlp_ratios": [0.5, 4, 4, 4]},
            r"mlp_ratios is \[0\.5, 4, 4, 4\], expected numbers that leave a unit or more of hidden_sizes",
        ),
        ({"hidden_sizes": [32, 64, 161, 256]}, r"num_attention_heads is .*\(5 does not divide 161\)"),
        ({"hidden_act": "mish"}, r"hidden_act is 'mish', expected one of gelu, "),
        ({"num_labels": 0}, r"num_labels is 0, expected a whole number of at least 1"),
        ({"num_labels": 3, "id2label": {0: "a"}}, r"id2label has 1 entries, expected num_labels = 3"),
        ({"id2label": ["a", "b"]}, r"id2label is \['a', 'b'\], expected class ids and names as an object"),
        ({"id2label": {"sky": 0}}, r"id2label is .*, expected class ids and names as an object"),
        ({"label2id": {"sky": "zero"}}, r"label2id is .*, expected class ids and names as an object"),
        ({"label2id": {"sky": 0, "tree": 2}}, r"label2id is .*, expected every id from 0 to 1 once"),
        ({"label2id": {"sky": 0, "tree": 0}}, r"label2id is .*, expected every id from 0 to 1 once"),
        ({"label2id": {}}, r"label2id is {}, expected every id from 0 to 0 once"),
        ({"num_labels": 3, "label2id": {"a": 0}}, r"label2id has 1 entries, expected num_labels = 3"),
        (
            {"id2label": {0: "a", 1: "b"}, "label2id": {"a": 1, "b": 0}},
            r"label2id is .*, expected the ids of id2label = ",
        ),
        ({"id2label": {0: "a"}, "label2id": {}}, r"label2id is {}, expected the ids of id2label = {0: 'a'}: leave"),
        ({"id2label": {0: "a", 2: "b"}}, r"id2label is .*, expected one name for every id from 0 to 1"),
        ({"strides": [4, 2, 2, 0]}, r"strides is \[4, 2, 2, 0\], expected whole numbers"),
        ({"drop_path_rate": 1.5}, r"drop_path_rate is 1.5, expected a rate"),
        ({"sr_ratios": [8, 4, 2, 64], "strides": [8, 8, 8, 8]}, r"sr_ratios is .* 4096 pixels .*strides 258049\)"),
        ({"problem_type": "other"}, r"problem_type is 'other', expected one of"),
    ],
)
def test_impossible_values_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        SegformerConfig(**wrong)


@given(st.data())
def test_the_smallest_side_is_the_least_that_leaves_every_reduction_its_room(data):
    def draw(least, most):
        return data.draw(st.lists(st.integers(least, most), min_size=3, max_size=3))

    config = SimpleNamespace(sr_ratios=draw(1, 8), strides=draw(1, 4), patch_sizes=draw(1, 8))

    def has_room(side):
        for ratio, stride, patch in zip(config.sr_ratios, config.strides, config.patch_sizes, strict=True):
            side = (side + 2 * (patch // 2) - patch) // stride + 1
            if side < ratio:
                return False
        return True

    assert smallest_side(config) == next(side for side in itertools.count(32) if has_room(side))


def test_another_models_config_and_an_unknown_variant_are_refused(tmp_path):
    with pytest.raises(ValueError, match="model_type is 'bert', expected \"segformer\""):
        SegformerConfig.from_dict({"model_type": "bert"})
    with pytest.raises(ValueError, match="variant is 'b6', expected one of b0, b1"):
        SegformerConfig.from_variant("b6")


def test_none_is_a_value_that_replaces_another_one_but_of_the_classes():
    config = SegformerConfig(problem_type="regression", merge_queries=[1], id2label={0: "sky"})
    config.update({"problem_type": None, "merge_queries": None, "num_labels": None})
    assert (config.problem_type, config.merge_queries, config.id2label) == (None, None, {0: "sky"})
    config.problem_type = "regression"
    config.update_from_string("problem_type=null")
    assert config.problem_type is None and "problem_type" not in config.to_dict()
    with pytest.raises(ValueError, match="drop_path_rate is None, expected a rate"):
        config.update_from_string("drop_path_rate=null")
    with pytest.raises(ValueError, match="id2label is 'null', expected a dict"):
        config.update_from_string("id2label=null")


@pytest.mark.parametrize("names", [5, ["a", "b", "c"]])
def test_names_that_are_no_object_are_told_beside_a_number_too(names):
    with pytest.raises(ValueError, match=r"id2label is .*, expected class ids and names as an object"):
        SegformerConfig.from_dict({"id2label": names}, num_labels=3)


def test_what_to_dict_gives_makes_the_same_configuration_by_keywords():
    config = SegformerConfig(id2label={0: "sky", 1: "road"}, drop_path_rate=0.2)
    assert SegformerConfig(**config.to_dict()) == config
    assert SegformerConfig(name_or_path="here").name_or_path == SegformerConfig(_name_or_path="here").name_or_path
    with pytest.raises(ValueError, match="model_type is 'bert', expected \"segformer\""):
        SegformerConfig(model_type="bert")


ODD = {
    "mlp_ratios": [4.0, 4, 2.0, 1.0],
    "initializer_range": 0,
    "layer_norm_eps": 1,
    "encoder_norm_eps": 0,
    "reshape_last_stage": None,
    "output_attentions": 0,
    "output_hidden_states": None,
    "return_dict": None,
}
STRICT = {
    **dict(mlp_ratios=[4, 4, 2, 1], initializer_range=0.0, layer_norm_eps=1.0, encoder_norm_eps=0.0),
    **dict(reshape_last_stage=True, output_attentions=False, output_hidden_states=False, return_dict=True),
}


def test_values_have_the_types_that_transformers_insists_on():
    changed = SegformerConfig()
    for key, value in ODD.items():
        setattr(changed, key, value)
    for config in (SegformerConfig(**ODD), SegformerConfig.from_dict(ODD), changed):
        for key, value in STRICT.items():
            assert repr(getattr(config, key)) == repr(value)
    assert SegformerConfig(mlp_ratios=[1.5, 4, 4, 4]).mlp_ratios == [1.5, 4, 4, 4]
    for key, value in (("semantic_loss_ignore_index", True), ("layer_norm_eps", True), ("return_dict", 2)):
        with pytest.raises(ValueError, match=f"{key} is {value}, expected"):
            SegformerConfig(**{key: value})


def test_numbers_and_arrays_of_numpy_become_pythons(tmp_path):
    config = SegformerConfig(
        num_channels=np.int64(4),
        depths=np.array([1, 1, 1, 1]),
        hidden_sizes=(np.int32(32), 64, 160, 256),
        drop_path_rate=np.float32(0.5),
        reshape_last_stage=np.bool_(False),
        num_labels=np.int64(3),
    )
    config.save_pretrained(tmp_path)
    assert SegformerConfig.from_pretrained(tmp_path) == config
    found = (config.num_channels, config.depths, config.hidden_sizes, config.drop_path_rate, config.reshape_last_stage)
    assert found == (4, [1, 1, 1, 1], [32, 64, 160, 256], 0.5, False) and config.num_labels == 3
    config.update({"depths": np.array([2, 2, 2, 2])})
    config.num_labels = np.int64(2)
    assert config.depths == [2, 2, 2, 2] and list(config.id2label) == [0, 1]
    with pytest.raises(ValueError, match="num_channels is 0, expected a whole number"):
        SegformerConfig(num_channels=np.int64(0))


@pytest.mark.parametrize("text", ["1", "yes", "Y", "True"])
def test_switches_are_set_by_the_texts_that_transformers_takes(text):
    config = SegformerConfig(reshape_last_stage=False)
    config.update_from_string(f"reshape_last_stage={text}")
    assert config.reshape_last_stage is True
    config.update_from_string("reshape_last_stage=0,output_attentions=n")
    assert config.reshape_last_stage is config.output_attentions is False
    with pytest.raises(ValueError, match="return_dict is 'perhaps', expected a bool such as True"):
        config.update_from_string("return_dict=perhaps")


def test_a_key_of_ones_own_is_set_as_an_attribute_and_not_by_update():
    config = SegformerConfig()
    with pytest.raises(TypeError, match="unknown keyword 'my_key'"):
        config.update({"my_key": 1})
    config.my_key = 1
    config.update({"my_key": 2})
    assert config.to_dict()["my_key"] == 2
