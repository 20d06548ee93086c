"""What a model looks at, held against the weights it gives."""

import numpy as np
import pytest
from reference import TINY

from segformer_tf import SegformerConfig, SegformerImageProcessor, SegmentationPipeline
from segformer_tf import TFSegformerForSemanticSegmentation as Segmentation
from segformer_tf.images.views import HEAT
from segformer_tf.pipelines import attention
from segformer_tf.pipelines.attention import attention_map, draw_attention

PICTURE = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=["channels_last", "channels_first"])
def segment(request):
    model = Segmentation(SegformerConfig(**TINY), data_format=request.param)
    return SegmentationPipeline(model, SegformerImageProcessor(size=(64, 96)))


def test_a_map_is_the_weights_of_its_layer_head_and_place(segment):
    values = segment.processor(PICTURE, return_tensors="np", data_format=segment.model.data_format).pixel_values
    weights = np.asarray(segment.model(values, output_attentions=True)["attentions"][2])[0]  # stage 1, its second layer
    found, pixels = attention_map(segment, PICTURE, stage=1, layer=1, head=1, point=(65, 45))
    assert found.shape == (8 // 4, 12 // 4)  # features of 8 x 12, reduced by 4
    np.testing.assert_allclose(found.ravel(), weights[1, 4 * 12 + 6], rtol=1e-5)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(pixels, PICTURE)
    mean, _ = attention_map(segment, PICTURE, stage=1)
    np.testing.assert_allclose(mean.ravel(), weights.mean((0, 1)), rtol=1e-5)


def test_merged_queries_and_keys_keep_their_places():
    model = Segmentation(SegformerConfig(**TINY, merge_queries=[1, 2], merge_keys=[2]), data_format="channels_last")
    segment = SegmentationPipeline(model, SegformerImageProcessor(size=(88, 96)))
    values = segment.processor(PICTURE, return_tensors="np", data_format="channels_last").pixel_values
    weights = np.asarray(segment.model(values, output_attentions=True)["attentions"][2])[0]
    assert weights.shape == (2, 6 * 6, 1 * 2)  # features of 11 x 12; of 2 x 3 keys 1 x 2
    found, _ = attention_map(segment, PICTURE, stage=1, layer=1, head=1, point=(129, 89))
    np.testing.assert_allclose(found, weights[1, 5 * 6 + 5].reshape(1, 2), rtol=1e-5)


def test_it_is_drawn_over_the_picture(segment):
    drawn = draw_attention(segment, PICTURE, (65, 45), stage=0)
    assert drawn.width >= 130 and drawn.height > 90


@pytest.mark.filterwarnings("ignore:image has values from 0 to 1")  # an array may have been rescaled before
def test_a_picture_of_floats_is_shown_as_it_is(segment):
    _, pixels = attention_map(segment, (PICTURE / 255).astype("float32"))
    np.testing.assert_array_equal(pixels, PICTURE)


@pytest.mark.parametrize(
    ("which", "told"),
    [
        ({"stage": 4}, "stage is 4; expected 0 to 3"),
        ({"stage": 1, "layer": 2}, "layer is 2; expected 0 to 1, or -2 to -1, from the last"),
        ({"stage": 1, "layer": -3}, "layer is -3; expected 0 to 1, or -2 to -1, from the last"),
        ({"stage": 0, "head": 5}, "head is 5; expected 0 to 0"),
        ({"stage": 1.5}, r"stage is 1\.5; expected a whole number"),
        ({"point": (65.5, 45.2)}, r"point is \(65\.5, 45\.2\); expected \(x, y\), two whole numbers"),
        ({"point": (1, 2, 3)}, r"point is \(1, 2, 3\); expected \(x, y\), two whole numbers"),
        ({"point": 5}, r"point is 5; expected \(x, y\), two whole numbers"),
        ({"point": (130, 0)}, r"point is \(130, 0\); expected \(x, y\) inside 130 x 90"),
    ],
)
def test_what_the_model_does_not_have_is_named(segment, which, told):
    with pytest.raises(ValueError, match=told):
        attention_map(segment, PICTURE, **which)


def test_it_is_drawn_over_the_picture_from_the_least_to_the_most_with_a_ring_at_the_point(segment, monkeypatch):
    weights = np.array([[0.1, 0.0, 0.6], [0.1, 0.1, 0.1]], np.float32)
    grey = np.full((100, 150, 3), 100, np.uint8)
    monkeypatch.setattr(attention, "attention_map", lambda *_, **how: (weights, grey))
    plain = np.asarray(draw_attention(segment, grey), int)
    for row, column, color in ((0, 149, HEAT[-1]), (0, 75, HEAT[0])):
        np.testing.assert_allclose(plain[row, column], 0.7 * color + 0.3 * 100, atol=3)
    ringed = np.asarray(draw_attention(segment, grey, (40, 70)), int)
    rows, columns = (ringed != plain).any(-1).nonzero()
    assert (columns.min() + columns.max(), rows.min() + rows.max()) == (80, 140)
