"""A result: its classes, masks, polygons and pictures, and the files it writes and leaves alone."""

import errno
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segformer_tf import images
from segformer_tf.images import overlay, palette_for, views
from segformer_tf.images.png import write_png
from segformer_tf.pipelines import files, marks
from segformer_tf.pipelines.result import SegmentationResult

LABELS = np.array([[0, 0, 0, 1], [0, 2, 0, 1], [0, 0, 0, 1]], np.int32)
NAMES = {0: "background", 1: "<tree>", 2: "car", 3: "road"}


@pytest.fixture
def result(tmp_path):
    return SegmentationResult(
        "street",
        LABELS.copy(),
        np.full((*LABELS.shape, 3), 100, np.uint8),
        NAMES,
        palette_for(NAMES),
        "tiny",
        scores=np.where(LABELS == 1, 0.5, 0.75).astype(np.float16),
        path=tmp_path / "pictures" / "street.jpg",
    )


def test_classes_and_masks_are_largest_first_with_their_mean_probability(result):
    assert result.classes == [
        {"id": 0, "name": "background", "pixels": 8, "share": 8 / 12, "score": 0.75},
        {"id": 1, "name": "<tree>", "pixels": 3, "share": 0.25, "score": 0.5},
        {"id": 2, "name": "car", "pixels": 1, "share": 1 / 12, "score": 0.75},
    ]
    masks = result.masks
    assert [(mask["id"], mask["label"], mask["score"]) for mask in masks] == [
        (0, "background", 0.75), (1, "<tree>", 0.5), (2, "car", 0.75)
    ]  # fmt: skip
    for mask in masks:
        assert mask["mask"].dtype == bool
        np.testing.assert_array_equal(mask["mask"], mask["id"] == LABELS)


def test_polygons_are_coco_annotations(result):
    ring, tree, car = result.polygons()
    assert car == {
        "id": 3, "image_id": 1, "category_id": 2, "segmentation": [[1, 1, 2, 1, 2, 2, 1, 2]], "area": 1,
        "bbox": [1, 1, 1, 1], "iscrowd": 0,
    }  # fmt: skip
    assert ring["area"] == 8 and ring["bbox"] == [0, 0, 3, 3] and tree["bbox"] == [3, 0, 1, 3]
    assert [annotation["area"] for annotation in result.polygons(min_area=3)] == [8, 3]
    with pytest.raises(ValueError, match="min_area is '3'; expected a number of pixels"):
        result.polygons(min_area="3")


def test_background_is_not_painted_unless_asked_for(result):
    painted = np.asarray(result.overlay(legend=False))
    assert (painted[LABELS == 0] == 100).all() and (painted[LABELS == 1] != 100).any()
    everything = np.asarray(result.overlay(legend=False, skip=()))
    np.testing.assert_array_equal(everything, np.asarray(result.overlay(legend=False, skip=None)))
    with pytest.raises(ValueError, match="skip is 2; expected names of classes in a list"):
        result.overlay(skip=2)
    assert (everything[LABELS == 0] != 100).any()
    for spelt in ("car", " Car "):
        assert (np.asarray(result.overlay(legend=False, skip=spelt))[LABELS == 2] == 100).all()
    with pytest.raises(ValueError, match=r"The model has no class 'cars'; did you mean 'car'\?"):
        result.overlay(skip=("cars",))


def test_classes_that_there_are_not_are_told_wherever_they_are_named(result, tmp_path):
    told = r"The model has no class 'cars'; did you mean 'car'\?"
    for call in (result.svg, lambda skip: result.save(tmp_path, ("svg",), skip=skip)):
        for skip in ("cars", ("cars",)):
            with pytest.raises(ValueError, match=told):
                call(skip=skip)
    with pytest.raises(ValueError, match=told):
        result.heatmap("cars")
    with pytest.raises(ValueError, match="The model has no class 'carroad'"):
        result.svg(skip="carroad")  # one name, not a text that names are looked for in
    assert "car" not in result.svg(skip="car") and "car" in result.svg()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("method", "keyword", "right"),
    [("svg", "skp", "skip"), ("heatmap", "alhpa", "alpha"), ("compare", "thruth", "truth")],
)
def test_a_misspelt_keyword_is_told_with_the_right_one(result, method, keyword, right):
    with pytest.raises(TypeError, match=rf"{method} got an unknown keyword '{keyword}': did you mean '{right}'\?"):
        getattr(result, method)(**{keyword: 1})


@pytest.mark.parametrize("alpha", [3, -1, float("nan"), "x"])
def test_an_alpha_beyond_its_ends_is_told(result, alpha):
    drawn = SegmentationResult(**{**vars(result), "maps": {"car": np.zeros(LABELS.shape, np.float16)}})
    for call in (drawn.overlay, lambda alpha: drawn.heatmap("car", alpha)):
        with pytest.raises(ValueError, match=f"alpha is {alpha!r}; expected 0 to 1"):
            call(alpha=alpha)


def test_a_truth_of_other_classes_is_told(result):
    truth = LABELS.copy()
    truth[0, 0] = 255
    assert result.compare(truth).height > 3
    truth[0, 1] = 77
    with pytest.raises(ValueError, match="truth has the value 77; expected class ids, 0 to 3, and 255 for what is not"):
        result.compare(truth)
    assert result.compare(truth - 77 * (truth == 77), ignore_index=255).height > 3


def test_a_notebook_shows_picture_and_table_without_a_network(result):
    text = result._repr_html_()
    assert "&lt;tree&gt;" in text and "<tree>" not in text and "http" not in text and "<script" not in text
    assert 'src="' not in text and "src='data:image/" in text and "66.7%" in text and "0.500" in text


def test_a_result_says_itself_in_one_short_line(result):
    assert repr(result) == "SegmentationResult('street', 3 x 4: background, <tree>, car)"


def test_every_kind_of_file_is_written_and_known_as_ours(result, tmp_path):
    written = result.save(tmp_path / "out", ("labels", "overlay", "json", "polygons", "scores"))
    assert [path.name for path in written] == [
        "street_labels.png", "street_overlay.png", "street.json", "street_polygons.json", "street_scores.npz"
    ]  # fmt: skip
    assert all(marks.ours(path) for path in written)
    assert sorted((tmp_path / "out").iterdir()) == sorted(written)
    with np.load(tmp_path / "out" / "street_scores.npz") as arrays:
        assert arrays["scores"].dtype == np.float16
        np.testing.assert_array_equal(arrays["scores"], result.scores)
    values = json.loads((tmp_path / "out" / "street.json").read_text())
    assert values["path"] == str(tmp_path / "pictures" / "street.jpg")
    coco = json.loads((tmp_path / "out" / "street_polygons.json").read_text())
    assert coco["images"][0]["file_name"] == "street.jpg" and len(coco["annotations"]) == 3
    assert result.save(tmp_path / "out", "labels") == written[:1], "what is ours is replaced"


@pytest.mark.parametrize(
    ("name", "data"),
    [("street.json", b'{"version": "5.2.1", "shapes": []}'), ("street_labels.png", None), ("street.json", b"[1]")],
)
def test_what_others_wrote_stays_unless_overwritten(result, tmp_path, name, data):
    if data is None:
        buffer = io.BytesIO()
        Image.new("L", (4, 3)).save(buffer, "PNG")
        data = buffer.getvalue()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FileExistsError, match=f"{name} was not written by segformer-tf and is not replaced"):
        result.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == data
    result.save(tmp_path, overwrite=True)
    assert (tmp_path / name).read_bytes() != data


def test_a_picture_is_never_replaced_by_its_own_result(result, tmp_path):
    own = SegmentationResult(**{**vars(result), "path": tmp_path / "a_labels.png"})
    write_png(Image.new("RGB", (4, 3)), tmp_path / "a_labels.png", marks.MAKER)
    before = (tmp_path / "a_labels.png").read_bytes()
    os.link(tmp_path / "a_labels.png", tmp_path / "street_labels.png")
    with pytest.raises(FileExistsError, match="is the picture itself and is not replaced"):
        own.save(tmp_path, overwrite=True)
    assert (tmp_path / "a_labels.png").read_bytes() == before


def test_a_result_of_another_picture_of_the_same_name_stays(result, tmp_path):
    result.save(tmp_path)
    other = SegmentationResult(**{**vars(result), "path": Path("elsewhere") / "street.jpg"})
    with pytest.raises(FileExistsError, match=r"street\.json in .* is of .*pictures/street\.jpg, and elsewhere/street"):
        other.save(tmp_path)
    other.save(tmp_path, overwrite=True)
    assert marks.source_of(tmp_path / "street.json") == str(Path("elsewhere/street.jpg").absolute())


@pytest.mark.parametrize("kind", [kind for kind in files.ENDINGS if kind != "json"])
def test_every_file_says_which_picture_it_is_of_and_stays_where_it_is_another(result, tmp_path, kind):
    if kind == "tiff":
        pytest.importorskip("rasterio")
    (written,) = result.save(tmp_path, kind)
    before = written.read_bytes()
    assert marks.made_by(written) == marks.mark(result.path) != marks.mark(None)
    assert b"pictures" not in before and str(tmp_path).encode() not in before, "the path is not told"
    result.save(tmp_path, kind)
    other = SegmentationResult(**{**vars(result), "path": Path("elsewhere") / "street.jpg"})
    with pytest.raises(FileExistsError, match=f"{written.name}, where a file of .* is of another picture"):
        other.save(tmp_path, kind)
    assert written.read_bytes() == before
    other.save(tmp_path, kind, overwrite=True)
    SegmentationResult(**{**vars(result), "path": None}).save(tmp_path, kind)  # of an array: nobody knows
    assert marks.made_by(written) == marks.MAKER
    result.save(tmp_path, kind)


def test_pixels_are_counted_once_for_all_that_is_asked_for_together(result, tmp_path, monkeypatch):
    counted, table = [], images.class_table
    monkeypatch.setattr(images, "class_table", lambda *given: counted.append(1) or table(*given))
    classes = result.classes
    written = {path.name: path.read_text() for path in result.save(tmp_path, ("json", "polygons", "svg"))}
    assert len(counted) == 2
    result.save(tmp_path / "again", ("labels", "overlay", "json", "polygons", "svg"), classes=classes)
    assert json.dumps(result.to_dict(classes), indent=2) + "\n" == written["street.json"]
    assert json.dumps(result.to_coco(classes)) + "\n" == written["street_polygons.json"]
    assert {name: (tmp_path / "again" / name).read_text() for name in written} == written and len(counted) == 2
    result.labels[:] = 3  # nothing is kept of labels that may be edited
    assert [row["id"] for row in result.to_dict()["classes"]] == [3]


def test_what_cannot_be_saved_is_named(result, tmp_path):
    with pytest.raises(ValueError, match="There is no kind of file 'mask'; expected some of labels, overlay, json"):
        result.save(tmp_path, ("mask",))
    with pytest.raises(ValueError, match="street has no scores to save"):
        SegmentationResult(**{**vars(result), "scores": None}).save(tmp_path, ("scores",))


def test_a_full_disk_leaves_nothing_half_written(result, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("segformer_tf.pipelines.result.write_png", full)
    with pytest.raises(OSError, match="No space left on device"):
        result.save(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("picture", "name"),
    [
        ("p/a.jpg", "a"), ("a.PNG", "a"), ("a.tif", "a.tif"), ("a.b.jpeg", "a.b"), ("q/a", "a"), (".jpg", ".jpg"),
        ("[red]x\n.png", "[red]x\n"),
    ],
)  # fmt: skip
def test_a_name_depends_on_the_picture_alone(picture, name):
    assert files.name_of(picture) == name
    assert files.name_of(picture, whole=True) == Path(picture).name


def test_long_names_are_cut_to_what_a_file_system_takes(tmp_path):
    pictures = [f"{'ä' * 122}{last}.png" for last in "xy"]
    names = [files.name_of(picture) for picture in pictures]
    assert len(set(names)) == 2 and all(len(os.fsencode(name)) <= files.LONGEST for name in names)
    for name in names:
        for ending in files.ENDINGS.values():
            (tmp_path / f"{name}{ending}").touch()


@pytest.mark.parametrize(
    "drawn", [{}, {"alpha": 0.2}, {"skip": ("<tree>",)}, {"legend": False}, {"legend": "inside"}, {"outline": True}]
)
def test_an_overlay_is_drawn_and_saved_as_it_is_asked_for(result, tmp_path, drawn):
    large = {name: getattr(result, name).repeat(9, 0).repeat(9, 1) for name in ("labels", "pixels", "scores")}
    sized = SegmentationResult(**{**vars(result), **large})
    shown = sized.pixels, sized.labels, sized.palette, NAMES
    expected = np.asarray(overlay(*shown, **{"skip": ("background",), **drawn}))
    np.testing.assert_array_equal(sized.overlay(**drawn), expected)
    (written,) = sized.save(tmp_path, "overlay", **drawn)
    np.testing.assert_array_equal(np.asarray(Image.open(written)), expected)
    if drawn not in ({}, {"legend": "inside"}):
        assert expected.tobytes() != np.asarray(sized.overlay()).tobytes()


def test_a_saved_svg_is_that_of_the_result_without_what_is_skipped(result, tmp_path):
    (written,) = result.save(tmp_path, "svg", skip=("car",))
    assert re.sub("<!--.*-->", "", written.read_text("utf-8")) == result.svg(skip=("car",)) != result.svg()


def test_a_comparison_has_the_truth_where_truth_belongs(result):
    truth = np.roll(LABELS, 1, axis=1)
    truth[0, 0] = 99
    expected = views.compare(
        image=result.pixels, truth=truth, predicted=LABELS, id2label=NAMES, palette=result.palette, ignore_index=99,
        title="street",
    )  # fmt: skip
    np.testing.assert_array_equal(result.compare(truth, ignore_index=99), expected)


def test_a_heat_map_is_of_its_class_at_its_opacity(result):
    car = np.linspace(0, 1, LABELS.size).reshape(LABELS.shape).astype(np.float16)
    drawn = SegmentationResult(**{**vars(result), "maps": {"car": car, "entropy": car / 2}})
    expected = views.heat(result.pixels, car, "probability of car", 0.3)
    for spelt in ("car", " Car "):
        np.testing.assert_array_equal(drawn.heatmap(spelt, 0.3), expected)
    expected = views.heat(result.pixels, car / 2, "uncertainty (entropy)", 0.7)
    np.testing.assert_array_equal(drawn.heatmap(), expected)


def test_the_categories_of_coco_are_those_of_its_annotations(result):
    coco = result.to_coco()
    names = {each["id"]: each["name"] for each in coco["categories"]}
    assert names == NAMES
    assert [names[each["category_id"]] for each in coco["annotations"]] == ["background", "<tree>", "car"]
