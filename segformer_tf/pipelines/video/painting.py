"""The overlay of a video's frame, drawn in the form that videos are coded in: brightness (Y) at full size, two colour
differences (U, V) at half of it. Nothing is converted to RGB and back, and half as many values are blended."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from segformer_tf.images.drawing import bands_of_ids, blended, table_rows, unpainted

FORM = "yuv420p"
FULL_RANGE, LIMITED_RANGE, ITU601 = 2, 1, 6  # FFmpeg's numbers; the second is 16 to 235 of 0 to 255


class Frame(np.ndarray):
    """A video's frame, RGB (H, W, 3) uint8, that knows the decoder's own frame it was made of: `coded`, or None."""

    coded: Any = None

    @classmethod
    def of(cls, pixels: np.ndarray, coded: Any) -> "Frame":
        """`coded`, if any, is kept where the overlay can be drawn on it: of even sides, in `FORM` and limited range."""
        frame = pixels.view(cls)
        if coded is not None and coded.format.name == FORM and coded.color_range != FULL_RANGE:
            size = coded.height, coded.width
            frame.coded = coded if size == pixels.shape[:2] and size[0] % 2 == size[1] % 2 == 0 else None
        return frame


def painted(
    frame: np.ndarray,
    labels: np.ndarray,
    palette: np.ndarray,
    names: Any = None,
    alpha: float = 0.5,
    skip: Sequence[str] = (),
    outline: bool = False,
) -> Any:
    """A frame (H, W, 3) uint8 with its labels (H, W) over it as `images.overlay` draws them, without a legend.

    Returns a PyAV frame of even sides, with the colour space that it is in. Two rows and columns have one colour: that
    of the class in their upper left corner.
    """
    coded = getattr(frame, "coded", None)
    if coded is None:
        odd = [(0, side % 2) for side in labels.shape]
        if odd != [(0, 0), (0, 0)]:
            frame, labels = np.pad(frame, [*odd, (0, 0)], "edge"), np.pad(labels, odd, "edge")
        coded = in_planes(np.ascontiguousarray(frame), ITU601)
    plain = unpainted(palette, names, skip)
    colours = np.concatenate([np.asarray(palette, np.uint8), np.zeros((1, 3), np.uint8)])
    colours = _converted(colours, coded.colorspace)
    tables = blended(colours, float(alpha), plain)
    made = type(coded)(coded.width, coded.height, FORM)
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(made, name, getattr(coded, name))
    below, above = planes(coded), planes(made)
    for top, ids, rim in bands_of_ids(labels, plain, outline):
        for channel, every in enumerate((1, 2, 2)):
            band = slice(top // every, (top + len(ids)) // every)
            some = ids[::every, ::every]
            mixed = tables[channel].take(table_rows(some, len(plain)) | below[channel][band])
            if rim is not None:
                where = rim[::every, ::every]
                mixed[where] = colours[:, channel].take(some[where])
            above[channel][band] = mixed
    return made


def in_planes(pixels: np.ndarray, space: int) -> Any:
    """RGB (H, W, 3) uint8 of even sides -> a PyAV frame in `FORM`, of a colour space (FFmpeg's number)."""
    import av

    frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
    frame = frame.reformat(format=FORM, dst_colorspace=space, dst_color_range=LIMITED_RANGE)
    frame.colorspace, frame.color_range = space, LIMITED_RANGE
    return frame


def planes(frame: Any) -> list[np.ndarray]:
    """The planes of a frame in `FORM`, (H, W) and twice (H / 2, W / 2) uint8: its own memory."""
    return [np.frombuffer(p, np.uint8).reshape(-1, p.line_size)[: p.height, : p.width] for p in frame.planes]


def _converted(colours: np.ndarray, space: int) -> np.ndarray:
    """RGB (C, 3) uint8 -> YUV (C, 3) uint8."""
    blocks = np.repeat(np.repeat(colours[np.newaxis], 2, 0), 2, 1)  # one pixel of U and V for each colour
    return np.stack(
        [
            plane[0, : 2 * len(colours) : step]
            for plane, step in zip(planes(in_planes(blocks, space)), (2, 1, 1), strict=True)
        ],
        -1,
    )
