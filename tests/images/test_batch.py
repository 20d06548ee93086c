"""What the processor returns."""

import pytest

from segformer_tf.images import BatchFeature


def test_keys_are_attributes_and_missing_ones_are_named():
    batch = BatchFeature(pixel_values=1)
    assert batch.pixel_values == batch["pixel_values"] == 1 and dict(**batch) == {"pixel_values": 1}
    assert not hasattr(batch, "labels")
    with pytest.raises(AttributeError, match="BatchFeature has no field 'labels'; it has pixel_values"):
        _ = batch.labels
