"""Label maps against transformers' stored ones, and against plain resizing followed by argmax."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from segformer_tf.images import (
    SegformerImageProcessor,
    colorize,
    label_map,
    palette_for,
    post_process_semantic_segmentation,
    postprocess,
)

FIXTURE = Path(__file__).parents[1] / "fixtures" / "processor" / "post_process.npz"


@pytest.fixture(scope="module")
def graph():
    signature = [tf.TensorSpec((None, None, None, None)), tf.TensorSpec((2,), tf.int32)]
    return tf.function(label_map, input_signature=signature)


def logits(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_maps_equal_those_of_transformers():
    with np.load(FIXTURE) as golden:
        values, expected = golden["logits"], [golden["map_0"], golden["map_1"]]
        plain = golden["plain"]
    sizes = [ids.shape for ids in expected]
    maps = post_process_semantic_segmentation({"logits": values}, sizes, data_format="channels_first")
    for ids, wanted in zip(maps, expected, strict=True):
        assert ids.dtype == np.int32
        np.testing.assert_array_equal(ids, wanted)
    last = SimpleNamespace(logits=tf.constant(values.transpose(0, 2, 3, 1)))
    np.testing.assert_array_equal(post_process_semantic_segmentation(last), plain)


@settings(max_examples=40, deadline=None, database=None)
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.integers(2, 6)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(0, 99),
)
def test_maps_are_the_argmax_of_resized_logits(shape, size, seed):
    values = logits(shape, seed)
    resized = tf.image.resize(values, size).numpy()
    ordered = np.sort(resized, axis=-1)
    clear = ordered[..., -1] - ordered[..., -2] > 1e-5  # a tie may fall to either side
    maps = np.stack(post_process_semantic_segmentation(values, [size] * shape[0]))
    np.testing.assert_array_equal(maps[clear], resized.argmax(-1)[clear])


@pytest.mark.parametrize("size", [(61, 95), (5, 7), (16, 24), (1, 1), (130, 3)])
@pytest.mark.parametrize("classes", [1, 6])
def test_graph_and_numpy_agree(size, classes, graph, monkeypatch):
    values = logits((2, 16, 24, classes))
    expected = np.stack(post_process_semantic_segmentation(values, [size] * 2))
    np.testing.assert_array_equal(graph(values, size), expected)
    monkeypatch.setattr(postprocess, "BAND_VALUES", 1000)  # many bands, the last one shorter
    result = label_map(values, size)
    assert result.dtype == tf.int32 and result.shape == (2, *size)
    np.testing.assert_array_equal(result, expected)
    monkeypatch.setattr(postprocess, "ROW_VALUES", 100)  # of rows in pieces, the last one narrower
    np.testing.assert_array_equal(label_map(values, size), expected)


def test_the_graph_labels_a_very_wide_row_in_bounded_memory():
    """Every pixel lies between logits that disagree; in one piece this row needs 10 GB."""
    script = (
        "import tensorflow as tf; from segformer_tf.images import label_map;"
        "values = tf.random.stateless_normal((1, 2, 4, 2000), (0, 1));"
        "assert label_map(values, (1, 300_000)).shape == (1, 1, 300_000);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 2e6  # kilobytes


def test_the_graph_labels_pictures_whose_values_32_bits_do_not_count(monkeypatch):
    monkeypatch.setattr(postprocess, "BAND_VALUES", 2**31)
    values = tf.broadcast_to(tf.range(2**16, dtype=tf.float32), (1, 1, 1, 2**16))
    assert (label_map(values, (1, 2**16)).numpy() == 2**16 - 1).all()  # 2**32 of them are 0 in 32 bits


def test_an_empty_batch_has_no_maps(graph):
    for call in (label_map, graph):
        assert call(np.zeros((0, 4, 5, 3), np.float32), (8, 10)).shape == (0, 8, 10)


def test_one_class_is_decided_by_its_sigmoid():
    values = np.array([[-1.0, 0.0], [0.1, 3.0]], np.float32).reshape(1, 2, 2, 1)
    maps, scores = post_process_semantic_segmentation(values, return_segmentation_scores=True)
    np.testing.assert_array_equal(maps[0], [[0, 0], [1, 1]])
    np.testing.assert_allclose(scores[0], 1 / (1 + np.exp(-values[0])), rtol=1e-6)


def test_scores_are_the_softmax_of_resized_logits():
    values = logits((2, 5, 7, 4)) * 50
    maps, scores = post_process_semantic_segmentation(values, [(11, 13), (4, 3)], return_segmentation_scores=True)
    for index, size in enumerate([(11, 13), (4, 3)]):
        expected = tf.nn.softmax(tf.image.resize(values[index], size)).numpy()
        assert scores[index].dtype == np.float32
        np.testing.assert_allclose(scores[index], expected, atol=1e-5)
        assert (scores[index].argmax(-1) == maps[index]).mean() == 1.0


class TorchTensor:
    """What PyTorch's tensors do: NumPy gets them only on the CPU, without gradients, and not as bfloat16."""

    def __init__(self, values, dtype="torch.float32", state=("cuda", "grad")):
        self.values, self.dtype, self.state = values, dtype, state
        self.shape = values.shape

    def __array__(self, dtype=None, copy=None):
        if self.state or self.dtype == "torch.bfloat16":
            raise TypeError(f"can't convert a tensor of {self.dtype} with {self.state} to numpy")
        return self.values

    def without(self, what):
        return TorchTensor(self.values, self.dtype, tuple(each for each in self.state if each != what))

    def detach(self):
        return self.without("grad")

    def cpu(self):
        return self.without("cuda")

    def float(self):
        return TorchTensor(self.values, "torch.float32", self.state)


@pytest.mark.parametrize("dtype", ["torch.float32", "torch.bfloat16"])
def test_tensors_of_pytorch_are_taken_wherever_they_lie(dtype):
    values = logits((2, 5, 6, 3))
    expected = post_process_semantic_segmentation(values, [(8, 9)] * 2)
    sizes = TorchTensor(np.array([8, 9]), "torch.int64")
    for tensors in (TorchTensor(values, dtype), [TorchTensor(each, dtype) for each in values]):
        found = post_process_semantic_segmentation(SimpleNamespace(logits=tensors), [sizes] * 2)
        np.testing.assert_array_equal(found, expected)
    palette, image = palette_for(["a", "b", "c"]), np.abs(values[0] / np.abs(values).max())
    processor = SegformerImageProcessor(size=4)
    np.testing.assert_array_equal(
        processor(TorchTensor(image, dtype), TorchTensor(expected[0][:5, :6], "torch.int64"), do_rescale=False).labels,
        processor(image, expected[0][:5, :6], do_rescale=False).labels,
    )
    np.testing.assert_array_equal(
        colorize(TorchTensor(expected[0], "torch.int32"), palette), colorize(expected[0], palette)
    )


def test_wrong_sizes_and_shapes_are_named():
    values = logits((2, 4, 4, 3))
    with pytest.raises(ValueError, match="target_sizes has 1 sizes; expected 2, one for each image"):
        post_process_semantic_segmentation(values, [(8, 8)])
    for side in (0, 36.5, -1, float("nan"), float("inf")):
        with pytest.raises(
            ValueError, match=r"target_sizes has a side of .*; expected \(height, width\) in whole pixels"
        ):
            post_process_semantic_segmentation(values, [(8, 8), (side, 8)])
        with pytest.raises(ValueError, match=r"size has a side of .*; expected \(height, width\) in whole pixels"):
            label_map(values, (side, 8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="size has a side of 0; expected"):
        label_map(values, tf.constant([0, 8]))
    assert [ids.shape for ids in post_process_semantic_segmentation(values, [(8.0, 9.0)] * 2)] == [(8, 9)] * 2
    with pytest.raises(ValueError, match=r"target_sizes has \(8,\); expected \(height, width\)"):
        post_process_semantic_segmentation(values, [8, 8])
    with pytest.raises(ValueError, match=r"logits have shape \(4, 4, 3\); expected \(B, h, w, C\)"):
        post_process_semantic_segmentation(values[0])
    with pytest.raises(ValueError, match="outputs has loss; expected logits"):
        post_process_semantic_segmentation({"loss": 1})
    for wrong in ("ab", 3, [("a", "b"), (1, 2)]):
        with pytest.raises(ValueError, match=r"target_sizes is .*; expected one \(height, width\) an image"):
            post_process_semantic_segmentation(values, wrong)
