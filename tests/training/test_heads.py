"""A checkpoint's head for the classes of another data set."""

import numpy as np
import pytest
from reference import SMALL

from segformer_tf import (
    SegformerConfig,
    TFSegformerForImageClassification,
    TFSegformerForSemanticSegmentation,
    checkpoints,
)
from segformer_tf.training.heads import for_classes

NAMES = ["sky", "road", "sign symbol"]
KINDS = [TFSegformerForSemanticSegmentation, TFSegformerForImageClassification]
PIXELS = np.random.default_rng(0).normal(size=(1, 64, 96, 3)).astype(np.float32)


def numbered(names):
    return dict(enumerate(names))


@pytest.fixture
def trained(tmp_path):
    """A checkpoint whose head's rows tell their classes apart, its model's logits of a picture, and one for others."""

    def make(kind, before, names):
        model = kind(SegformerConfig(**SMALL | {"num_labels": None, "id2label": numbered(before)}))
        getattr(model, "decode_head", model).classifier.bias.assign(np.arange(1.0, 1 + len(before)))
        model.save_pretrained(tmp_path)
        names, masks = numbered(names), kind is KINDS[0]
        checkpoint = checkpoints.load(tmp_path)
        changed, told = for_classes(checkpoint, names, masks)
        assert set(changed.variables) == set(checkpoint.variables)
        if len(names) != len(before) and not told:
            assert changed is checkpoint
            return model(PIXELS).logits.numpy(), None, told
        config = SegformerConfig.from_dict(changed.config, id2label=names)
        other, report = kind.from_checkpoint(changed, config)
        assert not report["mismatched_keys"]
        return model(PIXELS).logits.numpy(), other, told

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_classes_in_another_order_take_their_rows_along(trained, kind):
    before, model, told = trained(kind, NAMES, ["Road", "Sign_Symbol", "sky"])
    assert "order" in told
    np.testing.assert_allclose(model(PIXELS).logits, before[..., [1, 2, 0]], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [["car", "sky", "tree"], ["car", "sky"], ["tree", "sky", "car", "wall"]])
def test_a_class_without_a_row_of_its_name_starts_at_random(trained, kind, names):
    before, model, told = trained(kind, NAMES, names)
    new = [name for name in names if name != "sky"]
    assert f"random for {', '.join(new)}" in told and f"1 of {len(names)}" in told
    np.testing.assert_allclose(model(PIXELS).logits[..., 1], before[..., 0], atol=1e-6)
    layer = getattr(model, "decode_head", model).classifier
    assert layer.bias.numpy().tolist() == [float(name == "sky") for name in names]
    assert 0 < np.abs(layer.kernel.numpy()[:, [names.index(name) for name in new]]).max() < 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_one_class_more_keeps_all_rows(trained, kind):
    before, model, told = trained(kind, NAMES, [*NAMES, "wall"])
    assert told == "the head starts at random for wall; of 3 of 4 classes it keeps what it has learnt"
    np.testing.assert_allclose(model(PIXELS).logits[..., :3], before, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_classes_keep_their_rows(trained, kind):
    before, model, told = trained(kind, NAMES, ["sign symbol", "sky"])
    assert told == "of its 3 classes the head keeps the 2 of the data set, with what it has learnt"
    np.testing.assert_allclose(model(PIXELS).logits, before[..., [2, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("before", "names"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]),  # nobody named them
        (NAMES, ["car", "tree"]),
        (NAMES, ["sky"]),  # one logit is against all else, not against other classes
        (["sky"], NAMES),
    ],
)
def test_a_head_of_another_number_starts_anew_where_no_name_tells(trained, before, names):
    assert trained(KINDS[0], before, names)[1:] == (None, "")


def test_a_head_of_another_kind_of_model_is_none(trained, tmp_path):
    trained(KINDS[1], NAMES, NAMES)
    checkpoint = checkpoints.load(tmp_path)
    assert for_classes(checkpoint, numbered([*NAMES, "wall"]), masks=True) == (checkpoint, "")


@pytest.mark.parametrize("names", [["Sky", "ROAD", "sign_symbol"], [f"LABEL_{i}" for i in range(3)]])
@pytest.mark.parametrize("before", [NAMES, [f"LABEL_{i}" for i in range(3)]])
def test_the_same_classes_and_names_that_nobody_gave_keep_the_head(trained, before, names):
    logits, model, told = trained(KINDS[0], before, names)
    assert told == ""
    np.testing.assert_array_equal(model(PIXELS).logits, logits)
