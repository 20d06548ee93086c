import json
import time
import unicodedata

import numpy as np
import pytest
from people_data import HALF, coco, flat, folders, labelme, voc, write, yolo
from PIL import Image
from small_data import CLASSES

from segformer_tf.data import DataError, inspect, read_split
from segformer_tf.data.pictures import ids_of


def touch_png(file, size=(6, 4), mode="L"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(file)


def test_the_folder_layout_pairs_pictures_with_masks_by_name(data):
    split = read_split(data, "train")
    assert len(split) == 7
    assert [file.stem for file in split.images] == [file.stem for file in split.targets]
    assert split.id2label == {row["id"]: row["name"] for row in CLASSES}
    assert split.has_masks and not split.coding.values


def test_ade20k_is_read_as_it_comes(tmp_path):
    for folder in ("training", "validation"):
        touch_png(tmp_path / "images" / folder / "ADE_1.png", mode="RGB")
        touch_png(tmp_path / "annotations" / folder / "ADE_1.png")
    for name, folder in (("train", "training"), ("val", "validation")):
        split = read_split(tmp_path, name)
        assert split.coding.values[0] == 255 and split.images[0].parent.name == folder
        assert len(split.classes) == 150 and split.id2label[0] == "wall"


def test_cityscapes_is_read_as_it_comes(tmp_path):
    for city, name in (("aachen", "aachen_0"), ("bochum", "bochum_7")):
        touch_png(tmp_path / "leftImg8bit/train" / city / f"{name}_leftImg8bit.png", mode="RGB")
        touch_png(tmp_path / "gtFine/train" / city / f"{name}_gtFine_labelTrainIds.png")
        touch_png(tmp_path / "gtFine/train" / city / f"{name}_gtFine_color.png", mode="RGB")
    split = read_split(tmp_path, "train")
    assert len(split) == 2 and len(split.classes) == 19
    assert [file.name for file in split.targets] == [
        f"{name}_gtFine_labelTrainIds.png" for name in ("aachen_0", "bochum_7")
    ]


def test_cityscapes_without_train_ids_says_how_to_make_them(tmp_path):
    touch_png(tmp_path / "leftImg8bit/val/ulm/ulm_0_leftImg8bit.png", mode="RGB")
    (tmp_path / "gtFine/val").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="run cityscapesScripts"):
        read_split(tmp_path, "val")


@pytest.mark.parametrize("names", [("dog", "cat"), ("dog",), ("dog", "owl")])
def test_coco_s_classes_have_one_id_in_all_files_whatever_each_calls_it(tmp_path, names):
    coco(tmp_path, categories=[{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}])
    file = tmp_path / "annotations/instances_val.json"
    content = json.loads(file.read_text())
    content["categories"] = [{"id": 7 + i, "name": name} for i, name in enumerate(names)]
    file.write_text(json.dumps(content))  # its annotations, category 7, are dogs then
    found = inspect(tmp_path).check()
    assert list(found.id2label.values()) == ["background", "cat", "dog", "owl"][: 4 if "owl" in names else 3]
    np.testing.assert_array_equal(ids_of(found.splits["train"], 0), HALF)
    np.testing.assert_array_equal(ids_of(found.splits["val"], 0), HALF * 2)


def test_class_folders_become_classes_in_the_order_of_their_names(tmp_path):
    for folder in ("b", "a"):
        touch_png(tmp_path / "train" / folder / "x.png", mode="RGB")
    split = read_split(tmp_path, "train")
    assert split.id2label == {0: "a", 1: "b"} and list(split.targets) == [0, 1] and not split.has_masks


def test_a_picture_without_mask_is_named(data):
    (data / "annotations/train/p3.png").unlink()
    with pytest.raises(DataError, match=r"p3\.jpg: no mask of that name, looked for .*annotations/train/p3\.png"):
        read_split(data, "train")


def test_a_mask_without_picture_is_named(data):
    (data / "images/train/p3.jpg").unlink()
    with pytest.raises(DataError, match=r"p3\.png: no picture of that name"):
        read_split(data, "train")


def test_an_empty_split_is_told(data):
    for kind in ("images", "annotations"):
        (data / kind / "none").mkdir()
    with pytest.raises(ValueError, match=r"the split 'none' of .* is empty"):
        read_split(data, "none")


def test_a_missing_split_names_its_directory(data):
    with pytest.raises(FileNotFoundError, match=r"images/test is not a directory"):
        read_split(data, "test")


def test_a_directory_of_no_layout_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"it has nothing; expected, for one,\nDIR/images/train/NAME\.jpg"):
        read_split(tmp_path, "val")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (json.dumps([{"id": 0, "name": "a"}, {"id": 2, "name": "b"}]), r"has ids \[0, 2\], expected 0 to 1"),
        ("{", r"classes\.json is not JSON .* expected the classes"),
        ('[{"name": "a"}]', "classes.json cannot be read"),
    ],
)
def test_class_names_are_checked(data, text, message):
    (data / "classes.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_split(data)


def test_a_split_without_class_names_has_none(data):
    (data / "classes.json").unlink()
    assert read_split(data).id2label == {}
    assert np.array(Image.open(read_split(data).targets[0])).max() == 255


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (yolo, "data.yaml"),
        (yolo, "classes.txt"),
        (yolo, "labels/train/p0.txt"),
        (labelme, "labels.txt"),
        (lambda root: voc(root, HALF), "labelmap.txt"),
        (lambda root: voc(root, HALF), "class_names.txt"),
        (lambda root: voc(root, HALF), "ImageSets/Segmentation/train.txt"),
        (lambda root: flat(root, "{}.jpg", "{}_mask.png"), "_classes.csv"),
    ],
)
def test_a_text_that_is_not_utf_8_is_named(tmp_path, build, name):
    build(tmp_path)
    if name == "classes.txt":
        (tmp_path / "data.yaml").unlink()
    (tmp_path / name).write_bytes("names: [caf\u00e9]".encode("latin-1"))
    errors = inspect(tmp_path).errors
    assert any(f"{name} is not UTF-8" in error for error in errors)


@pytest.mark.parametrize(
    ("build", "name", "lines"),
    [
        (yolo, "classes.txt", "{}"),
        (labelme, "labels.txt", "{}\nleaf"),
        (lambda root: voc(root, HALF), "labelmap.txt", "background:0,0,0::\n{}:0,0,1::"),
        (lambda root: voc(root, HALF), "class_names.txt", "background\n{}"),
        (lambda root: flat(root, "{}.jpg", "{}_mask.png"), "_classes.csv", "Pixel Value, Class\n0, background\n1, {}"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_name_is_not_cut_where_only_splitlines_would(tmp_path, build, name, lines, end):
    build(tmp_path)
    if name == "classes.txt":
        (tmp_path / "data.yaml").unlink()
    written = "a" + "b".join("\v\f\x1c\x1d\x1e\x85\u2028\u2029") + "c"
    (tmp_path / name).write_bytes((lines.format(written) + "\n").replace("\n", end).encode())
    assert list(read_split(tmp_path).id2label.values())[:2] == ["background", written]


def test_an_accent_written_in_two_ways_is_one_class(tmp_path):
    for split, form in (("train", "NFC"), ("val", "NFD")):
        for name in ("b", "café"):
            touch_png(tmp_path / split / unicodedata.normalize(form, name) / "x.png", (40, 40), "RGB")
    assert read_split(tmp_path, "val").targets == [0, 1]


def test_ids_that_two_names_have_are_told(data):
    (data / "classes.json").write_text(json.dumps({"road": 0, "street": 0, "car": 1}))
    with pytest.raises(ValueError, match=r"classes\.json has ids \[0, 0, 1\], expected 0 to 2"):
        read_split(data)


@pytest.mark.parametrize("target", [".", "..", "../../images", "x", "../../elsewhere"])
def test_a_folder_is_read_once_however_many_links_lead_to_it(data, target):
    for kind in ("images", "annotations"):
        (data / kind / "train/x").mkdir()
        (data / "elsewhere").mkdir(exist_ok=True)
        for name in ("a", "z"):
            (data / kind / "train" / name).symlink_to(target)
    for number, place in enumerate(("elsewhere", "images/train/x")):
        touch_png(data / place / f"q{number}.png", (72, 48), "RGB")
    touch_png(data / "annotations/train/x/q1.png", (72, 48))
    touch_png(data / "elsewhere/q0_mask.png", (72, 48))
    found = inspect(data, splits=("train",))
    names = [str(file.relative_to(data / "images/train")) for file in found.splits["train"].images]
    if target == "../../elsewhere":
        assert any("which was read already or holds it: left out" in note for note in found.notes)
        names = [name for name in names if not name.startswith("a/")]
    assert names == [*(f"p{i}.jpg" for i in range(7)), "x/q1.png"]


def test_the_time_to_tell_pictures_from_their_masks_grows_with_their_number_and_not_its_square(tmp_path):
    seconds = {}
    for count in (500, 4000):
        (tmp_path / str(count)).mkdir()
        for i in range(count):
            (tmp_path / f"{count}/{i}.jpg").touch()
            (tmp_path / f"{count}/{i}_mask.png").touch()
        times = []
        for _ in range(3):  # the least: other programs take time too
            begin = time.process_time()
            assert len(read_split(tmp_path / str(count))) == 0.8 * count
            times.append(time.process_time() - begin)
        seconds[count] = min(times)
    assert seconds[4000] < 30 * seconds[500]  # 8 times as many; 64 if each were compared with all


def test_cityscapes_folders_are_called_as_splits_may_be(tmp_path):
    touch_png(tmp_path / "leftImg8bit/Validation/ulm/u_leftImg8bit.png", mode="RGB")
    touch_png(tmp_path / "gtFine/valid/ulm/u_gtFine_labelTrainIds.png")
    assert len(read_split(tmp_path, "val")) == 1


def test_several_folders_of_masks_are_told(data):
    assert not any("the masks are those of" in note for note in read_split(data).notes)
    touch_png(data / "masks/train/p0.png")
    (note,) = (note for note in read_split(data).notes if "the masks are those of" in note)
    assert note.endswith(f"those of {data / 'annotations'}; {data / 'masks'} is left out.")


def test_a_data_set_that_lies_in_a_folder_of_the_given_one_is_named(tmp_path):
    folders(tmp_path / "unpacked")
    with pytest.raises(
        FileNotFoundError, match=f"it has unpacked/, where {tmp_path / 'unpacked'} is a data set: give that"
    ):
        inspect(tmp_path)


@pytest.mark.parametrize("masks", ["masks/{}.png", "images/{}_mask.png"])
@pytest.mark.parametrize("name", ["train.txt", "splits/Val.txt"])
def test_lists_of_splits_that_are_not_read_are_told(tmp_path, masks, name):
    flat(tmp_path, masks=masks)
    assert not any("not read" in note for note in inspect(tmp_path).notes)
    write(tmp_path, name, "p0\n")
    (note,) = (note for note in inspect(tmp_path).notes if "not read" in note)
    assert str(tmp_path / name) in note and "make folders of these splits" in note


def test_pictures_without_any_mask_are_not_said_to_be_drawn(tmp_path):
    flat(tmp_path, masks="masks/other{}.png")
    assert not any("drawn" in note for note in inspect(tmp_path).notes)
