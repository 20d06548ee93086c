"""The name that the processor had before it was one."""

import warnings
from typing import Any

from .processor import SegformerImageProcessor


class SegformerFeatureExtractor(SegformerImageProcessor):
    """Old name of `SegformerImageProcessor`; making one gives a FutureWarning."""

    def __init__(self, *arguments: Any, **settings: Any):
        warnings.warn(
            "SegformerFeatureExtractor is the old name of SegformerImageProcessor; use the new one.",
            FutureWarning,
            stacklevel=2,
        )
        super().__init__(*arguments, **settings)
