"""How an opened picture lies, as it says itself, and the picture as viewers show it."""

import numpy as np
from PIL import ExifTags, Image

TURN = Image.Transpose
TURNS = {
    2: TURN.FLIP_LEFT_RIGHT,
    3: TURN.ROTATE_180,
    4: TURN.FLIP_TOP_BOTTOM,
    5: TURN.TRANSPOSE,
    6: TURN.ROTATE_270,
    7: TURN.TRANSVERSE,
    8: TURN.ROTATE_90,
}
SAYS = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")  # in Pillow's `info`


def orientation(image: Image.Image) -> int:
    """1 to 8, as the picture's EXIF or XMP says; 1, upright, where none can be read. A PNG is decoded for it."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises SyntaxError, TypeError, ValueError and others for texts that it does not expect
        return 1
    return found if found in TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as it says, which it says no longer then; a picture that is upright is given back itself."""
    if (number := orientation(image)) == 1:
        return image
    image = image.transpose(TURNS[number])
    for key in SAYS:  # Pillow's `exif_transpose` writes the rest of it anew, and fails where that is damaged
        image.info.pop(key, None)
    return image


def turned(values: np.ndarray, number: int) -> np.ndarray:
    """(H, W, bands) -> as `upright` does with a picture of that orientation."""
    if number not in TURNS:
        return values
    if number > 4:
        values = values.swapaxes(0, 1)
    down, across = number in (3, 4, 7, 8), number in (2, 3, 6, 7)
    return values[:: -1 if down else 1, :: -1 if across else 1]
