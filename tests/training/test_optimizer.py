import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
from segformer_tf.training import optimizer as implementation
from segformer_tf.training.optimizer import SegformerAdamW, SegformerMuon, WarmupDecay

# Biases without a gradient of their own: a norm or a softmax takes them out again.
CANCELLED = {
    *(f"decode_head/linear_c_{i}/bias" for i in range(2)),
    *(f"block_{i}_0/attention/key/bias" for i in range(2)),
    "layer_norm_1/beta",
}


def test_the_rate_rises_linearly_and_falls_to_0():
    rate = WarmupDecay(1.0, 100, power=1.0, warmup_steps=9)
    assert [float(rate(step)) for step in (0, 4, 50, 100, 120)] == pytest.approx([0.1, 0.5 * 0.96, 0.5, 0, 0])
    squared, cosine = (WarmupDecay(2.0, 100, power, warmup_steps=0) for power in (2.0, None))
    assert float(squared(50)) == pytest.approx(0.5)
    assert float(cosine(25)) == pytest.approx(1 + math.cos(math.pi / 4))


def test_with_accumulation_the_rate_counts_optimizer_steps():
    plain, slow = WarmupDecay(1.0, 10, 1.0, 2), WarmupDecay(1.0, 10, 1.0, 2, accumulation_steps=4)
    assert [float(slow(step)) for step in (0, 3, 4, 39)] == [float(plain(step)) for step in (0, 0, 1, 9)]


def test_the_head_moves_faster_and_only_kernels_are_decayed(network):
    def moved(head_multiplier, weight_decay):
        before = {v.path: v.numpy() for v in network.trainable_variables}
        optimizer = SegformerAdamW(0.1, weight_decay=weight_decay, head_multiplier=head_multiplier)
        optimizer.apply([keras.ops.zeros_like(v) for v in network.trainable_variables], network.trainable_variables)
        decayed = {v.path for v in network.trainable_variables if not np.array_equal(v.numpy(), before[v.path])}
        for v in network.trainable_variables:
            v.assign(before[v.path])
        optimizer = SegformerAdamW(0.1, weight_decay=0.0, head_multiplier=head_multiplier)
        optimizer.apply([keras.ops.ones_like(v) for v in network.trainable_variables], network.trainable_variables)
        steps = {v.path: float(np.abs(v.numpy() - before[v.path]).max()) for v in network.trainable_variables}
        return decayed, steps

    decayed, steps = moved(10.0, 0.5)
    assert decayed == {v.path for v in network.trainable_variables if len(v.shape) > 1}
    assert not any(name in path for path in decayed for name in ("norm", "bias"))
    for path, step in steps.items():
        if path in CANCELLED:
            assert step == 0, path
            continue
        assert step == pytest.approx(1.0 if path.startswith("decode_head") else 0.1, rel=1e-3), path


def test_the_average_soon_forgets_the_random_weights():
    variable = keras.Variable([0.0])
    optimizer = SegformerAdamW(1e-9, weight_decay=0.0, use_ema=True, ema_momentum=0.999)
    for step in range(40):
        variable.assign([0.0 if step < 10 else 1.0])
        optimizer.apply([keras.ops.zeros((1,))], [variable])
    (average,) = optimizer.averages([variable]).values()
    assert float(average[0]) > 0.95  # with 0.999 from the beginning it would be 0.03
    assert optimizer.get_config()["ema_momentum"] == 0.999
    assert SegformerAdamW(0.1).averages([variable]) == {}


@pytest.mark.parametrize("kind", [SegformerAdamW, SegformerMuon])
def test_the_average_counts_optimizer_steps(kind):
    """Several batches of one gradient make the steps, and the averages, that one alone makes."""

    def made(batches):
        variable = keras.Variable([1.0])
        how = {"use_ema": True, "ema_momentum": 0.9, "weight_decay": 0.0}
        optimizer = kind(0.1, gradient_accumulation_steps=batches if batches > 1 else None, **how)
        optimizer.build([variable])
        averages = []
        for step in range(1, 31):
            for _ in range(batches):
                optimizer.apply([keras.ops.ones((1,))], [variable])
                if step == 1:  # an evaluation may come before the first step
                    averages += [float(average[0]) for average in optimizer.averages([variable]).values()]
            averages += [float(average[0]) for average in optimizer.averages([variable]).values()]
        return averages

    alone, several = made(1), made(4)
    assert several[:3] == [1.0] * 3
    assert several[4:] == pytest.approx(alone[1:], rel=1e-5)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_a_matrix_made_orthogonal_keeps_its_directions(shape):
    matrix = np.random.default_rng(0).normal(size=shape).astype("float32")
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    optimizer = SegformerMuon(0.1)
    found = left.T @ np.asarray(optimizer.zeropower_via_newtonschulz5(matrix, optimizer.ns_steps)) @ right.T
    strengths = np.diag(found)
    assert (strengths > 0.6).all() and (strengths < 1.3).all()
    assert np.abs(found - np.diag(strengths)).max() < 1e-4


def test_muon_moves_kernels_by_orthogonal_matrices_and_all_else_as_adamw(network):
    before = {v.path: v.numpy() for v in network.trainable_variables}
    random = np.random.default_rng(0)
    gradients = [random.normal(size=v.shape).astype("float32") for v in network.trainable_variables]
    steps = {}
    for kind in (SegformerAdamW, SegformerMuon):
        optimizer = kind(0.1, weight_decay=0.0)
        optimizer.apply(gradients, network.trainable_variables)
        steps[kind] = {v.path: v.numpy() - before[v.path] for v in network.trainable_variables}
        for v in network.trainable_variables:
            v.assign(before[v.path])
    kernels = set()
    for path, step in steps[SegformerMuon].items():
        if not np.array_equal(step, steps[SegformerAdamW][path]):
            kernels.add(path)
            strengths = np.linalg.svd(step.reshape(-1, step.shape[-1]), compute_uv=False)
            size = 0.1 * 0.2 * math.sqrt(max(step.size // step.shape[-1], step.shape[-1]))
            assert 0.5 * size < np.median(strengths) and strengths.max() < 1.3 * size, path
    paths = {v.path for v in network.trainable_variables if len(v.shape) > 1 and "dwconv" not in v.path}
    assert kernels == paths - {"decode_head/classifier/kernel"}
    assert any("proj" in path for path in kernels) and any("/sr/" in path for path in kernels)


def test_biases_that_are_taken_out_again_have_no_gradient_and_do_not_move(network):
    x, labels = (
        np.random.default_rng(0).normal(size=(2, 64, 96, 3)),
        np.random.default_rng(1).integers(0, 3, (2, 64, 96)),
    )
    variables = network.trainable_variables
    with tf.GradientTape() as tape:
        loss = network(x.astype("float32"), labels=labels, training=True).loss
    sizes = {
        v.path: np.abs(g.numpy()).max()
        for v, g in zip(variables, tape.gradient(loss, [v.value for v in variables]), strict=True)
    }
    beside = {path: sizes[path.replace("bias", "kernel").replace("beta", "gamma")] for path in sizes}
    assert {path for path, size in sizes.items() if size < 1e-5 * beside[path]} == CANCELLED
    for kind in (SegformerAdamW, SegformerMuon):
        optimizer = kind(0.1, weight_decay=0.5)
        before = {v.path: v.numpy() for v in variables}
        optimizer.apply([keras.ops.ones_like(v) for v in variables], variables)
        assert {v.path for v in variables if np.array_equal(v.numpy(), before[v.path])} == CANCELLED


def test_a_frozen_batch_norm_cancels_no_bias(network):
    network.decode_head.batch_norm.trainable = False
    optimizer = SegformerAdamW(0.1)
    head = [v for v in network.trainable_variables if "linear_c" in v.path and v.path.endswith("bias")]
    before = [v.numpy() for v in head]
    optimizer.apply([keras.ops.ones_like(v) for v in network.trainable_variables], network.trainable_variables)
    assert len(head) == 2 and all((v.numpy() != old).all() for v, old in zip(head, before, strict=True))


def test_muon_is_keras_own_on_matrices_and_takes_convolutions_too():
    """Keras' class gives the numbers; a convolution's kernel moves as the matrix of its flattened rows."""
    random = np.random.default_rng(0)
    shapes = {"a/kernel": (12, 8), "b/proj/kernel": (3, 3, 4, 8)}
    gradients = [[random.normal(size=shape).astype("float32") for shape in shapes.values()] for _ in range(3)]

    def moved(optimizer, flat):
        variables = [
            keras.Variable(np.ones(shape, "float32"), name=name.replace("/", "_")) for name, shape in shapes.items()
        ]
        if flat:
            variables[1] = keras.Variable(np.ones((36, 8), "float32"), name="b_proj_kernel")
        else:
            optimizer._matrices = optimizer._keys(variables)
        for step in gradients:
            optimizer.apply([g.reshape(v.shape) for g, v in zip(step, variables, strict=True)], variables)
        return [v.numpy().reshape(-1) for v in variables]

    own = moved(SegformerMuon(0.01, weight_decay=0.1), False)
    expected = moved(keras.optimizers.Muon(0.01, weight_decay=0.1, adam_weight_decay=0.1, rms_rate=0.2), True)
    for found, wanted in zip(own, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


def muon_steps(network, start, **options):
    """The weights and averages after three steps from `start`, with gradients that are the same at every call."""
    network.set_weights(start)
    optimizer = SegformerMuon(0.02, use_ema=True, ema_momentum=0.9, **options)
    variables = network.trainable_variables
    for number in range(3):
        random = np.random.default_rng(number)
        optimizer.apply([tf.constant(random.normal(size=v.shape), tf.float32) for v in variables], variables)
    return network.get_weights() + [average.numpy() for average in optimizer.averages(variables).values()]


@pytest.mark.parametrize("multiplier", [1.0, 10.0])
def test_matrices_made_orthogonal_together_move_as_each_alone(network, multiplier, monkeypatch):
    """Beside Keras' own way, one variable after the other: weight decay, averages, the faster head and all else."""
    start = network.get_weights()
    options = {"weight_decay": 0.1, "head_multiplier": multiplier}
    together = muon_steps(network, start, **options)
    monkeypatch.setattr(implementation, "replicas", lambda: 2)  # where Keras' way is gone, gradients as they are
    monkeypatch.setattr(SegformerMuon, "_apply_weight_decay", keras.optimizers.Muon._apply_weight_decay)
    for one, other in zip(muon_steps(network, start, **options), together, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)
    assert sum(not np.array_equal(new, old) for new, old in zip(together, start, strict=False)) > len(start) / 2


def test_many_matrices_of_one_shape_are_taken_in_parts(network, monkeypatch):
    """So that what is copied for it stays small, whatever the model."""
    start = network.get_weights()
    together = muon_steps(network, start)
    monkeypatch.setattr(implementation, "TOGETHER_VALUES", 1)
    for one, other in zip(muon_steps(network, start), together, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("kind", [SegformerAdamW, SegformerMuon])
def test_it_is_made_again_with_the_heads_rate(kind):
    assert kind.from_config(kind(0.1, head_multiplier=10.0).get_config()).head_multiplier == 10.0


@pytest.mark.parametrize("own", [{"adam_weight_decay": 0.3}, {"adam_lr_ratio": 0.5}])
def test_muon_is_keras_own_where_adamw_has_its_own_decay_or_rate(own):
    def moved(kind, **settings):
        variable = keras.Variable(np.ones(4, "float32"))
        optimizer = kind(0.1, weight_decay=0.1, rms_rate=0.2, **settings)
        optimizer._find_groups = lambda variables: None  # which would leave a vector without decay
        optimizer.build([variable])
        optimizer.apply([tf.constant([0.5, -1.0, 2.0, 0.1])], [variable])
        return variable.numpy()

    theirs = moved(keras.optimizers.Muon, **{"adam_weight_decay": 0.1, "adam_lr_ratio": 1, **own})
    np.testing.assert_allclose(moved(SegformerMuon, **own), theirs, rtol=1e-5)


@pytest.mark.parametrize("kind", [SegformerAdamW, SegformerMuon])
@pytest.mark.parametrize("replicas", [1, 2])
def test_bfloat16_variables_move(kind, replicas, monkeypatch):
    monkeypatch.setattr(implementation, "replicas", lambda: replicas)
    variables = [keras.Variable(np.ones(shape), dtype="bfloat16") for shape in ((4,), (3, 4))]
    optimizer = kind(0.1, weight_decay=0.0)
    optimizer._matrices = optimizer._keys(variables[1:])
    optimizer.build(variables)
    for _ in range(3):
        optimizer.apply([tf.ones(variable.shape, tf.bfloat16) for variable in variables], variables)
    np.testing.assert_allclose(keras.ops.cast(variables[0], "float32"), 0.7, atol=1e-2)
    assert (keras.ops.cast(variables[1], "float32").numpy() < 0.98).all()


@pytest.mark.parametrize("kind", [SegformerAdamW, SegformerMuon])
def test_the_groups_come_back_with_a_keras_file(kind, small_config, pixels, labels, tmp_path):
    keras.utils.set_random_seed(0)
    without_chance = {"drop_path_rate": 0.0, "classifier_dropout_prob": 0.0, "hidden_dropout_prob": 0.0}
    model = TFSegformerForSemanticSegmentation(SegformerConfig.from_dict({**small_config.to_dict(), **without_chance}))
    model.compile(kind(1e-2, head_multiplier=10.0), metrics=[])
    model.fit(pixels, labels, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.iterations == 1
    for each in (model, again):
        each.fit(pixels, labels, shuffle=False, verbose=0)
    for own, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(own.numpy(), other.numpy())
    assert (kind is SegformerAdamW) or model.optimizer._matrices
