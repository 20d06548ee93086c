"""A tiny model in a directory, and pictures with one that is broken."""

import numpy as np
import pytest
from PIL import Image
from reference import TINY


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The directory of a tiny segmentation model whose labels are not all the same."""
    import keras

    from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation

    keras.utils.set_random_seed(3)
    model = TFSegformerForSemanticSegmentation(SegformerConfig(**TINY), data_format="channels_last")
    model.set_weights([value * 4 if value.ndim > 1 else value for value in model.get_weights()])
    directory = tmp_path_factory.mktemp("model")
    model.save_pretrained(directory)
    SegformerImageProcessor(size={"height": 64, "width": 96}).save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Eleven pictures in a directory and its folder, the fourth of which is broken; one lies on its side (EXIF)."""
    directory = tmp_path_factory.mktemp("photos")
    (directory / "more").mkdir()
    random = np.random.default_rng(0)
    for number in range(11):
        coarse = random.integers(0, 255, (6, 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((90 + number, 60), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 2 else 1
        picture.save(directory / ("more" if number > 8 else "") / f"p{number:02}.jpg", exif=exif)
    (directory / "p03.jpg").write_bytes(b"no picture")
    (directory / ".hidden.jpg").write_bytes(b"")
    (directory / "notes.md").write_text("no picture")
    return directory
