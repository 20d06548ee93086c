"""Which workers there are, what each one's share is, and what several cannot do."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import types

import numpy as np
import pytest
import yaml
from reference import ROOT

from segformer_tf.training import RECIPES, Augmentation, read_split, training_data, workers, write_shards
from segformer_tf.training.datasets import Share
from segformer_tf.training.workers import host_names


def test_tf_config_is_taken_as_it_is():
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    assert workers.cluster({"TF_CONFIG": json.dumps(config)}) == config


@pytest.mark.parametrize("config", ["{", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}'])
def test_a_tf_config_that_cannot_be_is_told_with_what_is_expected(config):
    with pytest.raises(ValueError, match=r'TF_CONFIG is .*expected \{"cluster"'):
        workers.cluster({"TF_CONFIG": config})


def test_slurms_variables_make_a_tf_config():
    found = workers.cluster({"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "gpu[08-10],cpu1"})
    assert found["cluster"]["worker"] == ["gpu08:12345", "gpu09:12345", "gpu10:12345", "cpu1:12345"]
    assert found["task"] == {"type": "worker", "index": 2}
    with pytest.raises(ValueError, match="8 tasks on 1 machines, expected one each"):
        workers.cluster({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_NODELIST": "gpu1"})


def test_a_kubernetes_indexed_job_makes_a_tf_config():
    variables = {"JOB_COMPLETION_INDEX": "1", "WORKERS": "2", "WORKER_HOST": "train-{}.train", "WORKER_PORT": "99"}
    found = workers.cluster(variables)
    assert found["cluster"]["worker"] == ["train-0.train:99", "train-1.train:99"] and found["task"]["index"] == 1
    with pytest.raises(ValueError, match="WORKERS and WORKER_HOST are not set"):
        workers.cluster({"JOB_COMPLETION_INDEX": "1"})


def test_without_any_of_them_the_ways_are_told():
    with pytest.raises(ValueError, match="expected TF_CONFIG, or a start by Slurm's srun"):
        workers.cluster({})
    with pytest.raises(ValueError, match="distribute is 'both'; expected one of none, mirrored, multiworker"):
        workers.make_strategy("both")


@pytest.mark.parametrize("in_shards", [False, True])
def test_the_shares_of_two_workers_are_the_batches_of_one(data, tmp_path, in_shards):
    source = read_split(data, "train")
    if in_shards:
        write_shards(source, tmp_path / "shards", 3)
        source = read_split(tmp_path / "shards", "train")
    how = Augmentation(crop=(32, 64))

    def batches(size, share=None):
        made = training_data(source, how, size, seed=1, start=3, share=share).take(2)
        return np.array([pixel_values.numpy() for pixel_values, _ in made])

    whole = batches(4)
    shares = [batches(2, Share(4, worker, 2)) for worker in range(2)]
    assert np.array_equal(np.concatenate(shares, axis=1), whole)


@pytest.mark.parametrize(
    "change, told",
    [
        ({"batch_size": 3}, "batch_size is 3, expected a multiple of the 2 devices"),
        ({"accumulation_steps": 2}, "accumulation_steps is 2, expected 1"),
    ],
)
def test_what_several_devices_cannot_do_as_one_does_is_refused(change, told):
    class Two:
        num_replicas_in_sync = 2

    recipe = dataclasses.replace(RECIPES["fine-tune"], **change)
    workers.Workers().check(recipe)
    pair = workers.Workers()
    pair.strategy = Two()
    with pytest.raises(ValueError, match=told):
        pair.check(recipe)


def test_several_machines_do_not_lay_regions_over_each_other():
    class Two:
        num_replicas_in_sync = 2

    recipe = RECIPES["fine-tune"].changed({"augmentation.cut_rate": 0.5})
    found = workers.Workers()
    found.strategy = Two()
    found.check(recipe)  # two devices of one machine
    found.count = 2
    with pytest.raises(ValueError, match=r"cut_rate and paste_rate are 0.5 and 0.0, expected 0 on several machines"):
        found.check(recipe)


def test_workers_that_do_not_come_are_named_in_good_time():
    """In a process of its own, which ends."""
    with socket.socket() as here, socket.socket() as there:
        for free in (here, there):
            free.bind(("127.0.0.1", 0))
        here, there = (f"127.0.0.1:{free.getsockname()[1]}" for free in (here, there))
    config = {"cluster": {"worker": [here, there]}, "task": {"type": "worker", "index": 0}}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": json.dumps(config), "WORKER_SECONDS": "5"}
    code = "from segformer_tf.training import make_strategy; make_strategy('multiworker')"
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == -signal.SIGKILL
    assert f"segformer-tf: {there} did not come in 5 s, expected all of {here}, {there}: start the same" in run.stderr


def test_workers_with_other_data_recipes_or_weights_are_refused(data):
    class Others:
        """Three devices, of which the other two have what `theirs` was before."""

        num_replicas_in_sync = 3
        theirs = None

        def run(self, step):
            return step()

        def reduce(self, how, mine, axis):
            self.theirs = mine if self.theirs is None else self.theirs
            return mine + 2 * self.theirs

    def check(model, recipe, seed, **sources):
        pair.check_same(types.SimpleNamespace(get_weights=lambda: [np.full(3, model)]), recipe, seed, sources)

    pair, recipe, split = workers.Workers(), RECIPES["fine-tune"], read_split(data, "train")
    pair.strategy, pair.count, pair.index = Others(), 3, 1
    for _ in range(2):
        check(1.0, recipe, 0, train=split)
    fewer = dataclasses.replace(split, images=split.images[1:], targets=split.targets[1:])
    told = r"Worker 1 has not the same recipe, model, data \(train\) as the others, expected the same on all: "
    with pytest.raises(ValueError, match=told):
        check(2.0, recipe, 1, train=fewer)


class AsOne:
    """Four devices of two machines, where what this machine says is what all say."""

    num_replicas_in_sync = 4

    def run(self, step):
        return step()

    def reduce(self, how, mine, axis):
        return mine

    def distribute_datasets_from_function(self, make):
        return make(None)


def one_of_two(index):
    found = workers.Workers()
    found.strategy, found.count, found.index = AsOne(), 2, index
    return found


def test_the_first_of_several_machines_decides():
    assert one_of_two(0).agree(True) and not one_of_two(1).agree(True)


def test_a_machine_s_share_is_a_batch_of_each_device_its_number_and_the_count():
    assert one_of_two(1).distributed(lambda *share: share, 8) == (2, 1, 2)


def test_the_names_of_pictures_count_and_all_weights(data, monkeypatch):
    split = read_split(data, "train")
    other = dataclasses.replace(split, images=[split.images[0].with_name("other.png"), *split.images[1:]])
    assert workers._named(split) != workers._named(other)
    theirs, found = [], one_of_two(0)
    found.strategy.num_replicas_in_sync = 2
    monkeypatch.setattr(found.strategy, "reduce", lambda how, mine, axis: theirs.append(mine) or theirs[0] + mine)

    def check(first):
        model = types.SimpleNamespace(get_weights=lambda: [np.full(3, first), np.ones(2)])
        found.check_same(model, types.SimpleNamespace(to_dict=dict), 0, {})

    check(1.0)
    with pytest.raises(ValueError, match="not the same model"):
        check(2.0)


@pytest.mark.parametrize("theirs", [(0, 1.0), (4, 2.0)])
def test_a_worker_that_begins_elsewhere_or_is_not_told_to_go_on_is_refused(monkeypatch, theirs):
    told, found = [], one_of_two(1)
    found.strategy.num_replicas_in_sync = 2
    monkeypatch.setattr(found.strategy, "reduce", lambda how, mine, axis: told.append(mine) or told[0] + mine)

    def model(weight=1.0):
        return types.SimpleNamespace(get_weights=lambda: [np.full(3, weight)])

    for _ in range(2):
        found.check_start(theirs[0], model(theirs[1]))
    with pytest.raises(ValueError, match=r"Worker 1 begins at step 4 and another one elsewhere"):
        found.check_start(4, model())
    told.clear()
    found.check_same(model(), types.SimpleNamespace(to_dict=dict), 0, {}, True)
    with pytest.raises(ValueError, match=r"Worker 1 has not the same --resume as the others"):
        found.check_same(model(), types.SimpleNamespace(to_dict=dict), 0, {}, False)
    workers.Workers().check_start(4, None)  # alone it is asked nothing


def test_the_kubernetes_manifest_gives_the_variables_that_workers_are_found_by():
    service, job = yaml.safe_load_all((ROOT / "examples" / "distributed" / "job.yaml").read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    container = pod["containers"][0]
    variables = {each["name"]: each["value"] for each in container["env"]}
    found = workers.cluster({**variables, "JOB_COMPLETION_INDEX": "1"})
    name = job["metadata"]["name"]
    assert found["cluster"]["worker"] == [f"{name}-{i}.{service['metadata']['name']}:12345" for i in range(2)]
    assert (
        int(variables["WORKERS"]) == spec["completions"] == spec["parallelism"] and spec["completionMode"] == "Indexed"
    )
    assert pod["subdomain"] == service["metadata"]["name"] and service["spec"]["selector"]["job-name"] == name
    assert "--distribute multiworker" in container["args"][0]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("gpu[01-03,7],cpu1", "gpu01 gpu02 gpu03 gpu7 cpu1"),
        ("rack[1-2]node[1-2]", "rack1node1 rack1node2 rack2node1 rack2node2"),
        ("a[1,3]-b[08-09]c,d", "a1-b08c a1-b09c a3-b08c a3-b09c d"),
        ("", ""),
    ],
)
def test_slurm_s_lists_of_machines_are_read(text, names):
    assert list(host_names(text)) == names.split()
