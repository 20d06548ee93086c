import keras
import pytest
import tensorflow as tf

from segformer_tf.models.outputs import EncoderOutput, TaskOutput


def test_fields_are_reached_by_attribute_key_and_position():
    output = TaskOutput(logits=2, loss=1, attentions=(3, 4))
    assert output.loss == output["loss"] == output[0] == 1
    assert output.hidden_states is None and "hidden_states" not in output
    assert output.to_tuple() == (1, 2, (3, 4)) and output[1:] == (2, (3, 4))
    assert len(output) == 3 and list(output) == ["loss", "logits", "attentions"]
    assert TaskOutput(logits=5, loss=None)[0] == 5


def test_unknown_fields_are_errors():
    with pytest.raises(KeyError, match="TaskOutput has no field"):
        TaskOutput(scores=1)
    with pytest.raises(AttributeError, match="has no attribute 'scores'"):
        _ = TaskOutput(logits=1).scores


@pytest.mark.parametrize("map_structure", [keras.tree.map_structure, tf.nest.map_structure])
def test_keras_and_tensorflow_see_a_structure(map_structure):
    output = map_structure(lambda x: x + 1, EncoderOutput(last_hidden_state=1, hidden_states=(2, 3)))
    assert type(output) is EncoderOutput and output.to_tuple() == (2, (3, 4))
