"""TIFF files of several pages, bands and bit depths."""

import importlib.util
import sys

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from segformer_tf import SegformerImageProcessor
from segformer_tf.images import open_image, tiff
from segformer_tf.images.opening import is_lossy, to_class_ids, to_pixels

RANDOM = np.random.default_rng(0)


def bands(count, dtype=np.uint8, high=256):
    return RANDOM.integers(0, high, (30, 40, count)).astype(dtype)


def test_of_several_pages_one_must_be_chosen(tmp_path):
    pages = [bands(3), bands(3)]
    tifffile.imwrite(tmp_path / "a.tif", np.stack(pages), photometric="rgb")
    with pytest.raises(
        ValueError,
        match=r"a\.tif has 2 pages, expected one picture: give page=1 for the first \(in the shell --page 1\)",
    ):
        open_image(tmp_path / "a.tif")
    for number, page in enumerate(pages, 1):
        np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.tif", page=number)), page)
    for number in (0, 3):
        with pytest.raises(
            ValueError, match=rf"page is {number}, expected a number from 1 to 2, the pages of .*a\.tif"
        ):
            open_image(tmp_path / "a.tif", page=number)
    processor = SegformerImageProcessor(do_resize=False, do_rescale=False, do_normalize=False, page=2)
    np.testing.assert_array_equal(processor(tmp_path / "a.tif").pixel_values[0], pages[1])


def test_smaller_copies_of_a_page_are_no_pages(tmp_path):
    page = bands(3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(page, photometric="rgb")
        file.write(page[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.tif")), page)


def test_a_mask_of_a_page_is_no_page(tmp_path):
    page = bands(3)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(page, photometric="rgb")
        file.write(page[..., 0] > 9, photometric="mask", subfiletype=4)
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.tif")), page)


@pytest.mark.parametrize("count", [2, 4, 5])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_bands_that_a_model_has_no_channels_for_are_refused_and_read_by_one_that_has(tmp_path, count, planar):
    values = bands(count)
    stored = values if planar == "contig" else np.moveaxis(values, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig=planar)
    with pytest.raises(
        ValueError, match=rf"a\.tif has {count} bands, expected 3: choose the bands .*num_channels={count}"
    ):
        to_pixels(tmp_path / "a.tif", 3, None, strict=True)
    np.testing.assert_array_equal(to_pixels(tmp_path / "a.tif", count, None, strict=True), values)
    with pytest.raises(ValueError, match=rf"has {count} bands, expected 7"):
        to_pixels(tmp_path / "a.tif", 7, None, strict=True)


def test_an_alpha_band_is_dropped_for_three_channels_and_a_fourth_band_kept_for_four(tmp_path):
    values = bands(4)
    tifffile.imwrite(tmp_path / "alpha.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    tifffile.imwrite(tmp_path / "infrared.tif", values, photometric="rgb", extrasamples=["unspecified"])
    np.testing.assert_array_equal(to_pixels(tmp_path / "alpha.tif", 3, None, strict=True), values[..., :3])
    with pytest.raises(ValueError, match=r"infrared\.tif has 4 bands, expected 3"):
        to_pixels(tmp_path / "infrared.tif", 3, None, strict=True)
    for name in ("alpha", "infrared"):
        np.testing.assert_array_equal(to_pixels(tmp_path / f"{name}.tif", 4, None, strict=True), values)


def test_twelve_bits_of_six_bands_are_stretched_and_alone_warned_of(tmp_path):
    values = bands(6, np.uint16, 4096)
    values[0, 0] = 4095
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig")
    found = to_pixels(tmp_path / "a.tif", 6, None, strict=True, value_range=(0, 4095))
    np.testing.assert_array_equal(found, np.rint(values / 4095 * 255).astype(np.uint8))
    told = (
        r"a\.tif holds 16-bit values up to 4095, which become nearly black: data of 12 bits\? "
        r"Give value_range=\(0, 4095\)"
    )
    with pytest.warns(UserWarning, match=told):
        assert to_pixels(tmp_path / "a.tif", 6, None, strict=True).max() == 16


def test_sixteen_bit_colours_keep_their_bits_where_a_range_is_given(tmp_path):
    values = bands(3, np.uint16, 4096)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    found = to_pixels(tmp_path / "a.tif", 3, None, strict=True, value_range=(0, 4095))
    np.testing.assert_array_equal(found, np.rint(values / 4095 * 255).astype(np.uint8))
    with pytest.warns(UserWarning, match=r"a\.tif holds colours of 16 bits up to .*data of 12 bits"):
        to_pixels(tmp_path / "a.tif", 3, None, strict=True)


def test_without_tifffile_the_error_says_what_to_install(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", bands(5), photometric="minisblack", planarconfig="contig")
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(ImportError, match=r"a\.tif is a TIFF whose .*: pip install 'segformer-tf\[tiff\]'"):
        to_pixels(tmp_path / "a.tif", 5, None, strict=True)


@pytest.mark.skipif(importlib.util.find_spec("imagecodecs") is not None, reason="which reads these files")
@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("bits", [2, 4])
@pytest.mark.parametrize("count", [1, 3])
def test_planes_of_few_bits_are_told_as_such_and_not_as_damaged(tmp_path, bits, count):
    how = {"driver": "GTiff", "dtype": "uint8", "nbits": bits, "interleave": "band", "height": 30, "width": 40}
    with rasterio.open(tmp_path / "a.tif", "w", count=count, **how) as file:
        file.write(np.moveaxis(bands(count, high=2**bits), -1, 0))
    with pytest.raises(ImportError, match=rf"a\.tif has values of {bits} bits, packed by NONE, which needs image"):
        open_image(tmp_path / "a.tif", channels=3)


@pytest.mark.filterwarnings("ignore:Truncated File Read")  # Pillow's own, beside the error
def test_a_damaged_file_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", bands(3), photometric="rgb")
    data = (tmp_path / "a.tif").read_bytes()
    for cut in (6, 100, len(data) // 2):
        with pytest.raises(OSError, match=r"The image given as .* bytes is (damaged or cut off|not an image)"):
            to_pixels(data[:cut], 3, None, strict=True)


def test_a_lossy_format_is_told_by_content_and_refused_as_a_mask(tmp_path):
    ids = Image.fromarray(RANDOM.integers(0, 5, (32, 32), np.uint8))
    kinds = {
        "jpeg.png": ({"format": "JPEG"}, True),
        "mask.jpg": ({"format": "PNG"}, False),
        "lossy.png": ({"format": "WEBP", "quality": 80}, True),
        "lossless.webp": ({"format": "WEBP", "lossless": True}, False),
        "lossy.tif": ({"format": "TIFF", "compression": "jpeg"}, True),
        "lossless.tif": ({"format": "TIFF", "compression": "tiff_lzw"}, False),
    }
    for name, (how, lossy) in kinds.items():
        ids.convert("RGB" if how["format"] == "WEBP" else "L").save(tmp_path / name, **how)
        assert is_lossy(tmp_path / name) == lossy, name
        if lossy:
            with pytest.raises(ValueError, match=rf"{name} is a lossy picture, which smears class ids; expected a PNG"):
                to_class_ids(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    assert not is_lossy(tmp_path / "notes.txt") and not is_lossy(np.zeros((2, 2)))
    np.testing.assert_array_equal(to_class_ids(tmp_path / "mask.jpg"), np.asarray(ids))


def test_colours_of_floats_from_0_to_1_are_scaled_as_greys_are(tmp_path):
    values = bands(3)
    for factor, name in ((1, "white.tif"), (1 / 255, "unit.tif")):
        tifffile.imwrite(tmp_path / name, (values * factor).astype(np.float32), photometric="rgb")
        np.testing.assert_array_equal(to_pixels(tmp_path / name, 3, None, strict=True), values)
        tifffile.imwrite(tmp_path / name, (values[..., 0] * factor).astype(np.float32))
        np.testing.assert_array_equal(to_pixels(tmp_path / name, 3, None, strict=True)[..., 1], values[..., 0])
    for shown, kind in ((values, "rgb"), (values[..., 0], "minisblack")):
        tifffile.imwrite(tmp_path / "a.tif", shown.astype(np.float32) * 100, photometric=kind)
        with pytest.raises(ValueError, match=r"a\.tif: image has float32 values from .* expected whole numbers from 0"):
            to_pixels(tmp_path / "a.tif", 3, None, strict=True)
    tifffile.imwrite(
        tmp_path / "five.tif", bands(5).astype(np.float32) / 255, photometric="minisblack", planarconfig="contig"
    )
    assert to_pixels(tmp_path / "five.tif", 5, None, strict=True).dtype == np.float32, "no picture: may be reflectances"


@pytest.mark.parametrize(("shape", "kind"), [((30, 40), "minisblack"), ((30, 40, 3), "rgb")])
def test_values_that_are_no_numbers_are_told(tmp_path, shape, kind):
    values = np.zeros(shape, np.float32)
    values[3, 4] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=kind)
    with pytest.raises(ValueError, match=r"a\.tif: image has NaN or infinite values; expected finite ones"):
        to_pixels(tmp_path / "a.tif", 3, None, strict=True)


def test_a_packing_that_needs_another_package_names_it(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", bands(5), photometric="minisblack", planarconfig="contig")

    def asarray(page):
        raise ValueError("<COMPRESSION.LERC: 34887> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "asarray", asarray)
    with pytest.raises(ImportError, match=r"a\.tif has values of 8 bits, packed by NONE, which needs imagecodecs: pip"):
        to_pixels(tmp_path / "a.tif", 5, None, strict=True)


def test_a_page_of_many_bands_that_is_flagged_as_a_copy_is_the_picture_where_it_is_alone(tmp_path):
    values = bands(6)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack", planarconfig="contig", subfiletype=1)
    np.testing.assert_array_equal(to_pixels(tmp_path / "a.tif", 6, None, True), values)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_tags_of_every_page_are_read_without_its_pixels(tmp_path, big, order):
    with tifffile.TiffWriter(tmp_path / "a.tif", bigtiff=big, byteorder=order) as file:
        for kind in (0, 1, 2):
            name = "me, whose name is long" if kind == 1 else "me"
            file.write(bands(1)[..., 0], subfiletype=kind, software=name)
    with (tmp_path / "a.tif").open("rb") as file:
        found = [(tags.get(254, 0), tags[305]) for tags in tiff.directories(file)]
    assert found == [(0, "me"), (1, "me, whose name is long"), (2, "me")]


def test_inks_of_sixteen_bits_are_refused_where_a_range_is_given(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", bands(4, np.uint16, 60_000), photometric="separated")
    with pytest.raises(ValueError, match=r"a\.tif holds inks \(CMYK\) of 16 bits"):
        to_pixels(tmp_path / "a.tif", 3, None, True, value_range=(0, 65535))
    tifffile.imwrite(tmp_path / "b.tif", bands(4), photometric="separated")
    expected = np.asarray(Image.open(tmp_path / "b.tif").convert("RGB"))
    np.testing.assert_array_equal(to_pixels(tmp_path / "b.tif", 3, None, True, value_range=(0, 65535)), expected)


KINDS = {
    "grey": (1, {"photometric": "minisblack"}),
    "white is zero": (1, {"photometric": "miniswhite"}),
    "grey, alpha": (2, {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    "RGB": (3, {"photometric": "rgb"}),
    "RGB, alpha": (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    "RGB, multiplied": (4, {"photometric": "rgb", "extrasamples": ["assocalpha"]}),
    "CMYK": (4, {"photometric": "separated"}),
}


def stored(values, planar):
    return np.moveaxis(values, -1, 0) if planar == "separate" and values.shape[-1] > 1 else values


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_picture_is_the_same_however_its_values_are_stored(tmp_path, kind, bits, planar, tile):
    count, how = KINDS[kind]
    shown = bands(count)
    if kind == "RGB, multiplied":
        shown[..., 3] = shown[..., 3] // 2 + 128
        values = np.concatenate([(shown[..., :3].astype(float) * shown[..., 3:] / 255).round(), shown[..., 3:]], -1)
    else:
        values = 255 - shown if kind == "white is zero" else shown
    values = values.astype(f"uint{bits}") * (257 if bits == 16 else 1)
    expected = np.repeat(shown[..., :1], 3, -1) if count < 3 else shown[..., :3]
    if kind == "CMYK":
        inks = [Image.fromarray(np.ascontiguousarray(shown[..., band])) for band in range(4)]
        expected = np.asarray(Image.merge("CMYK", inks).convert("RGB"))
    for order in "<>":
        for packed in (None, "adobe_deflate"):
            how = how | {"planarconfig": planar} if count > 1 else how
            options = {"byteorder": order, "compression": packed, "tile": tile, **how}
            tifffile.imwrite(tmp_path / "a.tif", stored(values, planar), **options)
            found = to_pixels(tmp_path / "a.tif", 3, None, strict=True).astype(int)
            near = 2 if kind == "RGB, multiplied" else 0  # of rounded products
            assert found.shape == expected.shape and np.abs(found - expected).max() <= near, options
            if kind == "CMYK":
                continue
            found = to_pixels(tmp_path / "a.tif", 3, None, strict=True, value_range=(0, 65535)).astype(int)
            assert np.abs(found - expected).max() <= near, (options, "with a range of values")


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("order", ["LITTLE", "BIG"])
@pytest.mark.parametrize("kind", ["MINISBLACK", "MINISWHITE"])
@pytest.mark.parametrize(
    ("dtype", "bits"), [("uint8", 1), ("uint8", 8), ("uint16", 16), ("int32", 32), ("float32", 32)]
)
def test_a_lone_band_that_is_said_to_be_a_plane_is_read(tmp_path, order, kind, dtype, bits):
    values = RANDOM.integers(0, 2 ** min(bits, 8), (1, 30, 40)).astype(dtype)
    values = values * 257 if bits == 16 else values
    shape = {"height": 30, "width": 40, "count": 1, "dtype": dtype}
    how = {"photometric": kind, "endianness": order, **({"nbits": 1} if bits == 1 else {})}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", interleave="band", **shape, **how) as file:
        file.write(values)
    shown = values[0].astype(float) / {1: 1 / 255, 16: 257}.get(bits, 1)
    shown = 255 - shown if kind == "MINISWHITE" and dtype.startswith("u") else shown
    np.testing.assert_array_equal(to_pixels(tmp_path / "a.tif", 3, None, strict=True)[..., 1], shown)


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "uint64"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_numbers_that_pillow_has_no_mode_for_are_read(tmp_path, dtype, count):
    shown = bands(count)
    values = (shown / 255 if dtype.startswith("float") else shown).astype(dtype)
    how = {"photometric": "minisblack" if count < 3 else "rgb", "planarconfig": "contig" if count > 1 else None}
    extra = ["unassalpha"] if count in (2, 4) else None
    tifffile.imwrite(tmp_path / "a.tif", values if count > 1 else values[..., 0], extrasamples=extra, **how)
    expected = np.repeat(shown[..., :1], 3, -1) if count < 3 else shown[..., :3]
    found = to_pixels(tmp_path / "a.tif", 3, None, strict=True)
    assert np.abs(found.astype(int) - expected).max() <= (1 if dtype == "float16" else 0)


def test_values_that_are_no_grey_and_no_rgb_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", bands(3, np.uint16), photometric="cielab")
    with pytest.raises(ValueError, match=r"a\.tif holds CIELAB of 16 bits, expected grey or RGB: convert it"):
        to_pixels(tmp_path / "a.tif", 3, None, strict=True)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("count", [3, 5])
def test_what_tifffile_reads_is_turned_as_pillow_turns(tmp_path, number, count):
    tags = [(274, "H", 1, number, True)]
    values = bands(count)
    how = {"photometric": "rgb", "extratags": tags, "extrasamples": ["unspecified"] * (count - 3)}
    tifffile.imwrite(
        tmp_path / "a.tif", np.moveaxis(values, -1, 0).astype(np.uint16) * 257, planarconfig="separate", **how
    )
    tifffile.imwrite(tmp_path / "b.tif", values[..., :3], photometric="rgb", extratags=tags)
    found = to_pixels(tmp_path / "a.tif", count, None, strict=True)
    np.testing.assert_array_equal(found[..., :3], to_pixels(tmp_path / "b.tif", 3, None, strict=True))
    lying = to_pixels(tmp_path / "a.tif", count, None, strict=True, exif=False)
    np.testing.assert_array_equal(lying, values)


@pytest.mark.parametrize("order", ["<", ">"])
def test_class_ids_of_16_bits_are_taken_as_they_are_stored(tmp_path, order):
    ids = RANDOM.integers(0, 300, (30, 40), np.uint16)
    for kind in ("minisblack", "miniswhite"):
        tifffile.imwrite(tmp_path / "a.tif", ids, photometric=kind, byteorder=order)
        np.testing.assert_array_equal(to_class_ids(tmp_path / "a.tif"), ids)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_bigtiff_of_either_order_is_read_without_a_warning(tmp_path, order, count, recwarn):
    values = bands(count)
    kind = "rgb" if count > 1 else "minisblack"
    values = values if count > 1 else values[..., 0]
    extra = ["unassalpha"] if count == 4 else None
    tifffile.imwrite(tmp_path / "a.tif", values, photometric=kind, bigtiff=True, byteorder=order, extrasamples=extra)
    found = to_pixels(tmp_path / "a.tif", 3, None, strict=True)
    np.testing.assert_array_equal(found, np.repeat(values[..., None], 3, -1) if count == 1 else values[..., :3])
    if count == 1:
        np.testing.assert_array_equal(to_class_ids(tmp_path / "a.tif"), values)
        assert not is_lossy(tmp_path / "a.tif")
    assert not [str(warning.message) for warning in recwarn]
