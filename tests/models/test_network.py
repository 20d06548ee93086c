"""What a configuration says reaches the layers, and what happens in training only does happen."""

import math

import keras
import numpy as np
import pytest
from reference import SMALL

from segformer_tf import SegformerConfig, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation
from segformer_tf.models import layers
from segformer_tf.models.private import parts_of

SETTINGS = {
    "depths": [2, 3],
    "hidden_dropout_prob": 0.11,
    "attention_probs_dropout_prob": 0.13,
    "classifier_dropout_prob": 0.17,
    "drop_path_rate": 0.4,
    "initializer_range": 0.05,
    "layer_norm_eps": 3e-4,  # transformers' SegFormer does not use it, nor does this one
    "encoder_norm_eps": 2e-3,
    "hidden_act": "relu",
}
ALL_BUT_NEVER = 0.999999


@pytest.fixture(scope="module")
def model():
    return TFSegformerForSemanticSegmentation(SegformerConfig(**{**SMALL, **SETTINGS}))


def blocks(model):
    return [block for stage in model.network.stages for block in stage.blocks]


def test_every_rate_reaches_the_layers_that_it_is_for(model):
    for block in blocks(model):
        assert block.attention.dropout.rate == block.mlp.dropout.rate == 0.11
        assert block.attention.attention_dropout.rate == 0.13
        assert block.mlp.activation == "relu"
    assert model.decode_head.dropout.rate == 0.17
    assert [block.drop_path.rate for block in blocks(model)] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    every = [part for part in parts_of(model) if isinstance(part, keras.layers.Dropout)]
    assert len(every) == 4 * 5 + 1


def test_every_norm_has_the_epsilon_that_the_reference_runs_it_at(model):
    of_the_config = [norm for block in blocks(model) for norm in (block.layer_norm_1, block.layer_norm_2)]
    of_the_config += [stage.layer_norm for stage in model.network.stages]
    fixed = [stage.patch_embeddings.layer_norm for stage in model.network.stages]
    fixed += [block.attention.layer_norm for block in blocks(model)]
    every = {id(part) for part in parts_of(model) if isinstance(part, keras.layers.LayerNormalization)}
    assert every == {id(norm) for norm in (*of_the_config, *fixed)}
    assert {norm.epsilon for norm in of_the_config} == {2e-3}
    assert {norm.epsilon for norm in fixed} == {model.decode_head.batch_norm.epsilon} == {1e-5}
    assert model.decode_head.batch_norm.momentum == 0.9
    plain = TFSegformerForImageClassification(SegformerConfig(**SMALL))  # as a configuration of the Hub
    assert {part.epsilon for part in parts_of(plain) if hasattr(part, "epsilon")} == {1e-5}


@pytest.mark.parametrize("cls", [TFSegformerForSemanticSegmentation, TFSegformerForImageClassification])
def test_kernels_start_as_in_the_authors_code(cls):
    """Dense ones from a truncated normal distribution, convolutions by the outputs that one input reaches."""
    model = cls(SegformerConfig(**{**SMALL, **SETTINGS}))
    seen = set()
    for part in parts_of(model):
        if isinstance(part, keras.layers.DepthwiseConv2D):
            start, expected = part.depthwise_initializer, math.sqrt(2 / 9)
        elif isinstance(part, keras.layers.Conv2D):
            start, expected = part.kernel_initializer, math.sqrt(2 / (part.kernel_size[0] ** 2 * part.filters))
        elif isinstance(part, keras.layers.Dense):
            start, expected = part.kernel_initializer, 0.05
        else:
            continue
        seen.add(type(part).__name__)
        of_dense = isinstance(part, keras.layers.Dense)
        assert isinstance(start, keras.initializers.TruncatedNormal if of_dense else keras.initializers.RandomNormal)
        assert (start.mean, start.stddev) == (0.0, pytest.approx(expected)), part.path
        assert not part.use_bias or not np.any(part.bias)
    assert seen == {"Dense", "Conv2D", "DepthwiseConv2D"}


MAP = np.random.default_rng(0).normal(size=(2, 8, 12, 16)).astype("float32")


def test_both_branches_of_an_encoder_layer_are_dropped():
    layer = layers.EncoderLayer(16, 2, 2, 2.0, drop_path_rate=ALL_BUT_NEVER)
    np.testing.assert_array_equal(layer(MAP, training=True), MAP)
    assert np.abs(layer(MAP) - MAP).max() > 1e-3


@pytest.mark.parametrize("make", [layers.MixFFN, layers.EfficientSelfAttention])
def test_single_values_of_what_a_branch_gives_are_dropped_and_the_others_scaled(make):
    arguments = (16, 32) if make is layers.MixFFN else (16, 2, 2)
    layer = make(*arguments, dropout_rate=0.5)
    found, expected = np.asarray(layer(MAP, training=True)), np.asarray(layer(MAP))
    kept = found != 0
    assert 0.4 < kept.mean() < 0.6 and (expected != 0).all()
    # Mix-FFN also drops values between its two dense layers, so what is kept is another sum there.
    assert np.allclose(found[kept], 2 * expected[kept], rtol=1e-4, atol=1e-6) == (make is not layers.MixFFN)


def test_attention_scores_are_dropped():
    layer = layers.EfficientSelfAttention(16, 2, 2, attention_dropout=0.5)
    found, expected = np.asarray(layer(MAP, training=True)), np.asarray(layer(MAP))
    assert (found != 0).all() and np.abs(found - expected).max() > 0.1 * np.abs(expected).max()
    layer = layers.EfficientSelfAttention(16, 2, 2, attention_dropout=ALL_BUT_NEVER)
    assert not np.any(layer(MAP, training=True))  # the bias of the last dense layer begins with 0


def test_the_head_drops_values_before_its_classifier():
    head = layers.DecodeHead(16, [16], 5, dropout_rate=ALL_BUT_NEVER)
    assert not np.any(head([MAP], training=True)) and np.any(head([MAP]))
    assert layers.DecodeHead(16, [16], 5).dropout.rate == 0.1  # the paper's
