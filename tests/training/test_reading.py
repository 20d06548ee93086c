import io
import warnings
from contextlib import nullcontext

import numpy as np
import pytest
import rasterio
import tensorflow as tf
import tifffile
from people_data import save
from PIL import Image, ImageOps, PngImagePlugin
from small_data import picture_and_mask

from segformer_tf.data import Coding, inspect, read_split
from segformer_tf.data.pictures import read_picture
from segformer_tf.training import reading
from segformer_tf.training.reading import decode_picture, load_pair, mask_reader


def encoded(picture, kind, **how):
    stream = io.BytesIO()
    picture.save(stream, kind, **how)
    return stream.getvalue()


def turned(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return {"exif": exif}


def test_a_jpeg_is_decoded_as_pillow_does(data):
    file = read_split(data).images[0]
    found = decode_picture(tf.io.read_file(str(file)))
    np.testing.assert_array_equal(found, np.asarray(Image.open(file)))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *(("RGB", kind) for kind in ("jpeg", "png", "bmp", "webp", "tiff")),
        ("L", "jpeg"),
        ("L", "png"),
        ("L", "bmp"),
        ("CMYK", "jpeg"),
        ("P", "png"),
        ("RGBA", "png"),
        ("1", "png"),
        ("LA", "png"),
    ],
)
def test_pictures_of_every_format_have_the_values_that_pillow_gives(mode, kind):
    data = encoded(Image.fromarray(picture_and_mask(0)[0]).convert(mode), kind)
    found = tf.function(decode_picture)(tf.constant(data))
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "webp"])
def test_a_picture_lies_as_its_exif_tag_says_in_the_graph(orientation, kind):
    data = encoded(Image.fromarray(picture_and_mask(0)[0]), kind, **turned(orientation))
    found = tf.function(decode_picture)(tf.constant(data))
    np.testing.assert_array_equal(found, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))


def test_a_little_endian_exif_tag_is_followed():
    exif = (
        b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    )
    data = encoded(Image.fromarray(picture_and_mask(0)[0]), "jpeg", exif=exif)
    assert decode_picture(tf.constant(data)).shape == (72, 48, 3)


def said_by(way, orientation):
    """How a picture is saved that says its orientation in one of the ways that Pillow reads."""
    tiff = b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x04\x00\x00\x00\x01\x00\x00\x00%c\x00\x00\x00\x00"
    exif, xmp = b"Exif\x00\x00" + tiff % orientation, f'<x tiff:Orientation="{orientation}"/>'
    texts = PngImagePlugin.PngInfo()
    if way == "long":
        return {"exif": exif}
    if way == "xmp":
        return {"xmp": xmp.encode()}
    if way == "profile":
        texts.add_text("Raw profile type exif", f"\nexif\n{len(exif)}\n{exif.hex()}", zip=True)
    else:
        texts.add_itxt("XML:com.adobe.xmp", xmp, zip=way == "packed xmp")
    return {"pnginfo": texts}


WAYS = [("jpeg", "long"), ("jpeg", "xmp"), ("png", "long"), ("png", "text"), ("png", "packed xmp"), ("png", "profile")]


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize(("kind", "way"), WAYS)
def test_a_picture_lies_in_training_as_everywhere_whatever_says_so(tmp_path, kind, way, orientation):
    data = encoded(Image.fromarray(picture_and_mask(0)[0]), kind, **said_by(way, orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    assert (expected.shape[0] == 72) == (orientation == 6)
    np.testing.assert_array_equal(tf.function(decode_picture)(tf.constant(data)), expected)
    np.testing.assert_array_equal(read_picture(data), expected)


@pytest.mark.parametrize("way", [way for kind, way in WAYS if kind == "png"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_mask_lies_as_it_says_itself_whatever_says_so(tmp_path, way, dtype):
    mask = picture_and_mask(0)[1].astype(dtype)
    Image.fromarray(mask).save(tmp_path / "m.png", **said_by(way, 3))
    np.testing.assert_array_equal(mask_reader(Coding())(str(tmp_path / "m.png")), mask[::-1, ::-1])


def test_what_says_it_may_stand_behind_the_pixels(tmp_path):
    data = encoded(Image.fromarray(picture_and_mask(0)[0]), "png", **said_by("text", 3))
    place = data.index(b"iTXt") - 4
    length = int.from_bytes(data[place : place + 4], "big") + 12
    end = data.index(b"IEND") - 4
    data = data[:place] + data[place + length : end] + data[place : place + length] + data[end:]
    np.testing.assert_array_equal(decode_picture(tf.constant(data)), picture_and_mask(0)[0][::-1, ::-1])
    save(tmp_path, "images/train/p.png", Image.open(io.BytesIO(data)))
    (tmp_path / "images/train/p.png").write_bytes(data)
    save(tmp_path, "masks/train/p.png", np.zeros((48, 72), np.uint8))
    assert any("turned as the EXIF tag says" in note for note in inspect(tmp_path, splits=("train",)).notes)


@pytest.mark.parametrize("small", [0, reading.SMALL])
@pytest.mark.parametrize("orientation", [1, 6])
def test_only_turned_pictures_are_decoded_by_pillow(monkeypatch, orientation, small):
    asked = []
    monkeypatch.setattr(reading, "SMALL", small)
    monkeypatch.setattr(reading, "read_picture", lambda *given: asked.append(1) or read_picture(*given))
    for kind, how in (("jpeg", turned(orientation)), ("png", {} if orientation == 1 else turned(orientation))):
        decode_picture(tf.constant(encoded(Image.fromarray(picture_and_mask(0)[0]), kind, **how)))
    assert len(asked) == (2 if orientation == 6 else 0)


@pytest.mark.parametrize(("value_range", "white"), [(None, 16), ((0, 4095), 255), ((2000, 4095), 255)])
def test_twelve_bits_in_sixteen_have_the_range_that_is_asked_for(value_range, white):
    values = np.full((4, 6), 4095, np.uint16)
    values[0] = 2000
    said = nullcontext() if value_range else pytest.warns(UserWarning, match="nearly black: data of 12 bits")
    with said:
        found = decode_picture(tf.constant(encoded(Image.fromarray(values), "tiff")), value_range).numpy()
    assert found[1].tolist() == [[white] * 3] * 6
    low = {None: 8, (0, 4095): 125, (2000, 4095): 0}[value_range]
    assert found[0, 0].tolist() == [low] * 3


@pytest.mark.parametrize("kind", ["8-bit", "16-bit", "palette", "1-bit", "tiff", "bmp"])
def test_masks_of_every_kind_give_their_class_ids(tmp_path, kind):
    mask = picture_and_mask(0)[1]
    expected = mask.astype(int)
    picture, suffix = Image.fromarray(mask), "png"
    if kind == "16-bit":
        picture, expected = Image.fromarray(mask.astype(np.uint16) + 300), expected + 300
    elif kind == "palette":
        picture.putpalette(np.arange(768) % 251)
    elif kind == "1-bit":
        picture, expected = Image.fromarray(mask == 1), (mask == 1).astype(int)
    elif kind != "8-bit":
        suffix = kind
    file = tmp_path / f"m.{suffix}"
    picture.save(file)
    np.testing.assert_array_equal(mask_reader(Coding())(str(file)), expected)


@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_a_mask_of_numbers_that_pillow_does_not_read_gives_its_ids(tmp_path, dtype):
    mask = picture_and_mask(0)[1]
    tifffile.imwrite(tmp_path / "m.tif", mask.astype(dtype))
    np.testing.assert_array_equal(mask_reader(Coding())(str(tmp_path / "m.tif")), mask)


def test_colours_of_sixteen_bits_keep_them_in_the_range_that_is_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.full((4, 6, 3), (1000, 2500, 4000), np.uint16), photometric="rgb")
    assert read_picture(tmp_path / "p.tif", (1000, 4000))[0, 0].tolist() == [0, 128, 255]


def test_values_of_over_sixteen_bits_need_a_range(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.full((4, 6, 3), 70_000, np.uint32), photometric="rgb")
    with pytest.raises(ValueError, match=r"p\.tif holds uint32 values, expected 8 or 16 bits: give value_range"):
        read_picture(tmp_path / "p.tif")
    assert read_picture(tmp_path / "p.tif", (0, 140_000))[0, 0].tolist() == [128] * 3


def test_floats_are_read_as_pipelines_read_them(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", np.full((4, 6, 3), 0.5), photometric="rgb")
    for value_range in (None, (0, 1)):
        assert read_picture(tmp_path / "p.tif", value_range)[0, 0].tolist() == [128] * 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(np.float32("nan"), "image has NaN or infinite values"), (np.int32(70_000), "values from 0 to 70000")],
)
def test_values_that_training_cannot_take_are_found_before_it_and_name_their_file(data, wrong, message):
    for suffix in ("jpg", "png"):
        next(data.glob(f"*/train/p0.{suffix}")).rename(data / f"kept.{suffix}")
    values = np.zeros((48, 72), wrong.dtype)
    values[3, 4] = wrong
    Image.fromarray(values).save(data / "images/train/p0.tif")
    (data / "kept.png").rename(data / "annotations/train/p0.png")
    split = read_split(data)
    (error,) = inspect(split).errors
    assert "p0.tif" in error and message in error
    skipped = inspect(split, broken="skip")
    assert len(skipped.splits["train"]) == 6 and not skipped.errors and "left out" in skipped.warnings[0]
    number = [image.name for image in split.images].index("p0.tif")
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"p0\.tif: .*{message}"):
        tf.function(load_pair(split))(tf.constant(number))


@pytest.mark.parametrize("count", [1, 3])
def test_a_picture_of_16_bits_plane_by_plane_is_looked_at_and_read(data, count):
    next(data.glob("images/train/p0.*")).unlink()
    values = np.random.default_rng(0).integers(0, 256, (count, 48, 72), np.uint16)
    shape = {"height": 48, "width": 72, "count": count, "dtype": "uint16", "photometric": "RGB" if count > 1 else None}
    file = data / "images/train/p0.tif"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(file, "w", driver="GTiff", interleave="band", **shape) as written:
            written.write(values * 257)
    assert not inspect(read_split(data)).errors
    np.testing.assert_array_equal(read_picture(file)[..., -1], values[-1])


@pytest.mark.parametrize(("dtype", "options"), [("uint8", {"bigtiff": True, "byteorder": ">"}), ("float64", {})])
def test_a_picture_that_pillow_does_not_open_is_looked_at_and_read(data, dtype, options, recwarn):
    next(data.glob("images/train/p0.*")).unlink()
    values = np.random.default_rng(0).integers(0, 256, (48, 72, 3), np.uint8)
    tifffile.imwrite(data / "images/train/p0.tif", values.astype(dtype), photometric="rgb", **options)
    assert not inspect(read_split(data)).errors
    np.testing.assert_array_equal(read_picture(data / "images/train/p0.tif"), values)
    assert not [warning for warning in recwarn if "metadata" in str(warning.message).lower()]


def test_a_mask_lies_as_its_own_exif_tag_says(tmp_path):
    mask = picture_and_mask(0)[1]
    Image.fromarray(mask).save(tmp_path / "m.png", **turned(6))
    np.testing.assert_array_equal(mask_reader(Coding())(str(tmp_path / "m.png")), np.rot90(mask, -1))


@pytest.mark.parametrize("mode", ["L", "P"])
def test_values_of_masks_become_the_ids_they_mean(tmp_path, mode):
    Image.fromarray(np.array([[0, 1], [2, 150]], np.uint8)).convert(mode).save(tmp_path / "m.png")
    read = mask_reader(Coding(values={0: 255, 1: 0, 2: 1, 150: 149}))
    if mode == "P":
        Image.open(tmp_path / "m.png").convert("L").save(tmp_path / "m.png")
    np.testing.assert_array_equal(read(str(tmp_path / "m.png")), [[255, 0], [1, 149]])


def test_a_value_without_a_meaning_never_becomes_a_label(tmp_path):
    Image.fromarray(np.array([[0, 7]], np.uint8)).save(tmp_path / "m.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match="a value without a meaning"):
        mask_reader(Coding(values={0: 0, 255: 1}))(str(tmp_path / "m.png"))


def test_colours_become_the_classes_that_have_them(tmp_path):
    Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8)).save(tmp_path / "m.png")
    read = mask_reader(Coding(colours={(1, 2, 3): 0, (9, 8, 7): 1}))
    np.testing.assert_array_equal(read(str(tmp_path / "m.png")), [[1, 0]])
