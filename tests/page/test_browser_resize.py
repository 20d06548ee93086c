"""`resize` of `examples/browser/segformer.js`, run by Node where it is installed: Pillow's values, of every Pillow."""

import importlib
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image
from reference import ROOT

images = importlib.import_module("segformer_tf.images.resize")  # the function of the room has the same name
NODE = shutil.which("node")
SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import { resize } from "./segformer.js";
const [source, target, ...numbers] = process.argv.slice(1);
const [width, height, newWidth, newHeight, ...pillow] = numbers.map(Number);
writeFileSync(target, resize(new Uint8ClampedArray(readFileSync(source)), width, height, newWidth, newHeight, pillow));
"""
SIZES = [(53, 71), (71, 53), (96, 30), (40, 160), (450, 4)]  # (height, width): landscape, portrait, a strip on end

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def resized(pixels, size, pillow, folder):
    """(H, W, 4) bytes -> (h, w, 3) as the page resizes them to `size` (h, w)."""
    source, target = folder / "source.raw", folder / "target.raw"
    pixels.tofile(source)
    numbers = (*pixels.shape[1::-1], *size[::-1], *pillow)
    command = [NODE, "--input-type=module", "--eval", SCRIPT, source, target, *map(str, numbers)]
    subprocess.run(command, cwd=ROOT / "examples" / "browser", check=True)
    return np.fromfile(target, np.uint8).reshape(*size, 4)[..., :3]


def picture(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    pixels[..., 3] = 255
    return pixels


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("new", [(17, 31), (31, 17), (120, 90), (53, 20)])
def test_it_is_what_the_installed_pillow_gives(tmp_path, size, new):
    pixels = picture(*size)
    expected = Image.fromarray(pixels[..., :3]).resize(new[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resized(pixels, new, images.PILLOW_VERSION, tmp_path), expected)


@pytest.mark.parametrize("version", [(11, 3), (12, 1), (12, 2), (13, 0), (14, 1)])
@pytest.mark.parametrize("size", SIZES)
def test_it_takes_the_sides_in_the_order_of_the_pillow_that_is_named(tmp_path, monkeypatch, version, size):
    monkeypatch.setattr(images, "PILLOW_VERSION", version)
    pixels = picture(*size)
    expected = images.resize(pixels[..., :3], (17, 31))
    np.testing.assert_array_equal(resized(pixels, (17, 31), version, tmp_path), expected)
