"""Files that Keras itself writes, read in a process of their own."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from reference import SMALL

from segformer_tf import SegformerConfig, TFSegformerForImageClassification, TFSegformerForSemanticSegmentation


def run(code: str, *arguments: str) -> None:
    """Runs Python in a fresh process, outside the repository."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)], check=True, cwd="/")


@pytest.fixture
def saved_call(tmp_path, pixels):
    """Stores pictures and what a model made of them, for the fresh process to compare with."""

    def save(model):
        np.savez(tmp_path / "call.npz", pixels=pixels, logits=model(pixels).logits)
        return tmp_path / "call.npz"

    return save


@pytest.mark.parametrize("cls", [TFSegformerForSemanticSegmentation, TFSegformerForImageClassification])
def test_keras_files_come_back_exactly(tmp_path, pixels, labels, saved_call, cls):
    model = cls(SegformerConfig.from_dict({**SMALL, "made_by": "me"}), name="mine")
    model.compile(keras.optimizers.AdamW(1e-3), run_eagerly=True)
    model.fit(pixels, labels if cls is TFSegformerForSemanticSegmentation else np.array([0, 1]), verbose=0)
    model.save(tmp_path / "model.keras")
    run(
        "import sys, numpy as np, keras\n"
        "from segformer_tf import TFSegformerModel\n"  # any of them, as README says
        "model, call = keras.saving.load_model(sys.argv[1]), np.load(sys.argv[2])\n"
        "assert (model(call['pixels']).logits.numpy() == call['logits']).all()\n"
        "assert model.name == 'mine' and model.config.made_by == 'me'\n"
        "assert model.optimizer.iterations == 1 and model.optimizer.learning_rate == 1e-3\n",
        tmp_path / "model.keras",
        saved_call(model),
    )


def test_models_made_of_a_models_layers_come_back_exactly(tmp_path, small_config, pixels):
    model = TFSegformerForSemanticSegmentation(small_config, data_format="channels_last")
    features = keras.Model(model.inputs[0], model.get_layer("block_1_0").output)
    head = keras.Sequential([keras.Input(pixels.shape[1:]), keras.Model(model.inputs[0], model.outputs[0])])
    np.savez(tmp_path / "call.npz", pixels=pixels, features=features(pixels), head=head(pixels))
    for name, each in {"features": features, "head": head}.items():
        each.save(tmp_path / f"{name}.keras")
        run(
            "import sys, numpy as np, keras\n"
            "from segformer_tf import TFSegformerModel\n"
            "model, call = keras.saving.load_model(sys.argv[1]), np.load(sys.argv[2])\n"
            "np.testing.assert_allclose(model(call['pixels']), call[sys.argv[3]], atol=1e-6)\n",
            tmp_path / f"{name}.keras",
            tmp_path / "call.npz",
            name,
        )


def test_weights_files_come_back_exactly(tmp_path, small_config, saved_call):
    model = TFSegformerForSemanticSegmentation(small_config)
    model.save_weights(tmp_path / "model.weights.h5")
    small_config.save_pretrained(tmp_path)
    run(
        "import sys, numpy as np, segformer_tf\n"
        "config = segformer_tf.SegformerConfig.from_pretrained(sys.argv[1])\n"
        "model, call = segformer_tf.TFSegformerForSemanticSegmentation(config), np.load(sys.argv[2])\n"
        "model.load_weights(sys.argv[1] + '/model.weights.h5')\n"
        "assert (model(call['pixels']).logits.numpy() == call['logits']).all()\n",
        tmp_path,
        saved_call(model),
    )


@pytest.mark.long
def test_an_exported_model_runs_without_this_package(tmp_path, small_config, saved_call):
    model = TFSegformerForSemanticSegmentation(small_config)
    model.export(tmp_path / "exported", verbose=False)
    run(
        "import sys, numpy as np, tensorflow as tf\n"
        "call = np.load(sys.argv[2])\n"
        "served = tf.saved_model.load(sys.argv[1]).signatures['serving_default']\n"
        "logits = served(tf.constant(call['pixels']))['logits']\n"
        "assert 'segformer_tf' not in sys.modules\n"
        "np.testing.assert_allclose(logits, call['logits'], atol=1e-6)\n",
        tmp_path / "exported",
        saved_call(model),
    )
