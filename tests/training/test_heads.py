"""A checkpoint's head for the classes of another data set."""

import numpy as np
import pytest
from reference import SMALL

from segformer_tf import SegformerConfig, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation
from segformer_tf.training.heads import keep_classes

BEFORE = {0: "sky", 1: "road", 2: "sign symbol"}
KINDS = [TFSegformerForSemanticSegmentation, TFSegformerForImageClassification]


def trained(kind, names):
    """A model whose head's rows tell their classes apart, and its logits of a picture."""
    model = kind(SegformerConfig(**SMALL | {"num_labels": None, "id2label": names}))
    layer = getattr(model, "decode_head", model).classifier
    layer.bias.assign(np.arange(1.0, 1 + len(names)))
    pixels = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)
    return model, lambda: model(pixels).logits.numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_classes_in_another_order_take_their_rows_along(kind):
    model, logits = trained(kind, {0: "Road", 1: "Sign_Symbol", 2: "sky"})
    before = logits()
    told = keep_classes(model, BEFORE)
    assert "order" in told
    np.testing.assert_allclose(logits(), before[..., [1, 2, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_class_without_a_row_of_its_name_starts_at_random(kind):
    model, logits = trained(kind, {0: "car", 1: "sky", 2: "tree"})
    before = logits()
    told = keep_classes(model, BEFORE)
    assert "random for car, tree" in told and "1 of 3" in told
    after = logits()
    np.testing.assert_allclose(after[..., 1], before[..., 0], atol=1e-6)
    layer = getattr(model, "decode_head", model).classifier
    assert layer.bias.numpy().tolist() == [0, 1, 0]
    assert 0 < np.abs(layer.kernel.numpy()[:, [0, 2]]).max() < 0.1


@pytest.mark.parametrize("names", [{0: "Sky", 1: "ROAD", 2: "sign_symbol"}, {i: f"LABEL_{i}" for i in range(3)}])
@pytest.mark.parametrize("before", [BEFORE, {i: f"LABEL_{i}" for i in (2, 0, 1)}])
def test_the_same_classes_and_names_that_nobody_gave_keep_the_head(names, before):
    model, logits = trained(KINDS[0], names)
    kept = logits()
    assert keep_classes(model, before) == ""
    np.testing.assert_array_equal(logits(), kept)
