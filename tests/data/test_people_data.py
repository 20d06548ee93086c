"""People's data as it really comes: the right values, or the right error or warning before the first step."""

import re
from functools import partial

import numpy as np
import pytest
from people_data import (
    COLOURS,
    HALF,
    TURNED,
    H,
    W,
    also,
    binary,
    coco,
    f,
    flat,
    folders,
    labelme,
    palette,
    photo,
    png64,
    put,
    remove,
    save,
    text,
    voc,
    yolo,
)
from PIL import Image

from segformer_tf import SegformerConfig
from segformer_tf.data import inspect
from segformer_tf.data.pictures import ids_of

# name: (how it is built, arguments of `inspect`, names of the classes); every mask is HALF
RIGHT_VALUES = {
    "folders": (f(), {}, ["class 0", "class 1"]),
    "masks_folder": (f(masks="masks"), {}, ["class 0", "class 1"]),
    "labels_folder": (f(masks="labels"), {}, ["class 0", "class 1"]),
    "name_mask": (f(masks="masks", mask_name="{}_mask.png"), {}, ["class 0", "class 1"]),
    "tif_pictures": (f(suffix="tif"), {}, ["class 0", "class 1"]),
    "bmp_pictures": (f(suffix="bmp"), {}, ["class 0", "class 1"]),
    "webp_pictures": (f(suffix="webp"), {}, ["class 0", "class 1"]),
    "upper_case_suffix": (f(suffix="JPG"), {}, ["class 0", "class 1"]),
    "tif_masks": (f(mask_name="{}.tif"), {}, ["class 0", "class 1"]),
    "gif_masks": (f(mask_name="{}.gif"), {}, ["class 0", "class 1"]),
    "pgm_masks": (f(mask_name="{}.pgm"), {}, ["class 0", "class 1"]),
    "png_named_jpg_as_mask": (f(mask_name="{}.jpg", format="png"), {}, ["class 0", "class 1"]),
    "sixteen_bit_masks": (f(mask=HALF.astype(np.uint16)), {}, ["class 0", "class 1"]),
    "one_bit_masks": (f(mask=HALF > 0), {}, ["class 0", "class 1"]),
    "palette_masks": (f(mask=palette(HALF, COLOURS)), {}, ["class 0", "class 1"]),
    "grey_in_rgb": (f(mask=np.repeat(HALF[..., None], 3, 2)), {}, ["class 0", "class 1"]),
    "grey_with_alpha": (f(mask=Image.fromarray(HALF).convert("LA")), {}, ["class 0", "class 1"]),
    "binary_255": (f(mask=binary()), {"binary": True}, ["background", "foreground"]),
    "binary_1": (f(mask=HALF), {"binary": True}, ["background", "foreground"]),
    "binary_1_bit": (f(mask=HALF > 0), {"binary": True}, ["background", "foreground"]),
    "binary_38": (f(mask=binary(38)), {"binary": True}, ["background", "foreground"]),
    "binary_rgb": (f(mask=np.repeat(binary()[..., None], 3, 2)), {"binary": True}, ["background", "foreground"]),
    "binary_named": (also(f(mask=binary()), text("classes.json", ["leaf"])), {"binary": True}, ["background", "leaf"]),
    "names_as_list": (also(f(), text("classes.json", ["a", "b"])), {}, ["a", "b"]),
    "names_as_dict": (also(f(), text("classes.json", {"1": "b", "0": "a"})), {}, ["a", "b"]),
    "names_as_ids": (also(f(), text("classes.json", {"b": 1, "a": 0})), {}, ["a", "b"]),
    "colours_by_classes_json": (
        also(
            f(mask=COLOURS[HALF]),
            text("classes.json", [{"id": i, "name": n, "color": COLOURS[i].tolist()} for i, n in enumerate("ab")]),
        ),
        {},
        ["a", "b"],
    ),
    "colours_by_labelmap": (
        also(f(mask=COLOURS[HALF]), text("labelmap.txt", "# label:color_rgb\na:10,20,30::\nb:200,100,50::\n")),
        {},
        ["a", "b"],
    ),
    "palette_in_another_order": (
        also(f(mask=palette(1 - HALF, COLOURS[::-1])), text("labelmap.txt", "a:10,20,30::\nb:200,100,50::\n")),
        {},
        ["a", "b"],
    ),
    "nested": (
        also(
            *(put(f"images/{s}/x/p.jpg", photo(i)) for i, s in enumerate(("train", "val"))),
            *(put(f"masks/{s}/x/p.png", HALF) for s in ("train", "val")),
        ),
        {},
        ["class 0", "class 1"],
    ),
    "split_folders_outside": (
        also(
            *(put(f"{s}/images/p.jpg", photo(i)) for i, s in enumerate(("train", "valid"))),
            *(put(f"{s}/masks/p.png", HALF) for s in ("train", "valid")),
        ),
        {},
        ["class 0", "class 1"],
    ),
    "split_folders_in_capitals": (
        also(
            *(
                put(f"{kind}/Train/p.{end}", what)
                for kind, end, what in (("images", "jpg", photo()), ("masks", "png", HALF))
            ),
            *(
                put(f"{kind}/VAL/p.{end}", what)
                for kind, end, what in (("images", "jpg", photo(1)), ("masks", "png", HALF))
            ),
        ),
        {},
        ["class 0", "class 1"],
    ),
    "coco_in_capitals": (
        lambda r: (coco(r, images="{}/{}"), [(r / name).rename(r / name.capitalize()) for name in ("train", "val")]),
        {},
        ["background", "leaf"],
    ),
    "no_split_folders": (flat, {}, ["class 0", "class 1"]),
    "side_by_side": (lambda r: flat(r, "{}.jpg", "{}_mask.png"), {}, ["class 0", "class 1"]),
    "side_by_side_by_scene": (lambda r: flat(r, "a/{}.jpg", "a/{}_mask.png"), {}, ["class 0", "class 1"]),
    "endings_in_capitals": (lambda r: flat(r, "{}.JPG", "{}_Mask.PNG"), {}, ["class 0", "class 1"]),
    "gt": (lambda r: flat(r, "{}.jpg", "{}_GT.png"), {}, ["class 0", "class 1"]),
    "folders_in_capitals": (lambda r: flat(r, "Images/{}.JPG", "MASKS/{}.png"), {}, ["class 0", "class 1"]),
    "masks_named_as_files": (lambda r: flat(r, masks="masks/{}.jpg.png"), {}, ["class 0", "class 1"]),
    "accents_in_two_forms": (
        lambda r: flat(r, "images/e\u0301{}.jpg", "masks/\u00e9{}.png"),
        {},
        ["class 0", "class 1"],
    ),
    "hidden_files": (
        also(f(), text("images/train/._p0.jpg", "x"), text("annotations/train/.DS_Store", "x")),
        {},
        ["class 0", "class 1"],
    ),
    "voc": (lambda r: voc(r, palette(HALF, [[0, 0, 0], [128, 0, 0]])), {}, None),
    "voc_lists_with_suffixes_and_flags": (
        also(
            lambda r: voc(r, palette(HALF, [[0, 0, 0], [128, 0, 0]])),
            text("ImageSets/Segmentation/train.txt", "p0.jpg\np1\t1\np2 -1\n p3.JPG 0\r\n"),
        ),
        {},
        None,
    ),
    "cvat": (
        also(
            lambda r: voc(r, COLOURS[HALF], False), text("labelmap.txt", "background:10,20,30::\nleaf:200,100,50::\n")
        ),
        {},
        ["background", "leaf"],
    ),
    "roboflow": (
        also(
            *(put(f"{s}/p_jpg.rf.1.jpg", photo(i)) for i, s in enumerate(("train", "valid"))),
            *(put(f"{s}/p_jpg.rf.1_mask.png", HALF) for s in ("train", "valid")),
            *(text(f"{s}/_classes.csv", "Pixel Value, Class\n0, background\n1, leaf\n") for s in ("train", "valid")),
        ),
        {},
        ["background", "leaf"],
    ),
    "coco_polygons": (coco, {}, ["background", "leaf"]),
    "coco_two_polygons": (
        lambda r: coco(r, [[30, 0, 40, 0, 40, 40, 30, 40], [40, 0, 60, 0, 60, 40, 40, 40]]),
        {},
        ["background", "leaf"],
    ),
    "coco_rle": (
        lambda r: coco(r, {"size": [H, W], "counts": [30 * H, 30 * H]}),
        {},
        ["background", "leaf"],
    ),
    "coco_roboflow": (
        lambda r: coco(r, name="{}/_annotations.coco.json", images="{}/{}"),
        {},
        ["background", "leaf"],
    ),
    "yolo": (yolo, {}, ["background", "leaf"]),
    "yolo_two_lines": (
        lambda r: yolo(r, "0 0.5 0 0.7 0 0.7 1 0.5 1\n0 0.7 0 1 0 1 1 0.7 1"),
        {},
        ["background", "leaf"],
    ),
    "yolo_names_in_lines": (lambda r: yolo(r, names="names:\n  0: leaf"), {}, ["background", "leaf"]),
    "yolo_split_outside": (
        lambda r: yolo(r, images="{}/images/p{}.jpg", labels="{}/labels/p{}.txt", names="names:\n- 'leaf'"),
        {},
        ["background", "leaf"],
    ),
    "labelme": (labelme, {}, ["background", "leaf"]),
    "labelme_rectangle": (
        lambda r: labelme(r, {"label": "leaf", "shape_type": "rectangle", "points": [[60, 40], [30, 0]]}),
        {},
        ["background", "leaf"],
    ),
    "labelme_mask": (
        lambda r: labelme(
            r, {"label": "leaf", "shape_type": "mask", "points": [[30, 0], [59, 39]], "mask": png64(HALF[:, 30:] > 0)}
        ),
        {},
        ["background", "leaf"],
    ),
}


@pytest.mark.parametrize("case", RIGHT_VALUES)
def test_it_is_read_right(tmp_path, case):
    build, arguments, names = RIGHT_VALUES[case]
    build(tmp_path)
    found = inspect(tmp_path, **arguments)
    assert not found.errors
    assert set(found.splits) == {"train", "val"} and all(map(len, found.splits.values()))
    for split in found.splits.values():
        for number in range(len(split)):
            np.testing.assert_array_equal(ids_of(split, number), HALF)
    if names is not None:
        assert list(found.id2label.values()) == names
    assert found.counts("train")[:2] == [H * W // 2 * len(found.splits["train"])] * 2


def gone_link(root):
    folders(root)
    (root / "images/train/p9.jpg").symlink_to(root / "nowhere.jpg")


def stray(root):
    mask = HALF.copy()
    mask[0, 0] = 9
    folders(root)
    save(root, "annotations/train/p1.png", mask)


def paged(root, suffix="tif"):
    folders(root)
    (root / "images/train/p0.jpg").unlink()
    pages = [Image.fromarray(photo(i)) for i in range(3)]
    pages[0].save(root / f"images/train/p0.{suffix}", save_all=True, append_images=pages[1:])


def truncated(root):
    folders(root)
    file = root / "images/train/p0.jpg"
    file.write_bytes(file.read_bytes()[:-300])


def smooth(root, values):
    for i, split in enumerate(("train", "val")):
        save(root, f"images/{split}/p.jpg", photo(i, (40, 240)))
        save(root, f"masks/{split}/p.png", np.arange(240, dtype=np.uint8)[None].repeat(40, 0) % values)


TWO = SegformerConfig(num_labels=2, id2label={0: "sea", 1: "land"})

# name: (how it is built, arguments of `inspect`, what one of the errors says)
WRONG = {
    "binary_unsaid": (f(mask=binary()), {}, r"values 0 \(4,800 pixels\), 255 \(4,800 pixels\); .* say --binary"),
    "binary_unsaid_with_a_model": (f(mask=binary()), {"config": TWO}, "one class is left: .* say --binary"),
    "three_greys": (
        f(mask=np.array([[0, 127, 255]] * H, np.uint8)[:, [0, 1, 2] * 20]),
        {},
        "0 .*, 127 .* makes 128 classes",
    ),
    "one_stray_pixel": (
        stray,
        {},
        r"2 to 8 have no pixel, so ids are far apart \(.*p1\.png has the class id 9 \(1 pixel\)",
    ),
    "one_class": (f(mask=HALF * 0), {}, "expected at least two classes"),
    "smooth_edges": (
        partial(smooth, values=101),
        {},
        "101 different values and nobody names",
    ),
    "class_beyond_the_names": (
        also(stray, text("classes.json", ["a", "b"])),
        {},
        r"p1\.png has the class id 9 \(1 pixel\), expected 0 to 1 or 255",
    ),
    "binary_of_three": (
        f(mask=np.array([[0, 1, 2]] * H, np.uint8)[:, [0, 1, 2] * 20]),
        {"binary": True},
        "expected 0 and one other value",
    ),
    "binary_of_two_kinds": (
        also(f(), put("annotations/train/p1.png", binary())),
        {"binary": True},
        "has 0 and 255, but .* has 0 and 1",
    ),
    "binary_with_three_names": (
        also(f(), text("classes.json", ["a", "b", "c"])),
        {"binary": True},
        "names 3 classes .* expected one or two",
    ),
    "val_unlabelled": (
        also(f(), *(put(f"annotations/val/p{i}.png", HALF * 0 + 255) for i in (0, 1))),
        {},
        "no pixel of the split 'val' is labelled",
    ),
    "two_of_one_stem": (also(f(), put("images/train/p0.png", photo())), {}, r"p0\.jpg and .*p0\.png have one name"),
    "two_masks_of_one_stem": (
        also(f(), put("annotations/train/p0.tif", HALF)),
        {},
        r"p0\.png and .*p0\.tif have one name",
    ),
    "no_mask": (
        also(f(), remove("annotations/train/p0.png")),
        {},
        r"p0\.jpg: no mask of that name, looked for .*annotations/train/p0\.png",
    ),
    "voc_list_of_a_picture_that_is_gone": (
        also(
            lambda r: voc(r, palette(HALF, [[0, 0, 0], [128, 0, 0]])),
            text("ImageSets/Segmentation/train.txt", "p0\np1\nq7.jpg 1\n"),
        ),
        {},
        r"train\.txt lists q7\.jpg 1, of which .* has no picture",
    ),
    "no_picture": (also(f(), remove("images/val/p1.jpg")), {}, r"p1\.png: no picture of that name"),
    "broken_link": (gone_link, {}, r"p9\.jpg is a link to .*nowhere\.jpg, which does not exist"),
    "cut_off_picture": (truncated, {}, r"p0\.jpg is damaged or cut off"),
    "several_pages": (paged, {}, r"p0\.tif has 3 pages, expected one picture"),
    "empty_mask_file": (also(f(), text("annotations/train/p0.png", "")), {}, r"p0\.png is empty"),
    "jpeg_mask": (f(mask_name="{}.jpg"), {}, r"p0\.jpg is a JPEG, whose compression changes class ids"),
    "jpeg_named_png_as_mask": (f(format="jpeg"), {}, r"p0\.png is a JPEG"),
    "lossy_webp_mask": (f(mask_name="{}.webp"), {}, r"p0\.webp is a lossy WebP"),
    "mask_of_another_size": (
        also(f(), put("annotations/train/p0.png", HALF[:, :50])),
        {},
        r"p0\.png is 40 x 50 pixels, expected 40 x 60 as its picture p0\.jpg",
    ),
    "turned_picture_unturned_mask": (
        also(f(), put("images/train/p0.jpg", photo(), exif=TURNED)),
        {},
        r"p0\.png is 40 x 60 pixels, expected 60 x 40 .*which its EXIF tag turns; turn the masks in the same way",
    ),
    "colours_without_a_table": (
        f(mask=COLOURS[HALF]),
        {},
        r"is in colours \(\(10, 20, 30\) .* which colour is which class",
    ),
    "a_colour_that_no_class_has": (
        also(f(mask=COLOURS[HALF]), text("labelmap.txt", "a:10,20,30::\nb:1,2,3::\n")),
        {},
        "1,200 pixels in colours that no class has",
    ),
    "mask_in_the_alpha_channel": (
        f(mask=np.dstack([np.full((H, W), 255, np.uint8), binary()])),
        {},
        "one grey value and several of alpha",
    ),
    "fractions": (f(mask=HALF.astype(np.float32) / 2, mask_name="{}.tif"), {}, "values that are not whole numbers"),
    "classes_of_another_model": (
        also(f(), text("classes.json", ["a", "b"])),
        {"config": TWO},
        "are not those of the model .*sea, land",
    ),
    "more_classes_than_the_model": (
        also(f(), text("classes.json", ["a", "b", "c"])),
        {"config": TWO},
        "3 classes .* but the model 2",
    ),
    "ids_of_classes_json": (
        also(f(), text("classes.json", [{"id": 1, "name": "a"}])),
        {},
        r"has ids \[1\], expected 0",
    ),
    "one_colour_twice": (also(f(), text("labelmap.txt", "a:1,2,3::\nb:1,2,3::\n")), {}, "gives 'a' and 'b' one colour"),
    "no_val": (
        f(splits=("train",)),
        {"splits": ("train", "val")},
        "images/val is not a directory, expected files of the split 'val'",
    ),
    "masks_of_val_alone": (
        also(f(), remove("images/val/p0.jpg"), remove("images/val/p1.jpg"), lambda r: (r / "images/val").rmdir()),
        {},
        "images/val is not a directory, expected files of the split 'val'",
    ),
    "masks_of_val_alone_outside": (
        also(
            put("train/images/p.jpg", photo()),
            put("train/masks/p.png", HALF),
            put("val/masks/p.png", HALF),
        ),
        {},
        "val has no folder images, expected pictures and masks of the split 'val'",
    ),
    "no_val_outside": (
        also(put("train/images/p.jpg", photo()), put("train/masks/p.png", HALF)),
        {"splits": ("train", "val")},
        "val has no folder images, expected pictures and masks .* has the splits train: add it",
    ),
    "yolo_labels_of_val_alone": (
        also(yolo, lambda r: (r / "images/val").rename(r / "elsewhere")),
        {},
        "images/val is not a directory",
    ),
    "one_picture_in_all": (lambda r: flat(r, count=1), {}, "expected at least two, one to validate on"),
    "reduced_ade20k": (
        also(
            *(put(f"images/{s}/ADE_{s}_1.jpg", photo(i)) for i, s in enumerate(("training", "validation"))),
            *(put(f"annotations/{s}/ADE_{s}_1.png", binary()) for s in ("training", "validation")),
        ),
        {},
        "seem to be reduced already",
    ),
    "yolo_boxes": (lambda r: yolo(r, "0 0.5 0.5 0.2 0.2"), {}, r"line 1 is a box \(5 values\)"),
    "yolo_pixels": (lambda r: yolo(r, "0 10 10 50 10 50 40"), {}, "reaches from 10 to 50, expected 0 to 1"),
    "yolo_class": (lambda r: yolo(r, "3 0 0 1 0 1 1"), {}, "has the class 3, expected 0 to 0"),
    "coco_size": (lambda r: coco(r, size=(W, H)), {}, "for a picture of 60 x 40 pixels, but its picture is 40 x 60"),
    "coco_without_pictures": (also(coco, remove("images/train/p0.jpg")), {}, r"instances_train\.json lists p0\.jpg"),
    "coco_rle_too_short": (
        lambda r: coco(r, {"size": [H, W], "counts": [5]}),
        {},
        "run lengths cover 5 pixels, expected 2400",
    ),
    "roboflow_lists_that_differ": (
        also(
            *(put(f"{s}/p_jpg.rf.1.jpg", photo(i)) for i, s in enumerate(("train", "valid"))),
            *(put(f"{s}/p_jpg.rf.1_mask.png", HALF) for s in ("train", "valid")),
            text("train/_classes.csv", "Pixel Value, Class\n0, sea\n1, cat\n2, dog\n"),
            text("valid/_classes.csv", "Pixel Value, Class\n0, sea\n1, dog\n"),
        ),
        {},
        "the class 'dog' has the id 1 in the split 'val', but it is 2 in the split 'train', where 1 is 'cat'",
    ),
    "coco_one_name_twice": (
        lambda r: coco(r, categories=({"id": 7, "name": "leaf"}, {"id": 8, "name": "leaf"})),
        {},
        "instances_train.json has two categories 'leaf'",
    ),
    "labelme_bare_picture": (also(labelme, remove("p0.json")), {}, r"p0\.jpg: no annotation"),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_refused_before_the_first_step(tmp_path, case):
    build, arguments, message = WRONG[case]
    build(tmp_path)
    found = inspect(tmp_path, **arguments)
    with pytest.raises(ValueError, match=message):
        found.check(arguments.get("config"))


def test_a_hundred_classes_need_no_names(tmp_path):
    smooth(tmp_path, 100)
    assert len(inspect(tmp_path).check().classes) == 100


def test_the_share_of_a_class_is_of_all_that_is_labelled(tmp_path):
    mask = HALF.copy()
    mask[:10], mask[30:] = 255, 0
    folders(tmp_path, mask=mask)
    put("annotations/val/p0.png", HALF)(tmp_path)
    labelled, ones = 3 * 30 * W + H * W, 3 * 20 * W // 2 + H * W // 2
    assert [row["share"] for row in inspect(tmp_path).check().classes] == pytest.approx(
        [1 - ones / labelled, ones / labelled]
    )


def deep(root, factor=16):
    folders(root)
    for split in ("train", "val"):
        for i in range(2):
            (root / f"images/{split}/p{i}.jpg").unlink()
            save(root, f"images/{split}/p{i}.tif", photo(i)[..., 0].astype(np.uint16) * factor)


def small(root):
    folders(root)
    save(root, "images/val/s.png", photo(5, (20, 60)))
    save(root, "annotations/val/s.png", HALF[:20])


# name: (how it is built, what a warning or note says)
SAID = {
    "twelve_bits": (deep, r"16-bit files whose highest value is \d{4}, .* give value_range \(0, 4095\)"),
    "ten_bits": (partial(deep, factor=4), r"highest value is \d{3,4}, .* give value_range \(0, 1023\)"),
    "several_frames": (partial(paged, suffix="webp"), r"p0\.webp: several pages or frames, of which the first is read"),
    "small_pictures": (small, r"s\.png: under 32 pixels high or wide, so padded"),
    "class_without_a_training_pixel": (
        also(f(), text("classes.json", ["a", "b", "c"])),
        "1 of 3 classes have no pixel to train on: c",
    ),
    "rare_class": (
        lambda r: (stray(r), text("classes.json", [*"abcdefghij"])(r)),
        r"1 of 10 classes have under 0\.1% of the training pixels: j \(1 pixels\)",
    ),
    "class_only_in_val": (
        also(f(), text("classes.json", ["a", "b", "c"]), put("annotations/val/p0.png", HALF * 2)),
        r"c \(only in val\)",
    ),
    "class_only_in_train": (
        also(f(), text("classes.json", ["a", "b", "c"]), put("annotations/train/p0.png", HALF * 2)),
        "1 of 3 classes have no pixel in the split 'val', so that they are not scored there: c",
    ),
    "no_val": (f(splits=("train",)), "the data set has no split 'val', which training needs"),
    "copies": (also(f(), put("images/val/p0.jpg", photo(0))), "1 picture is in more than one split"),
    "an_unlabelled_mask": (
        also(f(), put("annotations/train/p0.png", HALF * 0 + 255)),
        r"p0\.png: no pixel is labelled",
    ),
    "mostly_unlabelled": (
        f(mask=np.where(np.arange(W) % 10 < 8, 255, HALF).astype(np.uint8)),
        "80% of the pixels of the split 'train'",
    ),
    "other_files": (
        also(f(), text("images/train/notes.pdf", "x"), text("images/train/a.txt", "x")),
        r"1 of \.pdf, 1 of \.txt",
    ),
    "drawn_split": (flat, "no split folders: 8 of 10 pictures are in 'train', drawn by seed 0"),
    "turned": (also(f(), put("images/train/p0.jpg", photo(0, (W, H)), exif=TURNED)), "turned as the EXIF tag says"),
    "labelme_lines": (
        lambda r: (
            labelme(r),
            labelme(r, {"label": "leaf", "shape_type": "line", "points": [[0, 0], [1, 1]]}, count=1),
        ),
        "1 points or lines have no area",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_it_is_said_and_does_not_stop(tmp_path, case):
    build, message = SAID[case]
    build(tmp_path)
    found = inspect(tmp_path).check()
    assert any(re.search(message, sentence) for sentence in (*found.warnings, *found.notes)), found.to_dict()


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    folders(tmp_path, mask=binary())
    truncated(tmp_path)
    save(tmp_path, "images/val/lonely.jpg", photo())
    assert len(inspect(tmp_path).errors) >= 2


def test_faults_of_one_kind_in_many_files_are_one_sentence(tmp_path):
    folders(tmp_path)
    for i in range(2, 8):
        save(tmp_path, f"images/train/p{i}.jpg", photo(20 + i))
        save(tmp_path, f"annotations/train/p{i}.png", HALF[: 20 + i])
    (told,) = inspect(tmp_path).errors
    assert re.search(
        r"p2\.png is 22 x 60 pixels, expected 40 x 60 .*: resize one of them "
        r"\(5 more are like it: .*p3\.png, .*p4\.png, .*p5\.png and 2 more\)\.$",
        told,
    )


def test_a_few_faults_of_one_kind_are_a_sentence_each(tmp_path):
    folders(tmp_path, mask=HALF[:20])
    assert len(inspect(tmp_path).errors) == 4


def test_what_lacks_its_partner_is_told_once_without_split_folders(tmp_path):
    flat(tmp_path)
    (tmp_path / "masks/p3.png").unlink()
    (tmp_path / "images/p4.jpg").unlink()
    assert len(inspect(tmp_path).errors) == 2


def test_labels_that_labelme_s_list_has_not_are_one_sentence(tmp_path):
    labelme(tmp_path)
    text("labels.txt", "sea\n")(tmp_path)
    (told,) = (text for text in inspect(tmp_path).errors if "has the label 'leaf'" in text)
    assert "p0.json has" in told and "(9 more are like it: " in told


def test_a_drawn_split_is_the_same_for_a_seed_and_has_every_picture_once(tmp_path):
    flat(tmp_path)
    first, again, other = (inspect(tmp_path, seed=seed).splits for seed in (1, 1, 2))
    assert first["val"].images == again["val"].images != other["val"].images
    assert len({*first["train"].images, *first["val"].images}) == 10


def test_pictures_that_are_all_black_get_no_range(tmp_path):
    folders(tmp_path)
    (tmp_path / "images/val/p0.jpg").unlink()
    save(tmp_path, "images/val/p0.png", np.zeros((H, W), np.uint16))
    assert not any("value_range" in text for text in inspect(tmp_path).warnings)


def test_a_word_in_another_message_does_not_hide_what_the_classes_lack(tmp_path):
    folders(tmp_path)
    text("classes.json", ["a", "b", "c"])(tmp_path)
    save(tmp_path, "annotations/train/p0.tif", HALF.astype(np.float32) / 2)
    (tmp_path / "annotations/train/p0.png").unlink()
    found = inspect(tmp_path)
    assert "values that are not whole numbers" in found.errors[0]
    assert any("1 of 3 classes have no pixel to train on: c" in text for text in found.warnings)
