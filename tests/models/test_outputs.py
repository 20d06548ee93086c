import keras
import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation, TFSegformerModel
from segformer_tf.models.outputs import ALONE, EncoderOutput, TaskOutput, alone


def test_fields_are_reached_by_attribute_key_and_position():
    output = TaskOutput(logits=2, loss=1, attentions=(3, 4))
    assert output.loss == output["loss"] == output[0] == 1
    assert output.hidden_states is None and "hidden_states" not in output
    assert output.to_tuple() == (1, 2, (3, 4)) and output[1:] == (2, (3, 4))
    assert len(output) == 3 and list(output) == ["loss", "logits", "attentions"]
    assert TaskOutput(logits=5, loss=None)[0] == 5


def test_a_field_that_is_set_changes_in_every_way_it_is_read():
    output = TaskOutput(logits=2, attentions=(3, 4))
    output.logits = 5
    assert output.logits == output["logits"] == output[0] == output.to_tuple()[0] == 5
    output["loss"] = 1  # comes before the logits
    assert output.loss == output[0] == 1 and output.to_tuple() == (1, 5, (3, 4))
    output.attentions = None
    assert "attentions" not in output and output.attentions is None and len(output) == 2
    output.note = "mine"
    assert output.note == "mine" and len(output) == 2
    output["own"] = 7  # a key of one's own comes last, and stays
    output.hidden_states = (6,)
    assert list(output.items()) == [("loss", 1), ("logits", 5), ("hidden_states", (6,)), ("own", 7)]


def test_a_configuration_returns_logits_alone_only_inside(small_config):
    small_config.return_dict, small_config.output_hidden_states = False, True
    before = dict(vars(small_config))
    with pytest.raises(RuntimeError), alone(small_config):
        assert vars(small_config) == {**before, **ALONE}
        raise RuntimeError
    assert vars(small_config) == before


def test_unknown_fields_are_errors():
    with pytest.raises(KeyError, match="TaskOutput has no field"):
        TaskOutput(scores=1)
    with pytest.raises(AttributeError, match="has no attribute 'scores'"):
        _ = TaskOutput(logits=1).scores


@pytest.mark.parametrize("map_structure", [keras.tree.map_structure, tf.nest.map_structure])
def test_keras_and_tensorflow_see_a_structure(map_structure):
    output = map_structure(lambda x: x + 1, EncoderOutput(last_hidden_state=1, hidden_states=(2, 3)))
    assert type(output) is EncoderOutput and output.to_tuple() == (2, (3, 4))


FIELDS = ("hidden_states", "attentions")


@pytest.mark.parametrize("size", [(64, 96, 3), (None, None, 3)], ids=["fixed", "dynamic"])
@pytest.mark.parametrize(
    "model_class", [TFSegformerModel, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation]
)
def test_optional_fields_are_connected_in_a_keras_graph(model_class, size, small_config, pixels):
    model = model_class(small_config)
    x = keras.Input(size)
    asked = {f"output_{field}": True for field in FIELDS}
    output, expected = model(x, **asked), model(pixels, **asked)
    found = keras.Model(x, [list(output[field]) for field in FIELDS])(pixels)
    for field, maps in zip(FIELDS, found, strict=True):
        assert len(maps) == len(expected[field]) == 2  # stages of one block
        for ours, theirs in zip(maps, expected[field], strict=True):
            assert relative_difference(ours, theirs) < 1e-5


def test_a_loss_in_a_keras_graph_and_fields_that_the_config_asks_for(small_config, pixels, labels):
    small_config.output_hidden_states = True
    model = TFSegformerForSemanticSegmentation(small_config)
    x, y = keras.Input((64, 96, 3)), keras.Input((64, 96), dtype="int32")
    output = model(x, labels=y)
    loss, deepest = keras.Model([x, y], [output.loss, output.hidden_states[-1]])([pixels, labels])
    expected = model(pixels, labels=labels)
    assert float(loss) == pytest.approx(float(expected.loss), rel=1e-5)
    assert relative_difference(deepest, expected.hidden_states[-1]) < 1e-5


@pytest.mark.filterwarnings("ignore:The structure of .inputs.")  # Keras 3.10 reads the one input back as a list of one
def test_a_graph_with_hidden_states_is_saved_and_trains_the_model(small_config, pixels, tmp_path):
    model = TFSegformerModel(small_config)
    x = keras.Input((64, 96, 3))
    deepest = model(x, output_hidden_states=True).hidden_states[-1]
    graph = keras.Model(x, keras.layers.GlobalAveragePooling2D()(deepest))
    assert len(graph.trainable_variables) == len(model.trainable_variables)
    frozen = keras.models.clone_model(graph)
    frozen.layers[1].trainable = False
    again = keras.models.clone_model(frozen)
    assert not again.trainable_variables and not again.layers[1].trainable
    graph.save(tmp_path / "graph.keras")
    loaded = keras.saving.load_model(tmp_path / "graph.keras")
    assert relative_difference(loaded(pixels), graph(pixels)) < 1e-6
    assert np.isfinite(np.asarray(graph(pixels))).all()
