"""What the tests of export and serving share: tiny models that answer by the picture, pictures, one exported directory."""

import atexit
import functools
import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForSemanticSegmentation
from segformer_tf.inference.export import export

SIZE = (64, 96)
SMALLEST = {
    "depths": [1, 1, 1, 1],
    "hidden_sizes": [8, 16, 20, 32],
    "decoder_hidden_size": 16,
    "id2label": {0: "road", 1: "sky", 2: "tree", 3: "car", 4: "person"},
}


def random_model(cls=TFSegformerForSemanticSegmentation, data_format="channels_last", dtype=None, **config):
    """A model whose answer depends on the picture."""
    model = cls(SegformerConfig(**{**SMALLEST, **config}), data_format=data_format, dtype=dtype)
    random = np.random.default_rng(1)
    model.set_weights([random.normal(0, 0.3, value.shape) ** 2 for value in model.get_weights()])
    head = [layer for layer in model.layers if layer.name in ("decode_head", "classifier")][0]
    kernel, bias = head.get_weights()[-2:] if len(head.get_weights()) < 4 else (None, None)
    if kernel is not None:
        head.set_weights([random.normal(0, 1, kernel.shape), 0 * bias])
    else:
        classifier = head.classifier
        classifier.kernel.assign(random.normal(0, 1, classifier.kernel.shape))
    return model


@functools.cache
def model():
    return random_model()


def processor(**settings):
    return SegformerImageProcessor(**{"size": SIZE, **settings})


@functools.cache
def exported() -> Path:
    """`.../street` with version 1."""
    parent = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    export(model(), parent / "street", processor=processor())
    return parent / "street"


@functools.cache
def loaded():
    """The signatures of version 1, read back."""
    loaded.kept = tf.saved_model.load(str(exported() / "1"))  # the functions do not keep their variables alive
    return loaded.kept.signatures


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Smooth patches of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def ten_files() -> list[bytes]:
    """Ten pictures of different sizes, JPEG and PNG, RGB and grey."""
    sizes = [(40, 60), (64, 96), (31, 47), (90, 33), (120, 160), (64, 64), (35, 101), (77, 50), (128, 96), (50, 210)]
    files = []
    for i, (height, width) in enumerate(sizes):
        image = picture(height, width, seed=i)
        image = image.convert("L") if i in (4, 5) else image
        files.append(encoded(image, "JPEG", quality=80) if i % 2 else encoded(image, "PNG"))
    return files
