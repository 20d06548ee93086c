"""How a file holds its numbers, which Pillow forgets as it decodes them: of greys of 2 and 4 bits it makes 0 to 255."""

from PIL import Image

RAW = "raw mode"  # in Pillow's `info`, where `remember` puts it
SCALED = {"L;2": 85, "L;4": 17}


def remember(image: Image.Image) -> str:
    """Keeps, before the pixels are decoded, how the file holds them, as Pillow calls it: "L;2", "RGB;16B"."""
    how = next((tile[3] for tile in getattr(image, "tile", ())), "")
    image.info[RAW] = raw = str(how[0] if isinstance(how, tuple) and how else how)
    return raw


def as_held(image: Image.Image) -> Image.Image:
    """Greys of 2 and 4 bits as 0 to 3 and 0 to 15, as their file has them; other pictures as they are."""
    factor = SCALED.get(image.info.get(RAW, "")[:3])
    return image.point([value // factor for value in range(256)]) if factor and image.mode == "L" else image
