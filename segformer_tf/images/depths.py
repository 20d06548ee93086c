"""How a file holds its numbers, which Pillow forgets as it decodes them: it scales greys and turns negatives."""

import numpy as np
from PIL import Image

RAW, GREATEST = "raw mode", "greatest value"  # in Pillow's `info`, where `remember` puts them
BITS = {"2": 3, "4": 15}
PORTABLE = ("ppm", "ppm_plain")  # Pillow's decoders of PGM, which says its greatest value


def remember(image: Image.Image) -> str:
    """Keeps, before the pixels are decoded, how the file holds them, as Pillow calls it: "L;2", "RGB;16B"."""
    decoder, _, _, how = next(iter(getattr(image, "tile", ())), ("", (), 0, ""))
    how = how if isinstance(how, tuple) and how else (how,)
    image.info[RAW] = raw = str(how[0])
    if decoder in PORTABLE and len(how) > 1:
        image.info[GREATEST] = how[1]
    return raw


def as_held(image: Image.Image) -> Image.Image:
    """Greys with the numbers of their file; other pictures, and those of 1 bit, which are black and white, as they are.

    Pillow makes 0 to 255 of 2 and 4 bits and of a PGM's 0 to 10, 0 to 65535 of one's 0 to 1000, and of 8 bits whose
    white is 0 the negative.
    """
    how = image.info.get(RAW, "").partition(";")[2]
    greatest = image.info.get(GREATEST) or BITS.get(how[:1], 255)
    if image.mode == "I" and GREATEST in image.info:
        return Image.fromarray(np.rint(np.asarray(image) * (greatest / 65535)).astype(np.int32))
    if image.mode != "L" or (greatest == 255 and "I" not in how):
        return image
    values = [round(value * greatest / 255) for value in range(256)]
    return image.point([greatest - value for value in values] if "I" in how else values)
