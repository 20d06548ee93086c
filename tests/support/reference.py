"""Where the repository and the reference files are, a tiny configuration, and how far two arrays are apart."""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
TINY = {
    "depths": [1, 2, 1, 1],
    "hidden_sizes": [8, 16, 20, 32],
    "decoder_hidden_size": 16,
    "num_labels": 5,
}
# Half the stages, for what does not depend on how many there are: most of a test's time goes into tracing them.
SMALL = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "hidden_sizes": [8, 16],
    "decoder_hidden_size": 16,
    "sr_ratios": [4, 2],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
    "num_labels": 5,
}
# One stage: every kind of layer once.
ONE_STAGE = {
    **SMALL,
    "num_encoder_blocks": 1,
    **{key: SMALL[key][-1:] for key in ("depths", "hidden_sizes", "num_attention_heads", "mlp_ratios", "sr_ratios")},
    **{key: SMALL[key][:1] for key in ("patch_sizes", "strides")},
}


def relative_difference(found, expected) -> float:
    """The largest difference, in units of the largest expected value."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())
