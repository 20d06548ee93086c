import json

import numpy as np
import pytest
from people_data import HALF, H, W, coco

from segformer_tf.data import inspect
from segformer_tf.data.converting import convert_masks
from segformer_tf.data.pictures import ids_of

WHOLE = [0, 0, W, 0, W, H, 0, H]
RIGHT = [30, 0, 60, 0, 60, 40, 30, 40]


def changed(root, change, split="train"):
    """A file of annotations after `change(content)`."""
    file = root / f"annotations/instances_{split}.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


@pytest.mark.parametrize("name", ["background", "Background"])
def test_a_background_of_its_own_is_the_background(tmp_path, name):
    coco(tmp_path / "src", categories=[{"id": 0, "name": name}, {"id": 7, "name": "leaf"}])
    for split in ("train", "val"):
        more = [{"id": 9, "image_id": i, "category_id": 0, "segmentation": [WHOLE]} for i in (0, 1)]
        changed(
            tmp_path / "src", lambda content, more=more: content["annotations"].__setitem__(slice(0, 0), more), split
        )
    found = inspect(tmp_path / "src").check()
    assert found.id2label == {0: "background", 1: "leaf"}
    np.testing.assert_array_equal(ids_of(found.splits["train"], 0), HALF)
    convert_masks(tmp_path / "src", tmp_path / "dst")
    assert inspect(tmp_path / "dst").check().id2label == found.id2label


def test_two_categories_of_one_name_and_one_without_are_refused(tmp_path):
    coco(tmp_path, categories=[{"id": 7, "name": "background"}, {"id": 8, "name": "background"}])
    assert "instances_train.json has two categories 'background'" in inspect(tmp_path).errors[0]
    coco(tmp_path, categories=[{"id": 7, "name": "leaf"}, {"id": 8, "name": ""}])
    assert "instances_train.json has a class without a name" in inspect(tmp_path).errors[0]


@pytest.mark.parametrize("number", ["x", 999, None])
def test_annotations_of_a_picture_that_is_not_listed_are_told(tmp_path, number):
    coco(tmp_path)
    changed(tmp_path, lambda content: content["annotations"][1].update(image_id=number))
    (error,) = inspect(tmp_path).errors
    assert f"instances_train.json has annotation 1 of the image_id {number!r}, expected the id of one" in error


def test_a_picture_that_is_listed_twice_and_an_id_that_two_have_are_refused(tmp_path):
    coco(tmp_path)
    changed(tmp_path, lambda content: content["images"][1].update(file_name="sub/p0.jpg"))
    changed(tmp_path, lambda content: content["images"][1].update(id=0), "val")
    errors = inspect(tmp_path).errors
    assert any("instances_train.json lists" in error and "p0.jpg more than once" in error for error in errors)
    assert any("instances_val.json has 2 images of the id 0" in error for error in errors)


@pytest.mark.parametrize(
    ("points", "told"),
    [
        ([[1, 1, 5, 5, 9]], "it has 5 numbers, expected at least 3 pairs"),
        ([[0, 0, 1e999, 1, 1, 1]], "it has the coordinate inf"),
    ],
)
def test_a_polygon_that_is_none_is_told(tmp_path, points, told):
    coco(tmp_path)
    file = tmp_path / "annotations/instances_train.json"
    text = json.dumps(points).replace("Infinity", "1e999")
    file.write_text(file.read_text().replace("[[30, 0, 60, 0, 60, 40, 30, 40]]", text, 1))
    (error,) = inspect(tmp_path).errors
    assert f"instances_train.json: annotation 0 cannot be read ({told}" in error


@pytest.mark.parametrize("name", ["annotations/instances_{}.json", "{}/_annotations.coco.json", "annotations/{}.json"])
@pytest.mark.parametrize("cut", ["train", "both"])
def test_a_file_that_is_cut_off_is_named(tmp_path, name, cut):
    coco(tmp_path, name=name)
    for split in ("train", "val")[: 1 + (cut == "both")]:
        file = tmp_path / name.format(split)
        file.write_text(file.read_text()[:-40])
    found = inspect(tmp_path)
    assert found.layout == "COCO"
    assert any(name.format("train") + " is not JSON" in error for error in found.errors)


def test_a_file_without_categories_is_named_and_other_tools_files_are_left_alone(tmp_path):
    coco(tmp_path)
    (tmp_path / "annotations/coco_instances_results.json").write_text("[]")
    (tmp_path / "annotations/captions_train.json").write_text('{"images": [], "annotations": []}')
    inspect(tmp_path).check()
    for split in ("train", "val"):
        changed(tmp_path, lambda content: content.pop("categories"), split)
    errors = inspect(tmp_path).errors
    assert any("instances_train.json cannot be read (KeyError('categories')" in error for error in errors)


def test_an_unknown_category_is_told_with_those_that_there_are(tmp_path):
    coco(tmp_path, categories=[{"id": 7, "name": "leaf"}, {"id": 9, "name": "sea"}])
    changed(tmp_path, lambda content: content["annotations"][0].update(category_id=8))
    (error,) = inspect(tmp_path).errors
    assert "instances_train.json: annotation 0 cannot be read (it has the category_id 8, expected 7, 9): " in error


def test_an_annotation_without_outline_is_told_once(tmp_path):
    coco(tmp_path)
    changed(tmp_path, lambda content: content["annotations"][0].pop("segmentation"))
    (error,) = inspect(tmp_path).errors
    assert "has 1 annotations without a segmentation" in error


def test_a_crowd_lies_under_what_stands_out_of_it_wherever_it_is_listed(tmp_path):
    coco(tmp_path, categories=[{"id": 7, "name": "leaf"}, {"id": 8, "name": "tree"}])
    crowd = {"id": 9, "image_id": 0, "category_id": 8, "segmentation": [WHOLE], "iscrowd": 1}
    changed(tmp_path, lambda content: content["annotations"].append(crowd))
    np.testing.assert_array_equal(ids_of(inspect(tmp_path).check().splits["train"], 0), 2 - HALF)


def test_roboflow_s_super_category_is_no_class_unless_an_annotation_has_it(tmp_path):
    rows = [{"id": 0, "name": "plants", "supercategory": "none"}, {"id": 7, "name": "leaf", "supercategory": "plants"}]
    coco(tmp_path, categories=rows)
    assert list(inspect(tmp_path).check().id2label.values()) == ["background", "leaf"]
    changed(tmp_path, lambda content: content["annotations"][0].update(category_id=0))
    assert list(inspect(tmp_path).check().id2label.values()) == ["background", "plants", "leaf"]


@pytest.mark.parametrize("name", ["val", "train", "test"])
def test_a_data_set_called_like_a_split_keeps_its_splits(tmp_path, name, monkeypatch):
    coco(tmp_path / name, name="{}.json")
    for directory in (tmp_path / name, "."):
        monkeypatch.chdir(tmp_path / name)
        found = inspect(directory).check()
        files = {split: {shapes.file.name for shapes in one.targets} for split, one in found.splits.items()}
        assert files == {"train": {"train.json"}, "val": {"val.json"}}


def test_two_categories_of_one_id_are_refused(tmp_path):
    coco(tmp_path, categories=[{"id": 7, "name": "leaf"}, {"id": 7, "name": "stem"}])
    assert any(
        "has the categories leaf, stem of one id 7, expected an id" in error for error in inspect(tmp_path).errors
    )


def test_a_suffix_in_capitals_is_one(tmp_path):
    coco(tmp_path, name="annotations/instances_{}.JSON")
    assert set(inspect(tmp_path).check().splits) == {"train", "val"}


@pytest.mark.parametrize("points", [[[]], [[1, 1, 5, 5]], [1, 1], [[1, 1, 5, 5], RIGHT]])
def test_polygons_of_fewer_than_three_points_are_left_out_with_a_note(tmp_path, points):
    coco(tmp_path)
    changed(tmp_path, lambda content: content["annotations"][0].update(segmentation=points))
    found = inspect(tmp_path).check()
    assert any("1 polygons of fewer than 3 points have no area" in note for note in found.notes)
    np.testing.assert_array_equal(
        ids_of(found.splits["train"], 0), HALF if len(points) == 2 and points != [1, 1] else 0
    )


def test_ids_may_be_text_in_one_list_and_numbers_in_the_other(tmp_path):
    coco(tmp_path)

    def as_text(content):
        for row in content["images"] + content["categories"]:
            row["id"] = str(row["id"])

    changed(tmp_path, as_text)
    np.testing.assert_array_equal(ids_of(inspect(tmp_path).check().splits["train"], 0), HALF)


def test_names_that_capitals_and_separators_alone_tell_apart_are_one_class(tmp_path):
    coco(tmp_path, categories=[{"id": 7, "name": "Palm leaf"}])
    changed(tmp_path, lambda content: content["categories"][0].update(name="palm_leaf"), "val")
    found = inspect(tmp_path).check()
    assert found.id2label == {0: "background", 1: "Palm leaf"}
    assert "'palm_leaf' and 'Palm leaf' are one class, 'Palm leaf'." in found.notes
    np.testing.assert_array_equal(ids_of(found.splits["val"], 0), HALF)


def test_paths_of_windows_and_the_folder_of_cvat_s_subset_are_found(tmp_path):
    coco(tmp_path)
    changed(tmp_path, lambda content: [row.update(file_name="C:\\a\\" + row["file_name"]) for row in content["images"]])
    inspect(tmp_path).check()
    (tmp_path / "images/train").rename(tmp_path / "images/default")
    file = tmp_path / "annotations/instances_train.json"
    file.rename(file.with_name("instances_default.json"))
    (tmp_path / "annotations/instances_val.json").unlink()
    assert sum(map(len, inspect(tmp_path).check().splits.values()))


def test_of_several_files_of_a_split_the_instances_are_taken_and_two_of_those_refused(tmp_path):
    coco(tmp_path)
    file = tmp_path / "annotations/instances_train.json"
    other = file.with_name("a_keypoints_train.json")
    other.write_text(file.read_text())
    found = inspect(tmp_path).check()
    assert {shapes.file for shapes in found.splits["train"].targets} == {file}
    assert any(f"{other} is left out" in note for note in found.notes)
    file.with_name("instances_train_2.json").write_text(file.read_text())
    (error,) = inspect(tmp_path).errors
    assert "instances_train.json" in error and "instances_train_2.json are of one split, expected one file" in error


@pytest.mark.parametrize("year", [2014, 2017])
def test_files_and_folders_may_have_their_year(tmp_path, year):
    coco(tmp_path, name=f"annotations/instances_{{}}{year}.json", images=f"{{}}{year}/{{}}")
    found = inspect(tmp_path).check()
    assert {split: len(one) for split, one in found.splits.items()} == {"train": 2, "val": 2}


def test_a_large_file_is_known_by_its_end(tmp_path):
    coco(tmp_path, name="annotations/{}.json")
    for split in ("train", "val"):
        file = tmp_path / f"annotations/{split}.json"
        file.write_text(json.dumps({"info": "x" * 70_000, **json.loads(file.read_text())}))
    assert inspect(tmp_path).check().layout == "COCO"


def test_pictures_stand_in_the_order_of_their_names_with_masks_of_their_own(tmp_path):
    coco(tmp_path)

    def turn(content):
        content["images"].reverse()
        content["images"][0]["id"], content["images"][1]["id"] = 0, 1
        content["annotations"] = content["annotations"][:1]  # of p1, now

    changed(tmp_path, turn)
    train = inspect(tmp_path).check().splits["train"]
    assert [image.stem for image in train.images] == ["p0", "p1"]
    np.testing.assert_array_equal([ids_of(train, i) for i in (0, 1)], [0 * HALF, HALF])


def test_a_super_category_that_does_not_stand_first_is_a_class(tmp_path):
    coco(tmp_path, categories=[{"id": 3, "name": "plants"}, {"id": 7, "name": "leaf", "supercategory": "plants"}])
    assert list(inspect(tmp_path).check().id2label.values()) == ["background", "plants", "leaf"]


def test_run_lengths_of_another_size_are_told(tmp_path):
    coco(tmp_path, {"size": [W, H], "counts": [W * H]})
    assert "its run lengths are of [60, 40], its picture of [40, 60] pixels" in inspect(tmp_path).errors[0]


def test_ids_may_be_written_with_a_point(tmp_path):
    coco(tmp_path)
    changed(tmp_path, lambda content: [row.update(category_id=7.0) for row in content["annotations"]])
    np.testing.assert_array_equal(ids_of(inspect(tmp_path).check().splits["train"], 0), HALF)
