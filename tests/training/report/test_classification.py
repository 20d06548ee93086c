"""What a report tells of a classifier."""

import numpy as np
import pytest
from PIL import Image
from small_data import tiny_network

from segformer_tf import SegformerConfig, SegformerImageProcessor, TFSegformerForImageClassification
from segformer_tf.training import read_split
from segformer_tf.training.report.classification import WRONG, classification
from segformer_tf.training.report.page import Picture, Table, Text


@pytest.fixture
def split(tmp_path):
    """Three pictures of a, two of b, one of c."""
    for name, count in {"a": 3, "b": 2, "c": 1}.items():
        (tmp_path / "val" / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (40, 50), (80 * i, 0, 0)).save(tmp_path / f"val/{name}/{i}.png")
    return read_split(tmp_path, "val")


def always(answers):
    """A classifier with these logits for every picture."""
    config = SegformerConfig.from_dict(tiny_network().config.to_dict(), id2label=dict(enumerate("abc")))
    model = TFSegformerForImageClassification(config)
    head = model.get_layer("classifier")
    head.kernel.assign(np.zeros(head.kernel.shape))
    head.bias.assign(answers)
    return model


@pytest.mark.parametrize("charts", [True, False])
def test_classes_confusion_and_surest_wrong_answers(split, tmp_path, charts):
    processor = SegformerImageProcessor(size=(32, 32))
    blocks = list(classification(tmp_path, always([np.log(8.0), 0, 0]), split, processor, charts))
    classes, matrix, wrong = (block.rows for block in blocks if isinstance(block, Table))
    assert classes == [["a", "3", "1.0000", "0.5000"], ["b", "2", "0.0000", "-"], ["c", "1", "0.0000", "-"]]
    assert matrix == [["a", "3", "0", "0"], ["b", "2", "0", "0"], ["c", "1", "0", "0"]]
    assert {row[1] for row in wrong} == {"a 80%, is b", "a 80%, is c"} and len(wrong) == 3
    assert {row[0] for row in wrong} == {str(file) for file in split.images[3:]}
    assert any(isinstance(block, Text) and block.text == "Pictures right: 0.5000." for block in blocks)
    drawn = [block.file for block in blocks if isinstance(block, Picture)]
    assert drawn == (["confusion.png"] if charts else []) + [WRONG]
    for file in drawn:
        with Image.open(tmp_path / file) as picture:
            assert picture.width > 300
