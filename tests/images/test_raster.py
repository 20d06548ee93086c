"""Large TIFFs read window by window, and label maps that lie where their picture lies."""

import copy
import os
import pickle
import warnings

import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image
from rasterio.transform import Affine

from segformer_tf.images import open_image, palette_for, raster
from segformer_tf.images.opening import to_pixels
from segformer_tf.images.raster import open_regions, write_labels

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 130, 4), dtype=np.uint8)
PLACE = {"crs": "EPSG:32633", "transform": Affine(0.1, 0, 500_000, 0, -0.1, 5_400_000)}


def write(path, pixels, **options):
    shape = {"height": pixels.shape[0], "width": pixels.shape[1], "count": pixels.shape[2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", dtype=pixels.dtype, **shape, **options) as file:
            file.write(np.moveaxis(pixels, -1, 0))
    return path


@pytest.fixture
def small_is_large(monkeypatch):
    monkeypatch.setattr(raster, "LARGE", 1)


@pytest.mark.parametrize(
    "options",
    [
        {"tiled": True, "blockxsize": 32, "blockysize": 16, "compress": "deflate", **PLACE},
        {"blockysize": 7, "compress": "lzw"},
        {"interleave": "band"},
    ],
)
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_a_part_is_what_pillow_decodes_there(tmp_path, small_is_large, options, bands):
    kinds = {1: {}, 3: {"photometric": "RGB"}, 4: {"photometric": "RGB", "ALPHA": "YES"}}
    file = write(tmp_path / "a.tif", PIXELS[..., :bands], **options, **kinds[bands])
    regions = open_regions(file, 3)
    assert regions.shape == (90, 130, 3) and regions.dtype == np.uint8
    whole = np.repeat(PIXELS[..., :1], 3, -1) if bands == 1 else PIXELS[..., :3]
    np.testing.assert_array_equal(regions[10:47, 60:130], whole[10:47, 60:130])
    np.testing.assert_array_equal(np.asarray(regions), whole)
    if options.get("interleave") != "band":
        np.testing.assert_array_equal(np.asarray(open_image(file).convert("RGB")), whole)


def test_a_file_with_a_mask_inside_is_one_picture(tmp_path, small_is_large):
    shape = {"height": 90, "width": 130, "count": 3, "dtype": "uint8"}
    inside = rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True)
    with inside, rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **shape, **PLACE) as file:
        file.write(np.moveaxis(PIXELS[..., :3], -1, 0))
        file.write_mask(PIXELS[..., 0] > 9)
    regions = open_regions(tmp_path / "a.tif", 3)
    assert regions is not None
    np.testing.assert_array_equal(np.asarray(regions), PIXELS[..., :3])
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.tif")), PIXELS[..., :3])


def test_what_needs_more_than_reading_is_decoded_whole(tmp_path, small_is_large):
    Image.fromarray(PIXELS[..., :3]).save(tmp_path / "a.png")
    Image.fromarray(PIXELS[..., 0]).convert("P").save(tmp_path / "palette.tif")
    Image.fromarray(PIXELS[..., :3]).save(tmp_path / "turned.tif", tiffinfo={274: 6})
    write(tmp_path / "deep.tif", PIXELS[..., :3].astype(np.uint16))
    write(tmp_path / "two.tif", PIXELS[..., :2])
    write(tmp_path / "infrared.tif", PIXELS, photometric="RGB", ALPHA="NO")
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([PIXELS[..., :3]] * 2), photometric="rgb")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "deep.tif").read_bytes()[:50])
    for name in (
        "a.png",
        "palette.tif",
        "turned.tif",
        "deep.tif",
        "two.tif",
        "infrared.tif",
        "pages.tif",
        "cut.tif",
        "gone.tif",
    ):
        assert open_regions(tmp_path / name, 3) is None, name
    assert open_regions(PIXELS, 3) is None


def test_a_copy_opens_the_file_again(tmp_path, small_is_large, monkeypatch):
    write(tmp_path / "a.tif", PIXELS[..., :3], photometric="RGB")
    monkeypatch.chdir(tmp_path)
    regions = open_regions("a.tif", 3)
    packed = pickle.dumps(regions)
    monkeypatch.chdir("/")
    for copied in (pickle.loads(packed), copy.deepcopy(regions)):
        np.testing.assert_array_equal(copied[3:9, 4:8], PIXELS[3:9, 4:8, :3])
    (tmp_path / "a.tif").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.tif does not exist any more; a result of it reads its pixels"):
        pickle.loads(packed)


def test_small_files_are_decoded_whole_and_those_beyond_all_bounds_refused(tmp_path, monkeypatch):
    file = write(tmp_path / "a.tif", PIXELS[..., :3], photometric="RGB")
    assert open_regions(file, 3) is None
    monkeypatch.setattr(raster, "LARGE", 1)
    monkeypatch.setattr(raster, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"a\.tif has 90 x 130 pixels; expected at most 1,000 in all"):
        open_regions(file, 3)


def test_a_file_that_is_cut_off_says_where(tmp_path, small_is_large):
    file = write(tmp_path / "a.tif", PIXELS[..., :3], photometric="RGB", compress="deflate", blockysize=8)
    file.write_bytes(file.read_bytes()[:-3000])
    regions = open_regions(file, 3)
    assert regions is not None
    with pytest.raises(OSError, match=r"a\.tif is damaged or cut off: rows 0 to 90 cannot be decoded"):
        np.asarray(regions)


@pytest.mark.parametrize("classes", [5, 300])
def test_labels_are_written_in_tiles_where_their_picture_lies(tmp_path, classes):
    source = write(tmp_path / "photo.tif", PIXELS[..., :3], photometric="RGB", **PLACE)
    labels = np.random.default_rng(1).integers(0, classes, (90, 130)).astype(np.int32)
    write_labels(tmp_path / "labels.tif", labels, palette_for(classes), "segformer-tf 1", source)
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert file.crs == rasterio.crs.CRS.from_epsg(32633) and file.transform == PLACE["transform"]
        assert file.profile["tiled"] and file.compression.name == "deflate"
        np.testing.assert_array_equal(file.read(1), labels)
        if classes <= 256:
            assert file.colormap(1)[3][:3] == tuple(palette_for(classes)[3].tolist())


def test_a_picture_that_lies_nowhere_gives_labels_that_lie_nowhere(tmp_path):
    labels = np.zeros((3, 4), np.int32)
    source = write(tmp_path / "photo.tif", PIXELS[..., :3], photometric="RGB")
    for of in (None, source, tmp_path / "missing.png"):
        write_labels(tmp_path / "labels.tif", labels, palette_for(2), "segformer-tf 1", of)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with rasterio.open(tmp_path / "labels.tif") as file:
                assert file.crs is None and file.transform.is_identity


def geotags(x, y, step):
    return [(33550, "d", 3, (step, step, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, x, y, 0.0), True)]


def test_labels_of_a_page_lie_where_that_page_lies(tmp_path):
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        file.write(PIXELS[::2, ::2, :3], photometric="rgb", subfiletype=1)
        file.write(PIXELS[..., :3], photometric="rgb", extratags=geotags(100.0, 200.0, 1.0))
        file.write(PIXELS[..., :3], photometric="rgb", extratags=geotags(5000.0, 6000.0, 2.0))
    for page, place in ((1, Affine(1, 0, 100, 0, -1, 200)), (2, Affine(2, 0, 5000, 0, -2, 6000))):
        labels = np.zeros((90, 130), np.int32)
        write_labels(tmp_path / "labels.tif", labels, palette_for(2), "me", tmp_path / "pages.tif", page)
        with rasterio.open(tmp_path / "labels.tif") as file:
            assert file.transform == place


def test_labels_of_a_turned_page_get_no_place_and_that_is_said(tmp_path):
    source, labels = tmp_path / "turned.tif", np.zeros((130, 90), np.int32)
    tags = [*geotags(100.0, 200.0, 1.0), (274, "H", 1, 6, True)]
    tifffile.imwrite(source, PIXELS[..., :3], photometric="rgb", extratags=tags)
    with pytest.warns(UserWarning, match="turned by its Orientation tag, so its labels get no georeference"):
        write_labels(tmp_path / "labels.tif", labels, palette_for(2), "me", source)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(tmp_path / "labels.tif") as file:
            assert file.transform.is_identity


def test_a_picture_behind_its_smaller_copy_is_decoded_whole(tmp_path, small_is_large):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(PIXELS[::2, ::2, :3], photometric="rgb", subfiletype=1)
        file.write(PIXELS[..., :3], photometric="rgb")
    assert open_regions(tmp_path / "a.tif", 3) is None
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "a.tif")), PIXELS[..., :3])


def test_a_page_that_is_flagged_as_a_copy_is_the_picture_where_it_is_alone(tmp_path, small_is_large):
    tifffile.imwrite(tmp_path / "copy.tif", PIXELS[..., :3], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(np.asarray(open_regions(tmp_path / "copy.tif", 3)), PIXELS[..., :3])


def test_a_reference_system_without_a_place_is_kept(tmp_path):
    source = write(tmp_path / "photo.tif", PIXELS[..., :3], photometric="RGB", crs="EPSG:32633")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        write_labels(tmp_path / "labels.tif", np.zeros((90, 130), np.int32), palette_for(2), "segformer-tf 1", source)
        with rasterio.open(tmp_path / "labels.tif") as file:
            assert file.crs == rasterio.crs.CRS.from_epsg(32633) and file.transform.is_identity


GREY, COLOURS = PIXELS[..., :1], PIXELS[..., :3]
STORED = {
    "grey": (GREY, {}),
    "1 bit": (GREY // 128, {"nbits": 1}),
    "2 bits": (GREY // 64, {"nbits": 2}),
    "4 bits": (GREY // 16, {"nbits": 4}),
    "white is zero": (GREY, {"photometric": "MINISWHITE"}),
    "grey and alpha": (PIXELS[..., :2], {"ALPHA": "YES"}),
    "colours": (COLOURS, {"photometric": "RGB"}),
    "bands": (COLOURS, {"photometric": "MINISBLACK"}),
    "alpha": (PIXELS, {"photometric": "RGB", "ALPHA": "YES"}),
    "multiplied alpha": (PIXELS, {"photometric": "RGB", "ALPHA": "PREMULTIPLIED"}),
    "inks": (PIXELS, {"photometric": "CMYK"}),
    "without data": (COLOURS, {"photometric": "RGB", "nodata": 7}),
    "JPEG": (COLOURS, {"photometric": "RGB", "compress": "jpeg"}),
    "other order": (COLOURS, {"photometric": "RGB", "endianness": "BIG", "bigtiff": "YES"}),
    "differences": (COLOURS, {"photometric": "RGB", "compress": "deflate", "predictor": 2}),
}
IN_WINDOWS = {
    "grey",
    "colours",
    "bands",
    "alpha",
    "without data",
    "JPEG",
    "other order",
    "differences",
}


@pytest.mark.parametrize(
    ("kind", "interleave"),
    [
        (kind, interleave)
        for kind, (_, how) in STORED.items()
        for interleave in ("pixel", "band")
        if interleave == "pixel" or how.get("nbits") not in (2, 4)  # planes that nothing here reads
    ],
)
def test_in_windows_a_file_has_the_pixels_that_it_has_whole(tmp_path, small_is_large, kind, interleave):
    values, how = STORED[kind]
    file = write(tmp_path / "a.tif", values, interleave=interleave, **how)
    regions = open_regions(file, 3)
    assert (regions is not None) == (kind in IN_WINDOWS)
    whole = to_pixels(file, 3, None, strict=True)
    if regions is not None:
        np.testing.assert_array_equal(np.asarray(regions), whole)
    if "nbits" in how:
        assert whole.max() == 255


def test_a_name_that_is_no_utf8_is_one_for_labels_too(tmp_path, small_is_large):
    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    source = write(tmp_path / "a.tif", COLOURS, **PLACE).rename(folder / os.fsdecode(b"\xe4.tif"))
    assert open_regions(source, 3) is None
    labels = np.random.default_rng(0).integers(0, 5, (90, 130), np.int32)
    target = folder / os.fsdecode(b"\xe4_labels.tif")
    write_labels(target, labels, palette_for(5), "me", source)
    assert not target.is_symlink()
    with rasterio.open(target.rename(tmp_path / "labels.tif")) as file:
        assert file.transform == PLACE["transform"]
        np.testing.assert_array_equal(file.read(1), labels)


def test_coefficients_of_a_satellites_picture_go_on_to_its_labels(tmp_path):
    line, sample = [0.0, 1.0] + [0.0] * 18, [0.0, 0.0, 1.0] + [0.0] * 17
    ones = [1.0] + [0.0] * 19
    place = {
        "height_off": 0.0,
        "height_scale": 1.0,
        "lat_off": 52.0,
        "lat_scale": 1.0,
        "long_off": 13.0,
        "long_scale": 1.0,
    }
    pixel = {"line_off": 45.0, "line_scale": 45.0, "samp_off": 65.0, "samp_scale": 65.0}
    terms = {"line_num_coeff": line, "line_den_coeff": ones, "samp_num_coeff": sample, "samp_den_coeff": ones}
    known = rasterio.rpc.RPC(**place, **pixel, **terms)
    source = write(tmp_path / "a.tif", COLOURS, rpcs=known)
    write_labels(tmp_path / "labels.tif", np.zeros((90, 130), np.int32), palette_for(2), "me", source)
    with rasterio.open(tmp_path / "labels.tif") as file:
        assert file.rpcs.to_gdal().items() >= known.to_gdal().items()
