"""Small data sets in the layouts of people and tools: each builder writes one into a directory."""

import base64
import io
import json

import numpy as np
from PIL import Image

H, W = 40, 60
HALF = np.zeros((H, W), np.uint8)
HALF[:, 30:] = 1  # left 0, right 1
COLOURS = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
TURNED = Image.Exif()
TURNED[274] = 6


def save(root, path, values, **how):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    picture = values if isinstance(values, Image.Image) else Image.fromarray(np.asarray(values))
    picture.save(file, **how)


def photo(number=0, size=(H, W)):
    return np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)


def write(root, path, content):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")


def folders(root, mask=HALF, masks="annotations", suffix="jpg", mask_name="{}.png", splits=("train", "val"), **how):
    """Two pictures a split, all with one mask."""
    for number, split in enumerate(splits):
        for i in range(2):
            save(root, f"images/{split}/p{i}.{suffix}", photo(10 * number + i))
            save(root, f"{masks}/{split}/{mask_name.format(f'p{i}')}", mask, **how)


def flat(root, images="images/{}.jpg", masks="masks/{}.png", count=10):
    for i in range(count):
        save(root, images.format(f"p{i}"), photo(i))
        save(root, masks.format(f"p{i}"), HALF)


def palette(mask, colours):
    picture = Image.fromarray(mask)
    picture.putpalette(np.asarray(colours, np.uint8).tobytes().ljust(768, b"\0"))
    return picture


def binary(value=255):
    return HALF * np.uint8(value)


def voc(root, mask, lists=True):
    for i in range(6):
        save(root, f"JPEGImages/p{i}.jpg", photo(i))
        save(root, f"SegmentationClass/p{i}.png", mask)
    if lists:
        write(root, "ImageSets/Segmentation/train.txt", "p0\np1\np2\np3\n")
        write(root, "ImageSets/Segmentation/val.txt", "p4\np5\n")


RIGHT = [30, 0, 60, 0, 60, 40, 30, 40]  # the right half as a polygon


def coco(
    root,
    segmentation=None,
    name="annotations/instances_{}.json",
    size=(H, W),
    images="images/{}/{}",
    categories=({"id": 7, "name": "leaf"},),
):
    for split in ("train", "val"):
        rows, annotations = [], []
        for i in range(2):
            save(root, images.format(split, f"p{i}.jpg"), photo(i + 10 * (split == "val")))
            rows.append({"id": i, "file_name": f"p{i}.jpg", "height": size[0], "width": size[1]})
            annotations.append({"id": i, "image_id": i, "category_id": 7, "segmentation": segmentation or [RIGHT]})
        content = {"images": rows, "annotations": annotations, "categories": categories}
        write(root, name.format(split), content)


def yolo(
    root, line="0 0.5 0 1 0 1 1 0.5 1", names="names: [leaf]", images="images/{}/p{}.jpg", labels="labels/{}/p{}.txt"
):
    for split in ("train", "val"):
        for i in range(2):
            save(root, images.format(split, i), photo(i + 10 * (split == "val")))
            write(root, labels.format(split, i), line + "\n")
    write(root, "data.yaml", f"train: images/train\nval: images/val\n{names}\nnc: 1\n")


def labelme(root, shape=None, count=10, **more):
    shape = shape or {"label": "leaf", "shape_type": "polygon", "points": np.reshape(RIGHT, (4, 2)).tolist()}
    for i in range(count):
        save(root, f"p{i}.jpg", photo(i))
        write(
            root, f"p{i}.json", {"shapes": [shape], "imageHeight": H, "imageWidth": W, "imagePath": f"p{i}.jpg", **more}
        )


def png64(values):
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "png")
    return base64.b64encode(stream.getvalue()).decode()


def also(*steps):
    def build(root):
        for step in steps:
            step(root)

    return build


def f(**how):
    return lambda root: folders(root, **how)


def put(path, values, **how):
    return lambda root: save(root, path, values, **how)


def text(path, content):
    return lambda root: write(root, path, content)


def remove(path):
    return lambda root: (root / path).unlink()
