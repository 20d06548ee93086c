"""Files that are pictures, the sentences for those that are not, and their pixels."""

import io
import os

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from segformer_tf.images import open_image
from segformer_tf.images.opening import to_class_ids, to_pixels
from segformer_tf.images.resize import pillow_resize
from segformer_tf.images.scaling import to_eight_bits


@pytest.fixture
def street(tmp_path):
    path = tmp_path / "street.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)).save(path)
    return path


def test_paths_bytes_and_files_give_the_same_picture(street):
    expected = np.asarray(Image.open(street))
    with street.open("rb") as file:
        for source in (street, str(street), street.read_bytes(), file):
            np.testing.assert_array_equal(np.asarray(open_image(source)), expected)


def test_pictures_and_arrays_stay_what_they_are():
    array = np.zeros((2, 3, 3))
    picture = Image.new("L", (3, 2))
    assert open_image(array) is array and open_image(picture) is picture


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (6, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"a\.gif has several frames, of which the first is taken"):
        assert open_image(tmp_path / "a.gif").convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    frames[0].save(tmp_path / "one.gif")
    frames[0].save(tmp_path / "camera.jpg", "MPO", save_all=True, append_images=frames[1:])  # a preview beside it
    open_image(tmp_path / "one.gif"), open_image(tmp_path / "camera.jpg")


def test_what_is_no_path_of_a_file_is_told():
    with pytest.raises(FileNotFoundError, match="The path of an image is empty; expected an image file"):
        open_image("")
    with pytest.raises(FileNotFoundError, match=r"http://a\.b/c\.jpg is an address, which is not fetched; download it"):
        open_image("http://a.b/c.jpg")


def test_what_cannot_be_decoded_is_named(street, tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"missing.png does not exist; expected an image file"):
        open_image(tmp_path / "missing.png")
    with pytest.raises(IsADirectoryError, match="is a directory; expected an image file"):
        open_image(tmp_path)
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(OSError, match=r"empty.jpg is empty \(0 bytes\); expected an image"):
        open_image(empty)
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    with pytest.raises(OSError, match=r"notes.jpg is not an image in a format that Pillow reads"):
        open_image(text)
    monkeypatch.setattr(EpsImagePlugin, "has_ghostscript", lambda: False)
    Image.new("RGB", (20, 20)).save(tmp_path / "x.eps")
    with pytest.raises(OSError, match=r"x.eps is PostScript, .* with Ghostscript: install that, or convert it to PNG"):
        open_image(tmp_path / "x.eps")
    grib = tmp_path / "x.grib"
    grib.write_bytes(b"GRIB\0\0\0\1" + bytes(100))
    with pytest.raises(OSError, match=r"x.grib is of a kind that Pillow knows, and does not read here: convert it"):
        open_image(grib)
    half = tmp_path / "half.png"
    half.write_bytes(street.read_bytes()[:1500])
    with pytest.raises(OSError, match=r"half.png is damaged or cut off"):
        open_image(half)
    with pytest.raises(OSError, match="The image given as 10 bytes is not an image"):
        open_image(b"no picture")
    with pytest.raises(OSError, match="The file object is empty"):
        open_image(io.BytesIO())
    with pytest.raises(TypeError, match="image is a int; expected a path"):
        open_image(7)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(OSError, match=r"street.png is too large to decode safely"):
        open_image(street)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_of_more_pixels_than_pillow_s_limit_is_refused_unless_that_is_raised(street, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(OSError, match=r"street.png has 1,200 pixels, expected at most 1,000; make it smaller, or set"):
        open_image(street)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert open_image(street).size == (40, 30)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "mask.png")
    with pytest.raises(OSError, match=r"mask.png is a named pipe; expected an image file"):
        open_image(tmp_path / "mask.png")


def pixels(source, channels=3, data_format=None, exif=False):
    return to_pixels(source, channels, data_format, strict=True, exif=exif)


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV"])
def test_every_mode_becomes_rgb_as_pillow_converts_it(mode, photo):
    image = photo.convert(mode)
    result = pixels(image)
    assert result.dtype == np.uint8 and result.shape == (6, 9, 3)
    np.testing.assert_array_equal(result, np.asarray(image.convert("RGB")))


def test_a_palette_with_transparency_gives_its_colours(photo):
    image = photo.quantize(4)
    image.info["transparency"] = bytes([0, 128, 255, 255])
    np.testing.assert_array_equal(pixels(image), np.asarray(image.convert("RGBA"))[..., :3])


def test_alpha_is_dropped_and_not_blended():
    assert pixels(Image.new("RGBA", (2, 2), (10, 20, 30, 0)))[0, 0].tolist() == [10, 20, 30]


def test_one_channel_is_grey(photo):
    np.testing.assert_array_equal(pixels(photo, channels=1)[..., 0], np.asarray(photo.convert("L")))


def test_16_bit_greys_are_scaled_and_not_cut():
    values = np.array([[0, 128, 257], [32768, 65000, 65535]], np.uint16)
    expected = [[0, 0, 1], [128, 253, 255]]
    sources = [Image.fromarray(values), Image.fromarray(values.astype(np.int32)), values, values[..., None]]
    sources.append(values.astype(">u2"))  # of another processor, or of a file that is mapped
    for source in sources:
        result = pixels(source)
        assert result.shape == (2, 3, 3)
        for channel in range(3):
            np.testing.assert_array_equal(result[..., channel], expected)


def test_mode_i_and_f_of_8_bit_values_stay():
    values = np.array([[0, 100], [200, 255]])
    np.testing.assert_array_equal(pixels(Image.fromarray(values.astype(np.int32)))[..., 0], values)
    np.testing.assert_array_equal(
        pixels(Image.fromarray((values + 0.2).clip(0, 255).astype("float32")))[..., 1], values
    )
    np.testing.assert_array_equal(pixels(Image.fromarray((values / 255).astype("float32")))[..., 2], values)
    with pytest.raises(ValueError, match="mode I has values from -1 to 254; expected 0 to 65535"):
        pixels(Image.fromarray(values.astype(np.int32) - np.eye(2, dtype=np.int32)))


def test_exif_rotation_is_honoured_only_if_asked(photo):
    photo.getexif()[0x0112] = 6  # the camera was turned
    assert pixels(photo).shape == (6, 9, 3)
    np.testing.assert_array_equal(pixels(photo, exif=True), np.rot90(np.asarray(photo), -1))


def test_values_that_are_no_pixels_are_named():
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="image has NaN or infinite values"):
            pixels(np.full((2, 2, 3), bad))
    with pytest.raises(ValueError, match="image has dtype <U1; expected integers or floats"):
        pixels(np.full((2, 2, 3), "a"))
    with pytest.raises(ValueError, match="float64 values from -1 to 4; expected whole numbers from 0 to 255"):
        to_eight_bits(np.array([-1.0, 4.0]))
    with pytest.raises(ValueError, match=r"float64 values from 0.5 to 4; expected"):
        to_eight_bits(np.array([0.5, 4.0]))


def test_truth_values_are_0_and_1():
    assert pixels(np.ones((2, 2), bool)).tolist() == [[[1, 1, 1]] * 2] * 2


def test_palette_maps_give_their_indices():
    ids = Image.fromarray(np.array([[3, 0], [255, 1]], np.uint8))
    ids.putpalette(list(range(256)) * 3)
    assert to_class_ids(ids).tolist() == [[3, 0], [255, 1]]
    assert to_class_ids(Image.new("1", (2, 1), 1)).tolist() == [[1, 1]]
    assert to_class_ids(np.array([[[4.0], [5.0]]])).tolist() == [[4, 5]]


def test_maps_that_are_no_class_ids_are_named(photo):
    with pytest.raises(ValueError, match="segmentation map has mode RGB; expected one channel of class ids"):
        to_class_ids(photo)
    with pytest.raises(ValueError, match=r"segmentation map has shape \(2, 3, 4\); expected \(H, W\)"):
        to_class_ids(np.zeros((2, 3, 4), int))
    with pytest.raises(ValueError, match="segmentation map has values that are not whole numbers"):
        to_class_ids(np.array([[0.5]]))


def test_channels_other_than_three_are_resized_by_themselves():
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 4), np.uint8)
    result = pillow_resize(image, (5, 4), 2)
    assert result.shape == (5, 4, 4)
    np.testing.assert_array_equal(result[..., 3], np.asarray(Image.fromarray(image[..., 3]).resize((4, 5), 2)))


@pytest.fixture
def sideways(tmp_path):
    """A picture of 30 x 40 whose EXIF tag says that it is to be turned to 40 x 30."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    picture.save(tmp_path / "sideways.png", exif=exif)
    return tmp_path / "sideways.png"


def test_files_and_bytes_lie_as_their_exif_tag_says_and_pil_images_as_they_are(sideways):
    upright = np.rot90(np.asarray(Image.open(sideways)), -1)
    with sideways.open("rb") as file:
        for source in (sideways, str(sideways), sideways.read_bytes(), file):
            np.testing.assert_array_equal(np.asarray(open_image(source)), upright)
    picture = Image.open(sideways)
    assert open_image(picture) is picture
    np.testing.assert_array_equal(np.asarray(open_image(picture, exif=True)), upright)
    assert np.asarray(open_image(sideways, exif=False)).shape == (30, 40, 3)


def test_the_processor_follows_the_tag_of_files_and_one_setting_turns_that_off(sideways):
    from segformer_tf import SegformerImageProcessor

    plain = {"do_resize": False, "do_rescale": False, "do_normalize": False}
    shapes = [
        SegformerImageProcessor(**plain, do_exif_transpose=how)(source).pixel_values[0].shape[:2]
        for how in (None, True, False)
        for source in (sideways, Image.open(sideways))
    ]
    assert shapes == [(40, 30), (30, 40), (40, 30), (40, 30), (30, 40), (30, 40)]
    grey = sideways.with_name("mask.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(grey, exif=exif)
    batch = SegformerImageProcessor(**plain)(sideways, grey)
    assert batch.labels[0].tolist() == [[3, 0], [4, 1], [5, 2]]


@pytest.mark.parametrize("mode", ["I;16", "I"])
def test_data_of_twelve_bits_in_a_file_of_sixteen_is_warned_of_and_stretched_where_told(tmp_path, mode):
    values = np.linspace(0, 4000, 1200).reshape(30, 40).astype(np.uint16)
    picture = Image.fromarray(values) if mode == "I;16" else Image.fromarray(values.astype(np.int32))
    file = tmp_path / "scan.tif"
    picture.save(file)
    told = r"scan\.tif holds 16-bit values up to 4000, which become nearly black: data of 12 bits\? .*\(0, 4095\)"
    with pytest.warns(UserWarning, match=told):
        to_pixels(file, 1, None, strict=True)
    expected = np.rint(values / 4095 * 255).astype(np.uint8)
    for source in (file, values):
        found = to_pixels(source, 1, None, strict=True, value_range=(0, 4095))
        np.testing.assert_array_equal(found[..., 0], expected)


def test_a_range_leaves_eight_bits_alone_cuts_what_is_beyond_and_takes_floats():
    eight = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    np.testing.assert_array_equal(to_pixels(eight, 1, None, strict=True, value_range=(0, 4095)), eight)
    floats = np.array([[-5.0, 0.0, 2.5, 5.0, 9.0]])
    found = to_pixels(floats, 1, None, strict=True, value_range=(0, 5))
    assert found[..., 0].tolist() == [[0, 0, 128, 255, 255]]


def test_a_file_is_named_where_its_values_do_not_fit(tmp_path):
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=r"^/.*a\.tif: image of mode I has values from 70000 to 70000"):
        to_pixels(tmp_path / "a.tif", 1, None, strict=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "mask.png")
    with pytest.raises(ValueError, match=r"^/.*mask\.png has mode RGB; expected one channel of class ids"):
        to_class_ids(tmp_path / "mask.png")


@pytest.mark.parametrize("kind", ["TIFF", "WEBP", "JPEG"])
def test_a_lossy_mask_is_refused_whatever_it_is_given_as(tmp_path, kind):
    path = tmp_path / "mask"
    turned = Image.Exif()
    turned[274] = 6
    options = {"compression": "jpeg"} if kind == "TIFF" else {}
    Image.fromarray(np.zeros((32, 48), np.uint8)).save(path, kind, exif=turned, **options)
    with path.open("rb") as file:
        for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes()), file):
            with pytest.raises(ValueError, match="is a lossy picture, which smears class ids"):
                to_class_ids(source)
    if kind != "WEBP":  # of a picture nobody knows which WebP it was
        with pytest.raises(ValueError, match="is a lossy picture"), Image.open(path) as picture:
            to_class_ids(picture)
