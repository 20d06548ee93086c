"""Weights for other pictures and other classes than a checkpoint's: what is changed is said."""

import numpy as np
import pytest
from reference import FIXTURES, relative_difference

from segformer_tf import TFSegformerForSemanticSegmentation
from segformer_tf.checkpoints.checkpoint import FIRST_KERNEL, adapt_channels

CLS = TFSegformerForSemanticSegmentation


def test_a_grey_picture_gives_what_it_gave_as_three_equal_channels(pixels):
    grey = pixels[..., :1]
    with pytest.warns(UserWarning, match=r"for 1 channels is the sum of the 3 it had: patch_embeddings_0/proj/kernel"):
        model = CLS.from_pretrained(FIXTURES / "hf4-seg", num_channels=1)
    expected = CLS.from_pretrained(FIXTURES / "hf4-seg")(np.repeat(grey, 3, -1)).logits
    assert model.config.num_channels == 1
    assert relative_difference(model(grey).logits, expected) < 1e-5


@pytest.mark.parametrize("channels", [2, 4, 5, 6, 8])
def test_equal_channels_give_the_same_whatever_their_number(channels):
    kernel = np.random.default_rng(0).normal(size=(7, 7, 3, 4)).astype("float32")
    variables, message = adapt_channels({FIRST_KERNEL: kernel, "other": kernel}, channels)
    new = variables[FIRST_KERNEL]
    assert new.shape == (7, 7, channels, 4) and variables["other"] is kernel and str(channels) in message
    if channels > 3:
        np.testing.assert_allclose(new.sum(2), kernel.sum(2), rtol=1e-4, atol=1e-5)


def test_as_many_channels_change_nothing():
    variables = {FIRST_KERNEL: np.zeros((7, 7, 3, 4))}
    assert adapt_channels(variables, 3) == (variables, None)


def test_another_head_is_listed_in_warning_and_report():
    with pytest.warns(
        UserWarning, match=r"decode_head\.classifier\.weight is \(5, 16, 1, 1\), expected \(9, 16, 1, 1\)"
    ):
        _, report = CLS.from_pretrained(
            FIXTURES / "hf4-seg", num_labels=9, ignore_mismatched_sizes=True, output_loading_info=True
        )
    names = {name for name, _, _ in report["mismatched_keys"]}
    assert names == {"decode_head.classifier.weight", "decode_head.classifier.bias"}
