import ast
import io
import tokenize

import numpy as np
import pytest
from reference import ROOT, relative_difference

from segformer_tf.models import layers

MAP = np.random.default_rng(0).normal(size=(2, 12, 20, 16)).astype("float32")


def randomised(layer, *shape):
    """The layer with weights of real spread, so that a wrong axis or a lost bias shows."""
    layer(np.zeros(shape, "float32"))
    random = np.random.default_rng(1)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    return layer


@pytest.mark.parametrize(("size", "patches"), [((64, 96), (16, 24)), ((65, 97), (17, 25)), ((33, 40), (9, 10))])
def test_patch_embeddings_round_sizes_up(size, patches):
    layer = layers.OverlapPatchEmbeddings(3, 8, patch_size=7, stride=4)
    assert layer(np.zeros((1, *size, 3), "float32")).shape == (1, *patches, 8)
    assert layer.compute_output_shape((None, *size, 3)) == (None, *patches, 8)


def attention_as_defined(layer, x):
    """Softmax(Q K^T / sqrt(d)) V with one head after another, in numpy."""
    batch, *_, channels = x.shape

    def project(dense, value):
        return np.asarray(value).reshape(batch, -1, channels) @ dense.kernel.numpy() + dense.bias.numpy()

    reduced = layer.layer_norm(layer.sr(x)) if layer.sr_ratio > 1 else x
    query, key, value = project(layer.query, x), project(layer.key, reduced), project(layer.value, reduced)
    size = channels // layer.num_heads
    mixed, weights = np.zeros_like(query), []
    for head in range(layer.num_heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.exp(query[..., part] @ key[..., part].swapaxes(1, 2) / np.sqrt(size))
        weights.append(scores / scores.sum(-1, keepdims=True))
        mixed[..., part] = weights[-1] @ value[..., part]
    mixed = mixed @ layer.output_dense.kernel.numpy() + layer.output_dense.bias.numpy()
    return mixed.reshape(x.shape), np.stack(weights, 1)


@pytest.mark.parametrize("sr_ratio", [1, 4])
def test_attention_is_what_it_is_defined_as(sr_ratio):
    layer = randomised(layers.EfficientSelfAttention(16, num_heads=2, sr_ratio=sr_ratio), *MAP.shape)
    for variable in layer.trainable_variables:
        variable.assign(variable * 0.2)
    mixed, weights = layer(MAP, output_attentions=True)
    expected_mixed, expected_weights = attention_as_defined(layer, MAP)
    assert weights.shape == (2, 2, 240, (12 // sr_ratio) * (20 // sr_ratio))
    assert relative_difference(weights, expected_weights) < 1e-5
    assert relative_difference(mixed, expected_mixed) < 1e-5
    assert relative_difference(layer(MAP), expected_mixed) < 1e-5


def test_mix_ffn_sees_its_neighbours_within_one_pixel():
    layer = randomised(layers.MixFFN(16, 32), *MAP.shape)
    moved = MAP.copy()
    moved[0, 5, 7] += 1.0
    rows, columns = np.nonzero(np.abs(layer(moved) - layer(MAP)).max(-1)[0] > 1e-4)
    assert set(rows) == {4, 5, 6} and set(columns) == {6, 7, 8}


LINES = {  # of code, without blanks, comments and docstrings
    "OverlapPatchEmbeddings": 12,
    "EfficientSelfAttention": 24,
    "MixFFN": 13,
    "EncoderLayer": 31,
    "DecodeHead": 28,
}


def lines_of_code(source: str, node: ast.AST) -> int:
    """How many lines of a class hold code, as ruff formats them."""
    docstrings = {
        line
        for inner in ast.walk(node)
        if isinstance(inner, (ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(inner) is not None
        for line in range(inner.body[0].lineno, inner.body[0].end_lineno + 1)
    }
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for token in tokens if token.type not in blank for line in range(token.start[0], token.end[0] + 1)}
    return len({line for line in code if node.lineno <= line <= node.end_lineno} - docstrings)


def test_the_papers_parts_are_as_short_as_its_equations():
    source = (ROOT / "segformer_tf/models/layers.py").read_text("utf-8")
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    assert classes.keys() == LINES.keys()
    for name, node in classes.items():
        assert lines_of_code(source, node) <= LINES[name], name


def test_the_papers_parts_do_not_say_how_they_are_computed():
    """No word of backends, devices or tracing, and no branch on training."""
    source = (ROOT / "segformer_tf/models/layers.py").read_text("utf-8")
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    assert not names & {"tf", "tensorflow", "backend", "portable_ops", "final_weights"}
    branches = [node.test for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.If, ast.IfExp))]
    assert branches and not any("training" in ast.unparse(test) for test in branches)
