"""What a model is made with: its configuration, data format and dtype policy."""

from typing import Any

import keras

from segformer_tf.config import SegformerConfig
from segformer_tf.storage.keywords import check_keywords


def as_config(config: Any) -> SegformerConfig:
    """A configuration of this package, of transformers, or as a dictionary, as the first; ValueError for others."""
    if isinstance(config, SegformerConfig):
        return config
    values = config.to_diff_dict() if hasattr(config, "to_diff_dict") else config
    if not isinstance(values, dict):
        raise ValueError(f"config is a {type(config).__name__}, expected a SegformerConfig: pass one.")
    return SegformerConfig.from_dict(values)


def checked(data_format: str | None, dtype: Any, others: dict[str, Any]) -> tuple[str, Any]:
    """Data format and dtype policy that a model is made with, `None` standing for Keras' own settings."""
    check_keywords("The model", others, ("config", "data_format", "name", "dtype", "trainable"))
    data_format = data_format or keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f'data_format is {data_format!r}, expected "channels_last", "channels_first" or None: choose one.'
        )
    return data_format, keras.dtype_policies.get(dtype or keras.config.dtype_policy())
