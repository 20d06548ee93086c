"""What an exported file says about itself, believed only where it can be true."""

import json

import pytest
from reference import SMALL

from segformer_tf import SegformerConfig, SegformerImageProcessor
from segformer_tf.pipelines.description import Description

CONFIG = SegformerConfig(**SMALL)
ABOUT = Description(
    "TFSegformerForSemanticSegmentation", CONFIG.to_dict(), SegformerImageProcessor().to_dict(), size=(64, 96)
)


def test_what_is_written_is_read_again():
    found = Description.parse(ABOUT.text(), "model.onnx")
    assert found.size == (64, 96) and found.image_processor().size == ABOUT.processor["size"]
    assert SegformerConfig.from_dict(found.config) == CONFIG


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"config": "x"}, "cannot be read"),
        ({"config": {"depths": [2, 2]}}, "depths"),
        ({"processor": "x"}, "cannot be read"),
        ({"size": "abc"}, "cannot be read"),
        ({"size": [64, 96, 3]}, "too many values"),
        ({"data_format": "nchw"}, "data_format is 'nchw', expected channels_last or channels_first"),
    ],
)
def test_what_no_model_has_is_told_with_the_file(changed, message):
    text = json.dumps({**json.loads(ABOUT.text()), **changed})
    with pytest.raises(ValueError, match=rf"^model\.onnx.*{message}"):
        Description.parse(text, "model.onnx")


@pytest.mark.parametrize(
    ("pixel_values", "logits", "message"),
    [
        ((None, 64, 96, 4), (None, 16, 24, 5), "3 channels, channels_last, and has 4 there"),
        ((-1, 64, 96, 3), (-1, 16, 24, 11), "5 classes, channels_last, and has 11 there"),
        (("batch", 3, "height", "width"), ("batch", 5, "h", "w"), None),
        ((1, 3, 64, 96), (1, 5, 16, 24), "3 channels, channels_last, and has 96 there"),
    ],
)
def test_shapes_of_another_model_are_told(pixel_values, logits, message):
    if message is None:
        return ABOUT.check_shapes("model.onnx", pixel_values, logits)
    with pytest.raises(ValueError, match=rf"^model\.onnx says that its model has {message}"):
        ABOUT.check_shapes("model.onnx", pixel_values, logits)
