"""Two devices, and two processes, learn what one does: `make test-distributed`, some minutes.

A run is the command `train` on the small data set, 6 steps of batch 4, a checkpoint every 2.
"""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from reference import ROOT, relative_difference
from small_data import CLASSES, tiny_network, write_split

from segformer_tf.training.losses import LOSSES

SETTINGS = ("save_every=2", "warmup_steps=0", "drop_path_rate=0", "dropout_rate=0", "learning_rate=1e-4")
OPTIONS = ["--steps", 6, "--batch-size", 4, "--crop", 32, 64, "--recipe", "fine-tune", "--evaluate-every", 6]
LOSS = 'loss={"cross_entropy": 1, "dice": 0.5, "lovasz": 0.5, "ohem": 0.5}'
OPTIONS += [word for setting in (*SETTINGS, LOSS, "ema_momentum=0.9") for word in ("--set", setting)]
TWO_DEVICES = """
import sys, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from segformer_tf.cli import main
main(sys.argv[1:])
"""


def _begin(arguments, environment, told):
    """A process that writes what it says into the file `told`, a pipe could fill up."""
    with told.open("w") as stream:
        process = subprocess.Popen(arguments, env=environment, stdout=stream, stderr=subprocess.STDOUT)
    process.told = told
    return process


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """The function: (run's name, further options, `TF_CONFIG`) -> a process that trains."""
    root = tmp_path_factory.mktemp("distributed")
    write_split(root / "data", "train", 7)
    write_split(root / "data", "val", 2, 100)
    (root / "data" / "classes.json").write_text(json.dumps(CLASSES))
    tiny_network().save_pretrained(root / "model")

    numbers = itertools.count()

    def run(name, *options, config=None, code=None):
        command = [sys.executable, *(("-c", code) if code else ("-m", "segformer_tf.cli"))]
        command += ["train", "--data", root / "data", "--model", root / "model", "--output", root / name]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        if config:
            environment["TF_CONFIG"] = json.dumps(config)
        arguments = [str(word) for word in (*command, *OPTIONS, *options)]
        return _begin(arguments, environment, root / f"{name}-{next(numbers)}.txt"), root / name

    return run


@pytest.fixture(scope="module")
def one(start):
    """The weights of one process with one device."""
    process, run = start("one")
    assert process.wait(600) == 0, process.told.read_text()
    return weights(run)


def weights(run):
    from safetensors.numpy import load_file

    return load_file(run / "last" / "model.safetensors")


def same(found, expected):
    assert found.keys() == expected.keys()
    far = {name: relative_difference(found[name], expected[name]) for name in expected if np.any(expected[name])}
    assert max(far.values()) < 1e-4, sorted(far.items(), key=lambda each: -each[1])[:5]


def two(start, name, *options):
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    configs = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2)]
    started = [start(name, "--distribute", "multiworker", *options, config=config) for config in configs]
    return [process for process, _ in started], started[0][1]


def test_two_devices_learn_what_one_does(start, one):
    process, run = start("mirrored", "--distribute", "mirrored", code=TWO_DEVICES)
    assert process.wait(900) == 0, process.told.read_text()
    same(weights(run), one)


def test_two_devices_lay_the_same_regions_over_each_other_as_one_does(start):
    options = ("--set", "augmentation.cut_rate=0.7", "--set", "augmentation.paste_rate=0.7")
    one, alone = start("regions", *options)
    two, run = start("mirrored-regions", "--distribute", "mirrored", *options, code=TWO_DEVICES)
    for process in (one, two):
        assert process.wait(900) == 0, process.told.read_text()
    same(weights(run), weights(alone))


EVERY_LOSS = """
import json
import numpy as np, tensorflow as tf
from segformer_tf.training import losses
from segformer_tf.training.losses import LOSSES, SegmentationLoss

losses.OHEM_SHARE = 0.99  # so that it counts, not the probability, which no other pixel changes
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])  # one a process: TensorFlow mixes up those of several
random = np.random.default_rng(0)
logits, labels = random.normal(0, 3, (5, 8, 16, 4)).astype("float32"), random.integers(0, 4, (5, 32, 64))
labels[:2] = np.where(random.random((2, 32, 64)) < 0.8, 255, labels[:2])  # the first device has few labelled pixels

def learnt(loss, logits, labels):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss(labels, logits)
    return value, tape.gradient(value, logits)

for part in LOSSES:
    loss = SegmentationLoss({part: 1.0}, [0.5, 1, 2, 1])
    value, gradient = (x.numpy() for x in learnt(loss, tf.constant(logits), tf.constant(labels)))
    shares = [np.s_[:3], np.s_[3:]]
    each = [strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(whole[shares[context.replica_id_in_sync_group]])) for whole in (logits, labels)]
    values, gradients = map(strategy.experimental_local_results, tf.function(
        lambda x, y: strategy.run(lambda x, y: learnt(loss, x, y), (x, y)))(*each))
    off = float(abs(sum(values) - value) / value)
    far = float(np.abs(np.concatenate(gradients) - gradient).max() / np.abs(gradient).max())
    print(json.dumps([part, off, far]), flush=True)
"""


def test_every_loss_is_that_of_the_whole_batch(tmp_path):
    """Value and gradient, also where the devices have another number of pictures and of labelled pixels."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = _begin([sys.executable, "-c", EVERY_LOSS], environment, tmp_path / "losses.txt")
    assert process.wait(600) == 0, process.told.read_text()
    rows = [json.loads(line) for line in process.told.read_text().splitlines() if line.startswith("[")]
    assert [row[0] for row in rows] == [*LOSSES]
    assert all(off < 1e-5 and far < 1e-4 for _, off, far in rows), rows


def test_two_processes_learn_what_one_does_and_a_killed_worker_changes_nothing(start, one):
    processes, run = two(start, "killed")
    end = time.monotonic() + 600
    while not (run / "last" / "training_state.npz").exists() and time.monotonic() < end:
        assert all(process.poll() is None for process in processes), [p.told.read_text() for p in processes]
        time.sleep(0.05)
    processes[1].send_signal(signal.SIGKILL)
    try:
        assert processes[0].wait(120) != 0  # it cannot go on alone, and says so
    finally:
        for process in processes:
            process.kill()
            process.wait()
    processes, run = two(start, "killed", "--resume")
    for process in processes:
        assert process.wait(900) == 0, process.told.read_text()
    assert re.search(r"goes on at step [24]\b", processes[0].told.read_text())
    same(weights(run), one)
    assert len((run / "log.csv").read_text().splitlines()) >= 2


PLAIN_KERAS = """
import sys, keras, tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=["mae"])
data = tf.data.Dataset.from_tensor_slices((tf.ones((8, 3)), tf.ones((8, 2)))).batch(4)
model.fit(data, verbose=0)
"""


def test_keras_still_needs_mending(tmp_path):
    """When this fails, `segformer_tf.models.distribution.Mended` can go."""
    with socket.socket() as a, socket.socket() as b:
        for free in (a, b):
            free.bind(("127.0.0.1", 0))
        workers = [f"127.0.0.1:{free.getsockname()[1]}" for free in (a, b)]
    processes = []
    for index in range(2):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        processes.append(_begin([sys.executable, "-c", PLAIN_KERAS], environment, tmp_path / f"{index}.txt"))
    try:
        codes = [process.wait(600) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert any(codes), "Keras has mended keras-team/keras#20585"
    told = [process.told.read_text() for process in processes]
    assert any("Attempt to convert a value (PerReplica:" in text for text in told), told
