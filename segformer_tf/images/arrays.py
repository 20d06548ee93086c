"""A NumPy array of whatever a tensor library gives."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_array(values: Any) -> np.ndarray:
    """An array, a tensor of TensorFlow, Keras, JAX or PyTorch, or a list of them -> a NumPy array; bfloat16 as float32.

    PyTorch's may require gradients and lie on a GPU; PyTorch itself is not imported for them.
    """
    if isinstance(values, list | tuple) and any(hasattr(each, "detach") for each in values):
        return np.stack([to_array(each) for each in values])
    if (detach := getattr(values, "detach", None)) is not None:
        values = detach().cpu()
        values = values.float() if str(values.dtype).endswith("bfloat16") else values
    array = np.asarray(values)
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
