import io

import numpy as np
import pytest
from PIL import Image
from pngs import write_png

from segformer_tf import SegformerImageProcessor
from segformer_tf.images.depths import RAW, as_held, remember
from segformer_tf.images.opening import open_image, to_class_ids


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_class_ids_are_those_that_the_file_holds(tmp_path, depth):
    ids = np.arange(12).reshape(3, 4) % 2**depth
    file = write_png(tmp_path / "m.png", ids, depth, 0)
    for source in (file, str(file), file.read_bytes(), io.BytesIO(file.read_bytes())):
        np.testing.assert_array_equal(to_class_ids(source), ids)
    processor = SegformerImageProcessor(do_resize=False)
    labels = processor(Image.new("RGB", (4, 3)), file).labels
    np.testing.assert_array_equal(labels[0], ids)


@pytest.mark.parametrize(("depth", "factor"), [(2, 85), (4, 17)])
def test_of_pictures_greys_of_few_bits_reach_white(tmp_path, depth, factor):
    """And PIL images are taken as they are, whether their pixels are decoded already or not."""
    ids = np.arange(12).reshape(3, 4) % 2**depth
    file = write_png(tmp_path / "m.png", ids, depth, 0)
    np.testing.assert_array_equal(np.asarray(open_image(file)), ids * factor)
    for decode in (False, True):
        with Image.open(file) as image:
            if decode:
                image.load()
            np.testing.assert_array_equal(to_class_ids(image), ids * factor)


@pytest.mark.parametrize(("how", "ids"), [("L;2", [0, 1, 2, 3]), ("L;2I", [3, 2, 1, 0]), ("L;2R", [0, 1, 2, 3])])
def test_in_whatever_order_a_file_holds_its_few_bits(how, ids):
    grey = Image.fromarray(np.array([[0, 85, 170, 255]], np.uint8))
    grey.info[RAW] = how
    assert np.asarray(as_held(grey)).tolist() == [ids]
    colours = grey.convert("RGB")  # which keeps `info`
    assert as_held(colours) is colours
    grey.info[RAW] = "L"
    assert as_held(grey) is grey


@pytest.mark.parametrize(("format", "expected"), [("png", "L"), ("jpeg", "L"), ("tiff", "L"), (None, "")])
def test_every_format_says_in_a_word_how_it_holds_its_numbers(format, expected):
    picture, stream = Image.new("L", (4, 3)), io.BytesIO()
    if format:
        picture.save(stream, format)
        picture = Image.open(stream)
    assert remember(picture) == picture.info[RAW] == expected


@pytest.mark.parametrize("greatest", [1, 10, 100, 254, 255, 1000, 65534, 65535])
@pytest.mark.parametrize("plain", [False, True])
def test_class_ids_of_a_pgm_are_not_scaled_by_its_greatest_value(greatest, plain):
    """Pillow makes 0 to 255, or to 65535, of 0 to the greatest value, which is right for pictures."""
    ids = np.linspace(0, greatest, 4000).round().astype(int).reshape(40, 100)
    kind, pixels = ("P2", " ".join(map(str, ids.ravel())).encode()), ids.astype(">u2" if greatest > 255 else np.uint8)
    name, content = kind if plain else ("P5", pixels.tobytes())
    file = f"{name}\n100 40\n{greatest}\n".encode() + content
    np.testing.assert_array_equal(to_class_ids(file), ids)
    assert np.asarray(open_image(file)).max() == (65535 if greatest > 255 else 255)


def test_class_ids_of_a_tiff_are_no_negative():
    """As ImageJ saves masks with an inverted table, and tifffile reads them."""
    tifffile = pytest.importorskip("tifffile")
    ids, stream = np.arange(12, dtype=np.uint8).reshape(3, 4), io.BytesIO()
    tifffile.imwrite(stream, ids, photometric="miniswhite")
    np.testing.assert_array_equal(to_class_ids(stream.getvalue()), ids)
    np.testing.assert_array_equal(np.asarray(open_image(stream.getvalue())), 255 - ids)
