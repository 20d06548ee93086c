import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf.models.adamw import AdamW

SHAPES = ((3, 4), (4,))
TWO_REPLICAS = """
import keras, numpy as np, tensorflow as tf
from segformer_tf import SegformerConfig, TFSegformerForSemanticSegmentation
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
pictures = np.random.default_rng(0).normal(size=(4, 32, 64, 3)).astype("float32")
config = SegformerConfig(
    hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], depths=[1, 1, 1, 1], decoder_hidden_size=8,
    num_labels=3, drop_path_rate=0.0, classifier_dropout_prob=0.0,
)
after = []
for optimizer in (None, keras.optimizers.AdamW(6e-5, weight_decay=0.01)):
    keras.utils.set_random_seed(0)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = TFSegformerForSemanticSegmentation(config, data_format="channels_last")
        model.compile(optimizer and type(optimizer).from_config(optimizer.get_config()))
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit(pictures, np.zeros((4, 32, 64), "int32"), batch_size=4, verbose=0)
    after.append([variable.numpy() - old for variable, old in zip(model.trainable_variables, before)])
moved = max(np.abs(move).max() for move in after[1])
print("moved", moved, max(np.abs(ours - theirs).max() for ours, theirs in zip(*after)))
"""


def run(kind, steps=5, dtype="float32", gradient_scale=1.0, **settings):
    """The variables after some steps in a graph, the second left out of weight decay."""
    random = np.random.default_rng(0)
    variables = [keras.Variable(random.normal(size=shape), dtype=dtype) for shape in SHAPES]
    optimizer = kind(**settings)
    optimizer.exclude_from_weight_decay(var_list=variables[1:])
    optimizer.build(variables)
    step = tf.function(lambda gradients: optimizer.apply(gradients, variables))
    for _ in range(steps):
        step([tf.constant(gradient_scale * random.normal(size=shape), dtype) for shape in SHAPES])
    return [tf.cast(variable.value, tf.float32) for variable in variables], optimizer


@pytest.mark.parametrize(
    "settings",
    [
        {"weight_decay": 0.1},
        {"weight_decay": 0.0, "beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-2},
        {"weight_decay": 0.1, "clipnorm": 0.1, "use_ema": True},
        {"weight_decay": 0.1, "gradient_accumulation_steps": 2, "steps": 6},
        {"weight_decay": 0.1, "amsgrad": True},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5), "weight_decay": 0.1},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_steps_equal_those_of_keras(settings):
    settings = {"learning_rate": 0.05, **settings}
    (ours, optimizer), (theirs, reference) = run(AdamW, **settings), run(keras.optimizers.AdamW, **settings)
    for found, expected in zip(ours, theirs, strict=True):
        assert np.abs(found - expected).max() < 2e-6
    shapes = [[variable.shape for variable in kind.variables] for kind in (optimizer, reference)]
    assert shapes[0] == shapes[1]  # a saved state serves both


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_half_precision_variables_move_as_float32_ones(dtype, scale):
    settings = {"learning_rate": 0.05, "weight_decay": 0.1, "gradient_scale": scale}
    (ours, _), (theirs, _), (before, _) = (
        run(kind, **{**settings, **more})
        for kind, more in (
            (AdamW, {"dtype": dtype}),
            (keras.optimizers.AdamW, {}),
            (AdamW, {"dtype": dtype, "steps": 0}),
        )
    )
    for found, expected, start in zip(ours, theirs, before, strict=True):
        assert np.abs(found - start).max() > 1e-2
        np.testing.assert_allclose(found, expected, atol=3e-2)


def test_a_variable_takes_one_operation():
    def operations(kind):
        variables = [keras.Variable(np.zeros(3, "float32")) for _ in range(20)]
        optimizer = kind(0.1)
        optimizer.build(variables)
        step = tf.function(lambda: optimizer.apply([tf.ones(3)] * 20, variables))
        return [node.op for node in step.get_concrete_function().graph.as_graph_def().node]

    ours = operations(AdamW)
    assert ours.count("ResourceApplyAdam") == 20
    assert len(ours) < len(operations(keras.optimizers.AdamW)) / 4


def test_it_is_written_to_a_file_and_read_again():
    optimizer = AdamW(0.1, weight_decay=0.2, beta_1=0.8)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(again) is AdamW and again.get_config() == optimizer.get_config()


@pytest.mark.long
def test_it_trains_on_several_devices():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", TWO_REPLICAS], capture_output=True, text=True)
    assert done.stdout.startswith("moved"), done.stderr[-2000:]
    moved, difference = map(float, done.stdout.split()[1:])
    assert 5e-5 < moved < 1e-4 and difference < 1e-6


def test_it_takes_tensorflow_s_own_variables():
    moved = []
    for kind in (AdamW, keras.optimizers.AdamW):
        variable = tf.Variable([1.0, 2.0])
        kind(0.1).apply_gradients([(tf.constant([1.0, -1.0]), variable)])
        moved.append(variable.numpy())
    assert moved[0] == pytest.approx(moved[1], rel=1e-6)
