"""What the loaders share: a picture -> `pixel_values`, logits -> a PNG of class ids, by what a file says of itself."""

import json

import numpy as np
from PIL import Image, ImageOps


def settings(text: str | None, model: str) -> dict:
    """The processor's settings in the description that `segformer-tf export` puts into a file, and the file's `size`.

    SystemExit for what these loaders do not do; `SegmentationPipeline.from_pretrained(model)` does.
    """
    if not text:
        raise SystemExit(f"{model} does not say which SegFormer it is: write it with segformer-tf export.")
    about = json.loads(text)
    processor = about["processor"] or {}
    for name, found, known in (
        ("class", about["class"], "TFSegformerForSemanticSegmentation"),
        ("data_format", about["data_format"], "channels_last"),
        ("num_channels", about["config"].get("num_channels", 3), 3),
        ("do_resize", processor.get("do_resize"), True),
        ("the size's sides", sorted(processor.get("size", {})), ["height", "width"]),
        ("value_range", processor.get("value_range"), None),
    ):
        if found != known:
            raise SystemExit(f"{model}: {name} is {found!r}, expected {known!r}: use segformer_tf's own pipeline.")
    return {**processor, "size": about["size"] or [processor["size"]["height"], processor["size"]["width"]]}


def opened(picture: str, settings: dict) -> Image.Image:
    """RGB, upright as viewers show it unless `do_exif_transpose` is false; SystemExit for more than 8 bits a value."""
    with Image.open(picture) as image:
        if image.mode[0] in "IF":
            raise SystemExit(f"{picture} is a picture of mode {image.mode}, expected 8 bits a value: convert it.")
        upright = image if settings.get("do_exif_transpose") is False else ImageOps.exif_transpose(image)
        return upright.convert("RGB")


def pixel_values(image: Image.Image, settings: dict) -> np.ndarray:
    """float32 (1, H, W, 3), H and W the model's."""
    height, width = settings["size"]
    pixels = np.asarray(image.resize((width, height), Image.Resampling(settings["resample"])), "float32")[np.newaxis]
    if settings["do_rescale"]:
        pixels = pixels * np.float32(settings["rescale_factor"])
    if settings["do_normalize"]:
        pixels = (pixels - np.float32(settings["image_mean"])) / np.float32(settings["image_std"])
    return pixels


def save(logits: np.ndarray, image: Image.Image, output: str) -> None:
    """(1, H / 4, W / 4, classes) -> a PNG of class ids at the picture's size, of 16 bits where there are over 256."""
    classes = logits.shape[-1]
    labels = logits[0].argmax(-1) if classes > 1 else logits[0, ..., 0] > 0  # one logit tells two classes apart
    labels = Image.fromarray(labels.astype("uint8" if classes <= 256 else "uint16"))
    labels.resize(image.size, Image.Resampling.NEAREST).save(output)
