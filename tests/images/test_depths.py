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


@pytest.mark.parametrize("how", ["L;2", "L;2I", "L;2R"])
def test_in_whatever_order_a_file_holds_its_few_bits(how):
    grey = Image.fromarray(np.array([[0, 85, 170, 255]], np.uint8))
    grey.info[RAW] = how
    assert np.asarray(as_held(grey)).tolist() == [[0, 1, 2, 3]]
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
