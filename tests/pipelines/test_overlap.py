"""What is computed beside the model: the order of what is computed, and whose an error is."""

import time

import numpy as np
import pytest
from reference import SMALL

from segformer_tf import (
    SegformerConfig,
    SegformerImageProcessor,
    SegmentationPipeline,
    TFSegformerForSemanticSegmentation,
)
from segformer_tf.pipelines import overlap
from segformer_tf.pipelines.predict import Predictor

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3)).astype("uint8")


@pytest.fixture(scope="module")
def segment():
    model = TFSegformerForSemanticSegmentation(SegformerConfig(**SMALL), data_format="channels_last")
    return SegmentationPipeline(model, SegformerImageProcessor(size=(64, 96)))


def test_the_parts_of_an_answer_are_taken_one_after_the_other(segment, monkeypatch):
    take, busy, together = overlap._take, set(), []

    def slowly(task, item, job, *rest):
        together.append(id(job) in busy)
        busy.add(id(job))
        time.sleep(0.1)
        try:
            return take(task, item, job, *rest)
        finally:
            busy.discard(id(job))

    monkeypatch.setattr(overlap, "_take", slowly)
    found = segment([PICTURE] * 2, batch_size=1, mode="slide", window=(40, 40), stride=(30, 30))
    assert [result.labels.shape for result in found] == [(60, 90)] * 2
    assert len(together) > 2 and not any(together)


def test_a_picture_that_cannot_be_read_keeps_its_own_error_where_the_model_fails(segment, monkeypatch):
    def fail(*_):
        raise RuntimeError("the model")

    monkeypatch.setattr(Predictor, "run", fail)
    found = list(segment.stream(["missing.png", PICTURE], batch_size=2))
    assert [type(result.error) for result in found] == [FileNotFoundError, RuntimeError]


def test_ctrl_c_in_what_is_made_of_an_answer_is_no_answer(segment):
    def finish(picture, result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(segment.stream([PICTURE], finish))
