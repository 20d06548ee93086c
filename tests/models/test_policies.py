"""Dtype policies and ways of running: every model trains in each, with finite losses and weights."""

import numpy as np
import pytest
from reference import ONE_STAGE, SMALL

from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation

IN_USE, RARE = ("float32", "mixed_bfloat16"), ("float64", "float16", "bfloat16", "mixed_float16")
WAYS = {"jit_compile": True, "run_eagerly": True, "steps_per_execution": 2}


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_weights_in_half_precision_are_told_in_training_alone(policy, pixels, labels):
    model = TFSegformerForSemanticSegmentation(SegformerConfig(**ONE_STAGE), dtype=policy)
    model.compile(run_eagerly=True)
    model.predict_on_batch(pixels)
    with pytest.warns(UserWarning, match=f'The weights are {policy}, .* make the model with dtype="mixed_{policy}"'):
        model.train_on_batch(pixels, labels)


def trained(config: SegformerConfig, pixels, labels, policy="float32", **how):
    model = TFSegformerForSemanticSegmentation(config, dtype=policy)
    model.compile(jit_compile=how.pop("jit_compile", "auto"), **how)
    losses = model.fit(pixels, labels, batch_size=1, epochs=1, shuffle=False, verbose=0).history["loss"]
    return model, losses[0]


@pytest.mark.filterwarnings("ignore:The weights are .*float16:UserWarning")
@pytest.mark.parametrize("policy", IN_USE + RARE)
def test_a_model_trains_in_every_dtype_policy(policy, pixels, labels):
    model, loss = trained(SegformerConfig(**(SMALL if policy in IN_USE else ONE_STAGE)), pixels, labels, policy)
    assert loss == pytest.approx(np.log(5), abs=0.1)  # five classes, random weights
    assert all(np.isfinite(np.asarray(weight, "float32")).all() for weight in model.weights)
    logits = model.predict(pixels, verbose=0)["logits"]
    assert logits.dtype == np.float32 and np.isfinite(logits).all()


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.long) if way == "jit_compile" else way for way in WAYS]
)
def test_every_way_of_running_gives_the_same_step(way, pixels, labels):
    config = SegformerConfig(**{**SMALL, "drop_path_rate": 0.0, "classifier_dropout_prob": 0.0})
    model = TFSegformerForSemanticSegmentation(config)
    start = model.get_weights()
    found = []
    for how in ({}, {way: WAYS[way]}):
        model.set_weights(start)
        model.compile(**how)
        model.fit(pixels, labels, batch_size=1, epochs=1, shuffle=False, verbose=0)
        found.append([np.asarray(weight) for weight in model.weights])
    for plain, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, plain, atol=2e-4)  # two steps of AdamW at 6e-5
    assert any(np.abs(a - b).max() > 1e-5 for a, b in zip(found[0], start, strict=True))


def test_auto_means_no_xla_on_a_processor(small_config):
    model = TFSegformerForSemanticSegmentation(small_config)
    model.compile()
    assert model.jit_compile is False
