"""Labels that are moved while requests go on: every request for one is answered, by the old version or by the new."""

import contextlib
import shutil
import threading
import time

import grpc
import numpy as np
import pytest
from small_servables import predict_request, rest, serving, stub, until, write_servable
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from segformer_tf.serving.config import Policy, serving_config
from segformer_tf.serving.labels import Labels
from segformer_tf.serving.server import ModelServer
from segformer_tf.serving.versions import Version

ASK = {"signature_name": "logits", "instances": [[[[1.0, 1.0, 1.0]]]]}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exports")
    return [write_servable(directory / str(i), float(i)) for i in (1, 2, 3, 4)]


@pytest.fixture
def loads():
    """While it is not set, no version is loaded to its end."""
    event = threading.Event()
    event.set()
    yield event
    event.set()


@pytest.fixture
def base(exports, tmp_path, monkeypatch, loads):
    """A model directory with versions 1, 2 and 3, each of which takes a while to load."""
    for export in exports[:3]:
        shutil.copytree(export, tmp_path / "small" / export.name)
    warm_up = Version.warm_up

    def slowly(version):
        time.sleep(0.4)
        assert loads.wait(30)
        warm_up(version)

    monkeypatch.setattr(Version, "warm_up", slowly)
    return tmp_path / "small"


@pytest.fixture
def write(base, tmp_path):
    """Writes the configuration file with these labels."""

    def written(**labels):
        for number in labels.values():
            (base / str(number)).mkdir(exist_ok=True)  # `serve-config` wants it there
        (tmp_path / "models.config").write_text(serving_config(base, name="small", labels=labels)["models.config"])
        return tmp_path / "models.config"

    return written


def by_rest(server, label):
    """The version that answers for a label, or what is wrong."""
    status, answer = rest(server, ASK, f"/labels/{label}:predict")
    return int(answer["predictions"][0][0][0][0]) if status == 200 else answer["error"]


def by_grpc(server, channel, label):
    request = predict_request("logits", pixel_values=np.ones((1, 1, 1, 3), "f4"))
    request.model_spec.version_label = label
    try:
        return stub(server, channel).Predict(request).model_spec.version.value
    except grpc.RpcError as error:
        return error.details()


def by_status(server, label):
    status, answer = rest(server, path=f"/labels/{label}")
    if status != 200:
        return answer["error"]
    (row,) = answer["model_version_status"]
    return int(row["version"]) if row["state"] == "AVAILABLE" else row["state"]


def by_grpc_status(channel, label):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name, request.model_spec.version_label = "small", label
    try:
        (row,) = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request).model_version_status
        return row.version
    except grpc.RpcError as error:
        return error.details()


@contextlib.contextmanager
def asked_all_the_time(server, label):
    """What each way of asking was told, one after the other, repeats left out."""
    told = {"REST": [], "gRPC": [], "status": [], "gRPC status": []}
    stop = threading.Event()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:

        def ask():
            while not stop.is_set():
                for way, answer in (
                    ("REST", by_rest(server, label)),
                    ("gRPC", by_grpc(server, channel, label)),
                    ("status", by_status(server, label)),
                    ("gRPC status", by_grpc_status(channel, label)),
                ):
                    if told[way][-1:] != [answer]:
                        told[way].append(answer)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert until(lambda: all(told.values()))
            yield told
        finally:
            stop.set()
            thread.join()


def every_way_says(told, number):
    return until(lambda: all(each[-1:] == [number] for each in told.values()))


def every_way(told):
    """What all ways were told alike."""
    assert all(each == told["REST"] for each in told.values()), told
    return told["REST"]


def test_a_label_is_moved_and_moved_back_without_one_request_that_fails(base, write):
    with serving(base, poll=0.1, policy=Policy(file=write(stable=1))) as server:
        with asked_all_the_time(server, "stable") as told:
            for number in (2, 1):
                write(stable=number)
                assert every_way_says(told, number), told
        assert every_way(told) == [1, 2, 1]
        assert until(lambda: server.model.versions == [1])


def test_labels_that_are_moved_in_one_change_each_go_on(base, write):
    with serving(base, poll=0.1, policy=Policy(file=write(stable=1, canary=2))) as server:
        with asked_all_the_time(server, "stable") as stable, asked_all_the_time(server, "canary") as canary:
            write(stable=2, canary=3)
            assert every_way_says(stable, 2) and every_way_says(canary, 3), (stable, canary)
        assert (every_way(stable), every_way(canary)) == ([1, 2], [2, 3])
        assert until(lambda: server.model.versions == [2, 3])


@pytest.mark.parametrize("directory_stays", [True, False])
def test_a_label_for_a_broken_version_stays_at_the_old_one_until_that_is_mended(
    exports, base, write, directory_stays, caplog
):
    with serving(base, poll=0.1, policy=Policy(file=write(stable=1, canary=2))) as server:
        with asked_all_the_time(server, "stable") as told:
            (base / "4").mkdir()
            (base / "4/saved_model.pb").write_bytes(b"broken")
            write(stable=4, canary=2)  # 1 is not wanted any more
            if not directory_stays:
                shutil.rmtree(base / "1")
            assert until(lambda: 4 in server.model.states and server.model.states[4].error)
            server.model._stop.wait(0.3)  # it looks again
            assert server.model.versions == [1, 2]
            shutil.copytree(exports[3], base / "4", dirs_exist_ok=True)
            assert every_way_says(told, 4), told
        assert every_way(told) == [1, 4]
        assert until(lambda: server.model.versions == [2, 4])
    assert caplog.text.count("The label stable is for version 4, which is not loaded: version 1 goes on.") == 1


def test_a_new_label_for_a_broken_version_says_so_and_a_removed_one_goes_at_once(base, write, loads):
    with serving(base, poll=0.1, policy=Policy(file=write(stable=1, canary=2))) as server:
        write(stable=1, canary=2, broken=4)
        assert until(lambda: 4 in server.model.states and server.model.states[4].error)
        for said in (by_rest(server, "broken"), by_status(server, "broken")):
            assert said.startswith(
                "The label 'broken' of small is for version 4, which cannot be loaded, expected one of canary, stable: "
                "FileNotFoundError: There is no saved_model.pb in "
            )
        loads.clear()
        write(stable=1, fresh=3)
        assert until(lambda: 3 in server.model.states)  # which is not loaded, and canary has gone already
        assert by_rest(server, "canary") == "There is no label 'canary' of small, expected one of stable."
        assert by_rest(server, "fresh") == (
            "The label 'fresh' of small is for version 3, which is not loaded yet, expected one of stable."
        )
        loads.set()
        assert until(lambda: by_rest(server, "fresh") == 3)


def test_a_labelled_version_that_vanishes_is_dropped_with_its_label(base, write):
    with serving(base, poll=0.1, policy=Policy(file=write(stable=1, canary=2))) as server:
        shutil.rmtree(base / "2")
        assert until(lambda: server.model.versions == [1])
        assert by_rest(server, "canary").endswith("version 2, which is not loaded yet, expected one of stable.")
        write(stable=4)
        shutil.rmtree(base)
        assert until(lambda: server.model.versions == [])  # nothing is kept where nothing is left
        assert by_rest(server, "stable").endswith("which is not loaded yet, expected one of none.")


def test_a_version_that_comes_back_while_requests_hold_it_is_available(base):
    with serving(base, policy=Policy(frozenset({1}), {"stable": 1})) as server:
        model = server.model
        with model.using(label="stable"):
            for number in (2, 1):
                model.policy.versions, model.policy.labels = frozenset({number}), {"stable": number}
                model.look()
        model.look()  # lets go of what the request held
        assert model.versions == [1] and {n: state.state for n, state in model.states.items()} == {
            1: "AVAILABLE",
            2: "END",
        }


def test_a_label_for_a_version_that_is_not_there_is_named_at_the_start(base):
    with pytest.raises(FileNotFoundError, match=r"There is no version 9 in .*, expected one of 1, 2, 3\."):
        ModelServer(base, "small", grpc_port=0, rest_port=0, policy=Policy(frozenset({9}), {"stable": 9})).start()


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [
        ("", [3]),
        ("model_version_policy { latest { num_versions: 2 } }", [2, 3]),
        ("model_version_policy { all {} }", [1, 2, 3]),
        ("model_version_policy { specific { versions: 1 versions: 3 } }", [1, 3]),
    ],
)
def test_the_policy_says_which_versions_are_loaded_and_labels_name_some_of_them(base, tmp_path, policy, loaded):
    labels = "".join(f'version_labels {{ key: "of-{number}" value: {number} }} ' for number in (1, 2, 3, 9))
    config = tmp_path / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "small" base_path: "/models/small" {policy} {labels} }} }}'
    )
    with serving(base, policy=Policy(file=config)) as server:
        assert server.model.versions == loaded
        expected = ", ".join(f"of-{number}" for number in loaded)
        for number in (1, 2, 3):
            told = (
                f"The label 'of-{number}' of small is for version {number}, which the version policy does not load, "
                f"expected one of {expected}: add it to the policy, or move the label."
            )
            answer = number if number in loaded else told
            with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
                assert by_rest(server, f"of-{number}") == answer == by_grpc(server, channel, f"of-{number}")
        assert "version 9, which is not loaded yet, " in str(by_rest(server, "of-9"))  # it is not there


def test_labels_follow_what_is_loaded(caplog):
    labels = Labels()
    labels.move({"stable": 1, "canary": 2}, {1})
    assert labels.now == {"stable": 1} and labels.kept() == set()
    assert "The label canary is for version 2, which is not loaded: requests for it fail." in caplog.text
    labels.move({"stable": 3, "canary": 2}, {1, 2})
    assert labels.now == {"stable": 1, "canary": 2} and labels.kept() == {1}
    labels.move({"stable": 2}, {1, 2})  # another wish before the first came true
    assert labels.now == {"stable": 2} and labels.kept() == set()
