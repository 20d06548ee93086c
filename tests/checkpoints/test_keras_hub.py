"""keras-hub's weights, as keras-hub itself wrote them (fixtures/keras-hub/make.py), give keras-hub's numbers here."""

import keras
import numpy as np
import pytest

from segformer_tf import TFSegformerForImageClassification, TFSegformerForSemanticSegmentation
from segformer_tf.checkpoints import keras_hub, load

# Of tiny models, beside which keras-hub writes no configuration that is read here.
pytestmark = pytest.mark.filterwarnings("ignore:The configuration of .* is read off its tensors")


@pytest.fixture
def here(fixtures):
    return fixtures / "keras-hub"


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_a_segmenter_gives_the_same_full_size_logits(here):
    golden = np.load(here / "golden.npz")
    model, report = TFSegformerForSemanticSegmentation.from_pretrained(
        here / "segmenter.weights.h5", output_loading_info=True
    )
    assert not any(report.values()), report
    assert model.config.encoder_norm_eps == 1e-6 and model.config.depths == [1, 2, 1, 1]
    output = model(golden["pixel_values"], output_hidden_states=True)
    for stage, map_ in enumerate(output.hidden_states):
        assert_close(map_, golden[f"features.{stage}"])
    assert_close(keras.ops.image.resize(output.logits, (64, 64)), golden["full_size_logits"])


def test_a_classifier_has_every_variable(here):
    checkpoint = load(here / "classifier.weights.h5")
    assert checkpoint.layout == "keras_hub" and checkpoint.unexpected == []
    model = TFSegformerForImageClassification.from_pretrained(here / "classifier.weights.h5")
    assert {weight.path for weight in model.weights} == set(checkpoint.variables)
    assert model.config.num_labels == 7


def test_stages_that_cannot_be_told_apart_are_refused():
    tensors = {
        f"layers/overlapping_patching_and_embedding{number}/proj/vars/1": np.zeros(8) for number in ("", "_1", "_2")
    }
    with pytest.raises(ValueError, match=r"Two stages have the same number of channels \(\[8, 8, 8\]\)"):
        keras_hub.to_variables(tensors)
