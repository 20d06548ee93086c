"""Which axis holds the channels: Keras' setting, and what an array's shape says."""

from __future__ import annotations

import sys
import warnings

import numpy as np

DATA_FORMATS = ("channels_last", "channels_first")


def resolve_data_format(data_format: str | None) -> str:
    """`data_format` itself, or for None what `keras.config.image_data_format()` says.

    This room does not import Keras. A program that has set its format has loaded it; without it "channels_last" holds.
    """
    if data_format is None:
        keras = sys.modules.get("keras")
        return keras.config.image_data_format() if keras else "channels_last"
    value = getattr(data_format, "value", data_format)  # transformers' ChannelDimension is an enum of strings
    value = {"first": "channels_first", "last": "channels_last"}.get(value, value)
    if value not in DATA_FORMATS:
        raise ValueError(f"data_format is {data_format!r}; expected 'channels_last', 'channels_first' or None.")
    return value


def to_channels_last(image: np.ndarray, channels: int, data_format: str | None, strict: bool) -> np.ndarray:
    """(H, W), (H, W, C) or (C, H, W) -> (H, W, C), with a grey image repeated to `channels` = 3.

    With `data_format` None the axis of `channels` (else of 1, else of 3) values is taken, the first if both ends fit.
    Raises ValueError where no axis fits, or `strict` and the count is not `channels`.
    """
    if image.ndim == 2:
        image, data_format = image[..., np.newaxis], "channels_last"
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image has shape {image.shape}; expected (H, W), (H, W, C) or (C, H, W) with no side of 0.")
    wanted = f"{channels} channels" if strict else f"{channels}, 1 or 3 channels"
    if data_format is None:
        data_format = _infer(image.shape, channels)
    if data_format is None:
        raise ValueError(
            f"image has shape {image.shape}; expected {wanted} as first or last axis: select the channels the model "
            f"takes, or give input_data_format and image_mean and image_std of that length."
        )
    if resolve_data_format(data_format) == "channels_first":
        image = np.moveaxis(image, 0, -1)
    found = image.shape[-1]
    if found == 1 and channels == 3:
        return np.repeat(image, 3, axis=-1)
    if strict and found != channels:
        raise ValueError(f"image has {found} channels (shape {image.shape}, channels last); expected {channels}.")
    return image


def _infer(shape: tuple[int, ...], channels: int) -> str | None:
    for count in (channels, 1, 3):
        first, last = shape[0] == count, shape[-1] == count
        if first and last:
            warnings.warn(
                f"The channel axis of an image of shape {shape} is ambiguous; the first is taken, "
                f"pass input_data_format to say which it is.",
                stacklevel=2,
            )
        if first or last:
            return "channels_first" if first else "channels_last"
    return None
