"""An eager call as a graph: what a person sees is as if every layer ran by itself."""

import gc
import threading
import time
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from segformer_tf import TFSegformerForSemanticSegmentation, TFSegformerModel
from segformer_tf.models import compiled, kernels


@pytest.fixture(autouse=True)
def small_pictures_too(monkeypatch):
    monkeypatch.setattr(compiled, "WORTH_TRACING", 1)


@pytest.fixture
def model(small_config):
    """With kernels so large that every layer shows in the logits."""
    made = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last")
    numbers = np.random.default_rng(2)
    for variable in made.trainable_variables:
        if variable.path.endswith("kernel"):
            variable.assign(numbers.normal(size=variable.shape) * 0.3)
    return made


def close(found, expected, share=1e-4):
    assert np.abs(found - expected).max() < share * np.abs(expected).max()


def by_layers(model, pixels, **options):
    """What the layers give one by one: a gradient tape keeps them from being a graph."""
    with tf.GradientTape():
        return model(pixels, **options)


def traced(model):
    """The number of graphs that stand for a model's calls now."""
    return sum(graph.experimental_get_tracing_count() for graph in compiled._graphs.get(model, ((), {}))[1].values())


def same(model, pixels):
    close(model(pixels).logits, by_layers(model, pixels).logits)


def test_one_graph_is_traced_for_all_sizes_and_reads_the_weights(model, pixels):
    same(model, pixels)
    same(model, pixels[:1, :40, :64])
    graph = compiled._graphs[model][1]
    before = model(pixels).logits
    bias = model.decode_head.classifier.bias
    bias.assign(bias + 1.0)
    close(model(pixels).logits, before + 1.0)
    assert compiled._graphs[model][1] is graph and traced(model) == 1


def test_training_tapes_and_run_eagerly_run_layer_by_layer(model, pixels, labels):
    model(pixels, training=True)
    by_layers(model, pixels)
    model.compile(run_eagerly=True)
    model.evaluate(pixels, labels, verbose=0)
    model(pixels)
    assert traced(model) == 0
    with tf.GradientTape() as tape:
        loss = model(pixels, labels=labels).loss
    gradients = tape.gradient(loss, model.trainable_variables)
    assert len(gradients) > 50 and all(gradient is not None for gradient in gradients)


def test_optional_outputs_have_graphs_of_their_own(model, pixels):
    model(pixels)
    ours, theirs = (f(pixels, output_hidden_states=True, output_attentions=True) for f in (model, _layers(model)))
    assert list(ours) == list(theirs) == ["logits", "hidden_states", "attentions"]
    for one, other in zip(keras.tree.flatten(ours), keras.tree.flatten(theirs), strict=True):
        close(one, other)
    assert traced(model) == 2


def _layers(model):
    return lambda *args, **options: by_layers(model, *args, **options)


def lora(model):
    layer = model.network.stages[-1].blocks[0].mlp.dense2
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(np.random.default_rng(3).normal(size=layer.lora_kernel_b.shape))


def swapped_blocks(model):
    blocks = model.network.stages[-1].blocks
    blocks.append(blocks[0])


def other_policy(model):
    for layer in model.network.stages[1].blocks:
        layer.mlp.dense1.dtype_policy = keras.DTypePolicy("mixed_bfloat16")


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")  # Keras says so of its InputLayer
@pytest.mark.parametrize(
    "change", [lora, lambda model: model.quantize("int8"), swapped_blocks, other_policy], ids=["lora", "int8", "a", "b"]
)
def test_a_changed_model_is_traced_anew(model, pixels, change):
    before = np.asarray(model(pixels).logits)
    change(model)
    after, expected = np.asarray(model(pixels).logits), np.asarray(by_layers(model, pixels).logits)
    close(after, expected, 0.05 if change is other_policy else 1e-3)
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    assert traced(model) == 1


def test_freezing_changes_nothing_but_what_learns(model, pixels):
    before = model(pixels).logits
    model.decode_head.trainable = False
    close(model(pixels).logits, before)


def test_layers_whose_call_was_replaced_and_layers_of_others_are_called_each_time(model, pixels):
    seen = []
    attention = model.network.stages[0].blocks[0].attention
    plain = attention.call
    attention.call = lambda x, **options: seen.append(np.asarray(x).shape) or plain(x, **options)
    model(pixels), model(pixels)
    assert seen == [(2, 16, 24, 8)] * 2
    del attention.call

    class Spy(keras.layers.Layer):
        def call(self, x):
            seen.append(float(np.asarray(x).max()))
            return x

    model.network.stages[1].blocks.append(Spy())
    model(pixels), model(pixels)
    assert len(seen) == 4


def test_subclasses_run_their_own_call(small_config, pixels):
    class Doubled(TFSegformerForSemanticSegmentation):
        calls = 0

        def call(self, *args, **options):
            type(self).calls += 1
            found = super().call(*args, **options)
            return type(found)(logits=2 * found.logits)

    model = Doubled(small_config, data_format="channels_last")
    Doubled.calls = 0
    same(model, pixels)
    model(pixels)
    assert Doubled.calls == 3 and traced(model) == 1


def test_the_config_may_change_how_the_last_stage_comes(small_config, pixels):
    model = TFSegformerModel(small_config, data_format="channels_last")
    assert len(model(pixels).last_hidden_state.shape) == 4
    model.config.reshape_last_stage = False
    assert model(pixels).last_hidden_state.shape == by_layers(model, pixels).last_hidden_state.shape == (2, 96, 16)


class Short(TFSegformerForSemanticSegmentation):
    """Keras hands `training` on past a `call` that has none."""

    def call(self, pixel_values, labels=None):
        return super().call(pixel_values, labels)


class Around(keras.Model):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x).logits


@pytest.mark.parametrize("first", [True, False], ids=["training first", "inference first"])
def test_training_around_a_call_that_has_none_is_training_and_no_graph(small_config, pixels, first):
    small_config.classifier_dropout_prob = 0.5
    model = Short(small_config, data_format="channels_last")
    around = Around(model)
    expected = np.asarray(by_layers(model, pixels).logits)
    moving = model.decode_head.batch_norm.moving_mean
    for training in (first, not first):
        before = np.array(moving)
        found = np.asarray(around(pixels, training=training))
        assert np.any(np.asarray(moving) != before) == training
        if training:
            assert np.abs(found - expected).max() > 0.01 * np.abs(expected).max()
            moving.assign(before)
            model.decode_head.batch_norm.moving_variance.assign(np.ones(moving.shape))
        else:
            close(found, expected)
    close(model(pixels).logits, expected)


def test_a_call_without_training_is_part_of_a_functional_model_and_takes_it(small_config, pixels):
    small_config.classifier_dropout_prob = 0.5
    model = Short(small_config, data_format="channels_last")
    inputs = keras.Input((64, 96, 3))
    outer = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(model(inputs, training=True).logits))
    outer.compile("sgd", "mse")
    outer.fit(pixels, np.zeros((2, 5)), verbose=0)
    one, other = (np.asarray(model(pixels, training=True).logits) for _ in range(2))
    assert np.abs(one - other).max() > 0.01 * np.abs(one).max()
    with pytest.raises(TypeError, match="unknown keyword 'trainin': did you mean 'training'"):
        model(pixels, trainin=True)


def test_a_subclass_may_say_what_mode_its_layers_run_in(small_config, pixels):
    class Dropping(TFSegformerForSemanticSegmentation):
        def call(self, pixel_values, labels=None, training=None):
            return super().call(pixel_values, labels, training=True)

    small_config.classifier_dropout_prob = 0.5
    model = Dropping(small_config, data_format="channels_last")
    one, other = (np.asarray(model(pixels, training=False).logits) for _ in range(2))
    assert np.abs(one - other).max() > 0.01 * np.abs(one).max()


def test_stateless_calls_see_the_values_that_they_are_given(model, pixels):
    before = model(pixels).logits
    values = [variable.value for variable in model.trainable_variables]
    place = [variable.path for variable in model.trainable_variables].index("decode_head/classifier/bias")
    values[place] = values[place] + 1.0
    outputs, _ = model.stateless_call(values, [variable.value for variable in model.non_trainable_variables], pixels)
    close(outputs.logits, before + 1.0)
    close(model(pixels).logits, before)


def test_errors_are_the_same_and_a_model_that_is_dropped_goes(small_config, pixels):
    model = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last")
    model(pixels)
    with pytest.raises(ValueError, match="expected at least 32 a side"):
        model(pixels[:, :16])
    with pytest.raises(ValueError, match="with 3 channels"):
        model(pixels[..., :2])
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()
    assert gone() is None


def test_small_pictures_are_not_worth_a_graph(model, pixels, monkeypatch):
    monkeypatch.setattr(compiled, "WORTH_TRACING", 2 * 64 * 96 + 1)
    model(pixels)
    assert traced(model) == 0


def test_a_call_op_by_op_traces_nothing(model, pixels):
    with compiled.op_by_op():
        expected = model(pixels).logits
    assert traced(model) == 0
    close(model(pixels).logits, expected)
    assert traced(model) == 1


def test_a_program_with_many_models_is_not_told_of_retracing(small_config, pixels, caplog):
    for _ in range(6):
        TFSegformerForSemanticSegmentation(small_config, data_format="channels_last")(pixels)
    assert "retracing" not in caplog.text


@pytest.mark.parametrize("kind", [kernels.final_weights, kernels.portable_ops, kernels.for_xla])
def test_what_is_traced_for_something_of_its_own_is_no_graph_of_later_calls(model, pixels, kind):
    with kind():
        before = model(pixels).logits
        kernel = model.decode_head.linear_fuse.kernel
        kernel.assign(2 * kernel)
        assert np.abs(model(pixels).logits - before).max() > 1e-3 * np.abs(before).max()
    assert traced(model) == 0
    same(model, pixels)


def test_a_class_of_layers_whose_call_was_replaced_is_traced_anew(model, pixels, monkeypatch):
    before = model(pixels).logits
    kind = type(model.network.stages[0].blocks[0].mlp)
    plain = kind.call
    monkeypatch.setattr(kind, "call", lambda self, x, **options: 2 * plain(self, x, **options))
    after = model(pixels).logits
    assert np.abs(after - before).max() > 1e-3 * np.abs(before).max()
    close(after, by_layers(model, pixels).logits)


def test_another_head_of_the_network_is_traced_anew(model, pixels):
    before, head = model(pixels).logits, model.network.head
    model.network.head = lambda *args, **options: 2 * head(*args, **options)
    close(model(pixels).logits, 2 * before)


def test_an_activity_regularizer_has_its_loss(model, pixels):
    model.network.stages[0].blocks[0].mlp.dense1.activity_regularizer = keras.regularizers.L2(1.0)
    model(pixels)
    assert traced(model) == 0 and [float(loss) > 0 for loss in model.losses] == [True]


def test_two_threads_make_one_graph(model, pixels, monkeypatch):
    made, plain = [], compiled._traced
    model(pixels, training=True)

    def slowly(*args):
        time.sleep(0.3)
        made.append(args)
        return plain(*args)

    monkeypatch.setattr(compiled, "_traced", slowly)
    threads = [threading.Thread(target=model, args=(pixels,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_under_a_strategy_layers_run_one_by_one(model, pixels):
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model(pixels)
    assert traced(model) == 0
