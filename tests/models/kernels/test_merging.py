"""Merged queries and keys: the kernels beside plain numpy, attention with fewer queries in every table, models."""

import numpy as np
import pytest
import tensorflow as tf
from reference import relative_difference

from segformer_tf import SegformerConfig, TFSegformerDecodeHead, TFSegformerForSemanticSegmentation
from segformer_tf.models import kernels, layers
from segformer_tf.models.kernels import TABLES, plain, portable_ops

SIZES = [(6, 8), (5, 7), (1, 3)]


def random_map(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def merged_by_numpy(x):
    batch, height, width, channels = x.shape
    result = np.zeros((batch, -(-height // 2), -(-width // 2), channels))
    for row, column in np.ndindex(result.shape[1:3]):
        result[:, row, column] = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
    return result


def spread_by_numpy(y, size):
    """The centre of a block lies between its pixels: each pixel is 3/4 its block and 1/4 the nearest other a side."""
    for axis in (1, 2):
        before, after = (np.take(y, np.clip(np.arange(y.shape[axis]) + d, 0, y.shape[axis] - 1), axis) for d in (-1, 1))
        pair = np.stack([0.75 * y + 0.25 * before, 0.75 * y + 0.25 * after], axis + 1)
        y = pair.reshape(*y.shape[:axis], -1, *y.shape[axis + 1 :]).take(range(size[axis - 1]), axis)
    return y


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["known size", "any size"])
def test_blocks_are_averaged_and_resized_back(size, known):
    x = random_map(2, *size, 4)
    spec = [tf.TensorSpec(x.shape if known else (None, None, None, 4))]

    @tf.function(input_signature=spec)
    def run(x):
        merged = kernels.merge(x, 2)
        return merged, kernels.spread(merged, x, 2)

    merged, spread = run(x)
    np.testing.assert_allclose(merged, merged_by_numpy(x), atol=1e-6)
    np.testing.assert_allclose(spread, spread_by_numpy(merged_by_numpy(x), size), atol=1e-6)


def test_a_side_of_one_changes_nothing():
    x = tf.constant(random_map(1, 3, 5, 4))
    assert kernels.merge(x, 1) is x and kernels.spread(x, x, 1) is x


@pytest.mark.parametrize("table", sorted(set(TABLES) - {"plain"}))
def test_every_table_takes_fewer_queries_and_gives_plains_values_and_gradients(table):
    x = tf.constant(random_map(2, 5, 8, 16))

    def run(table):
        with tf.GradientTape() as tape:
            tape.watch(x)
            mixed = table.attention(lambda x: (plain.merge(x, 2), x, 2.0 * x), x, 2)
            total = tf.reduce_sum(mixed * tf.reshape(tf.cos(tf.range(tf.size(mixed), dtype=tf.float32)), mixed.shape))
        return mixed, tape.gradient(total, x)

    for found, expected in zip(run(TABLES[table]), run(plain), strict=True):
        assert relative_difference(found, expected) < 2e-5


def exact_and_merged(x, merge):
    """Two layers with the same weights, one of them with merged queries or keys."""
    whole, merged = (layers.EfficientSelfAttention(16, 2, 2, merge=sides) for sides in ((1, 1), merge))
    for layer in (whole, merged):
        layer.build(x.shape)
    for variable, other in zip(whole.weights, merged.weights, strict=True):
        variable.assign(np.random.default_rng(1).normal(scale=0.3, size=variable.shape))
        other.assign(variable)
    return whole, merged


def test_attention_is_that_of_the_mean_queries_resized_back():
    x = random_map(1, 5, 8, 16)
    whole, merged = exact_and_merged(x, (2, 1))
    query, key, value = whole.project(x, None, False)
    parts = (merged_by_numpy(np.asarray(query)).astype("float32"), key, value)
    mixed = plain.attention(lambda x: [tf.constant(part) for part in parts], x, 2)
    expected = spread_by_numpy(np.asarray(whole.output_dense(mixed)), (5, 8))
    assert relative_difference(merged(x), expected) < 1e-5
    assert relative_difference(merged(x), whole(x)) > 0.01
    assert merged(x, output_attentions=True)[1].shape == (1, 2, 12, 8)
    assert layers.EfficientSelfAttention.from_config(merged.get_config()).merge == (2, 1)


def test_keys_and_values_are_the_means_of_their_blocks():
    x = random_map(1, 10, 12, 16)
    whole, merged = exact_and_merged(x, (1, 2))
    query, key, value = whole.project(x, None, False)
    parts = [query, *(merged_by_numpy(np.asarray(map_)).astype("float32") for map_ in (key, value))]
    mixed = plain.attention(lambda x: [tf.constant(part) for part in parts], x, 2)
    assert relative_difference(merged(x), whole.output_dense(mixed)) < 1e-5
    assert relative_difference(merged(x), whole(x)) > 0.01
    assert merged(x, output_attentions=True)[1].shape == (1, 2, 120, 9)  # of 5 x 6 keys 3 x 3


@pytest.mark.parametrize("merge", [(2, 1), (1, 2), (2, 2)])
def test_a_layer_with_merged_queries_or_keys_trains_as_the_plain_one(merge):
    x = random_map(1, 5, 8, 16)
    layer = layers.EncoderLayer(16, 2, 2, mlp_ratio=2, merge=merge)
    layer.build(x.shape)

    def gradients():
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(x, training=True) ** 2)
        return tape.gradient(total, [variable.value for variable in layer.trainable_variables])

    found = gradients()
    with portable_ops():
        expected = gradients()
    for ours, theirs, variable in zip(found, expected, layer.trainable_variables, strict=True):
        if not variable.path.endswith("key/bias"):  # softmax does not see it: the gradient is rounding
            assert relative_difference(ours, theirs) < 2e-5, variable.path


@pytest.mark.parametrize(
    ("key", "other", "place"), [("merge_queries", "merge_keys", 0), ("merge_keys", "merge_queries", 1)]
)
def test_stages_are_chosen_by_the_config_and_off_is_exact(key, other, place, tiny_config, pixels, tmp_path):
    model = TFSegformerForSemanticSegmentation(tiny_config, data_format="channels_last")
    model.save_pretrained(tmp_path)
    assert key not in (tmp_path / "config.json").read_text()

    def load(stages):
        return TFSegformerForSemanticSegmentation.from_pretrained(
            tmp_path, data_format="channels_last", **{key: stages}
        )

    merged, off = load([1, 3]), load([])
    sides = [stage.blocks[0].attention.merge for stage in merged.network.stages]
    assert [side[place] for side in sides] == [2, 1, 2, 1] and {side[1 - place] for side in sides} == {1}
    np.testing.assert_array_equal(off(pixels).logits, model(pixels).logits)
    assert relative_difference(merged(pixels).logits, model(pixels).logits) > 1e-6
    merged.save_pretrained(tmp_path / "merged")
    kept = SegformerConfig.from_pretrained(tmp_path / "merged")
    assert getattr(kept, key) == [1, 3] and getattr(kept, other) is None
    assert getattr(SegformerConfig.from_pretrained(tmp_path / "merged", **{key: []}), key) is None
    with pytest.raises(ValueError, match=rf"{key} is \[1\], and a TFSegformerDecodeHead has no attention"):
        TFSegformerDecodeHead.from_pretrained(tmp_path, **{key: [1]})


@pytest.mark.parametrize("wrong", [[5], [0], ["1"], 2, [True]])
@pytest.mark.parametrize("key", ["merge_queries", "merge_keys"])
def test_a_stage_that_does_not_exist_is_told(key, wrong):
    with pytest.raises(ValueError, match=rf"{key} is .*, expected a list of stages' numbers, 1 to 4"):
        SegformerConfig(**{key: wrong})
