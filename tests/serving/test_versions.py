"""Versions and labels as TF Serving has them, tried on running servers: rollout, canary, rollback."""

import shutil
import socket
import threading

import grpc
import numpy as np
import pytest
import tensorflow as tf
from small_servables import held, predict_request, rest, serving, stub, until, write_servable
from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

from segformer_tf.serving.config import Policy, serving_config
from segformer_tf.serving.server import ModelServer

ASK = {"signature_name": "logits", "instances": [[[[1.0, 1.0, 1.0]]]]}


def answer(server, path=":predict"):
    """The factor of the version that answers, or the status."""
    status, found = rest(server, ASK, path)
    return found["predictions"][0][0][0][0] if status == 200 else status


def found(server, path):
    """The same for what is there all the time."""
    factor = answer(server, path)
    assert factor != 404
    return factor


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exports")
    return [write_servable(directory / str(i), float(i)) for i in (1, 2, 3)]


@pytest.fixture
def base(exports, tmp_path):
    """A model directory with version 1."""
    shutil.copytree(exports[0], tmp_path / "small/1")
    return tmp_path / "small"


def add(exports, base, number):
    """As `export` does: the version appears whole."""
    shutil.copytree(exports[number - 1], base.parent / "draft")
    (base.parent / "draft").rename(base / str(number))


def test_a_new_version_is_taken_up_and_a_vanished_one_dropped_while_requests_go_on(exports, base):
    with serving(base, poll=0.1) as server:
        assert answer(server) == answer(server, "/versions/1:predict") == 1
        with held(server) as (go, begun):
            late = []
            thread = threading.Thread(target=lambda: late.append(answer(server)))
            thread.start()
            assert begun.wait(20)
            add(exports, base, 2)
            assert until(lambda: server.model.versions == [2])
            assert answer(server) == answer(server, "/versions/2:predict") == 2  # while version 1 is still at work
            go.set()
            thread.join()
        assert late == [1]
        assert until(lambda: server.model.states[1].state == "END")
        assert answer(server, "/versions/1:predict") == 404
        shutil.rmtree(base / "2")  # the rollback
        assert until(lambda: server.model.versions == [1]) and answer(server) == 1
        states = rest(server, path="")[1]["model_version_status"]
        assert [(each["version"], each["state"]) for each in states][-1] == ("1", "AVAILABLE")


def test_a_broken_version_is_told_and_the_old_one_goes_on(exports, base):
    with serving(base, poll=0.1) as server:
        (base / "2").mkdir()
        (base / "2/saved_model.pb").write_bytes(b"broken")
        assert until(lambda: 2 in server.model.states and server.model.states[2].error)
        assert answer(server) == 1
        (status,) = rest(server, path="/versions/2")[1]["model_version_status"]
        assert status["state"] == "END" and status["status"]["error_message"]
        shutil.copytree(exports[1], base / "2", dirs_exist_ok=True)
        assert until(lambda: server.model.versions == [2]) and answer(server) == 2


def test_a_link_that_leads_nowhere_stops_neither_its_version_nor_the_others(exports, base):
    add(exports, base, 2)
    (base / "2/notes.txt").symlink_to("nowhere")
    with serving(base) as server:
        assert answer(server) == 2
        (base / "3").mkdir()
        (base / "3/link").symlink_to("nowhere")
        server.model.look()
        assert server.model.states[3].error and server.model.versions == [2]
        (base / "3/link").unlink()
        shutil.copytree(exports[2], base / "3", dirs_exist_ok=True)
        server.model.look()
        assert answer(server) == 3


def test_a_start_that_failed_leaves_both_ports_free_and_may_be_tried_again(exports, base):
    server = ModelServer(base, "small", grpc_port=0, rest_port=0, poll=0.1, policy=Policy(frozenset({2})))
    with pytest.raises(FileNotFoundError, match="There is no version 2"):
        server.start()
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", server.grpc_port))
    add(exports, base, 2)
    with server:  # on the same port
        assert answer(server) == 2
        server.model.policy.versions = frozenset({3})
        add(exports, base, 3)
        assert until(lambda: server.model.versions == [3])


def test_labels_are_moved_and_moved_back_by_the_configuration_file(exports, base, tmp_path):
    add(exports, base, 2)
    add(exports, base, 3)
    config = tmp_path / "models.config"

    def write(**labels):
        config.write_text(serving_config(base, name="small", labels=labels)["models.config"])

    write(stable=1, canary=2)
    with serving(base, poll=0.1, policy=Policy(file=config)) as server:
        stable, canary = "/labels/stable:predict", "/labels/canary:predict"
        assert (answer(server, stable), answer(server, canary), answer(server, "/versions/3:predict")) == (1, 2, 404)
        request = predict_request("logits", pixel_values=np.ones((1, 1, 1, 3), "f4"))
        request.model_spec.version_label = "canary"
        response = stub(server).Predict(request)
        assert response.model_spec.version.value == 2
        assert (tf.make_ndarray(response.outputs["logits"]) == 2).all()
        assert rest(server, path="/labels/stable")[1]["model_version_status"][0]["version"] == "1"
        write(stable=2, canary=3)
        assert until(lambda: found(server, canary) == 3) and answer(server, stable) == 2
        config.write_text("no configuration {")  # changes nothing
        assert answer(server, stable) == 2
        write(stable=1)  # the rollback
        assert until(lambda: found(server, stable) == 1) and answer(server, canary) == 404
        assert "There is no label 'canary' of small, expected one of stable" in rest(server, ASK, canary)[1]["error"]


def test_a_pinned_version_stays_whatever_comes(exports, base):
    add(exports, base, 2)
    with serving(base, poll=0.1, policy=Policy(frozenset({1}))) as server:
        add(exports, base, 3)
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            request = get_model_status_pb2.GetModelStatusRequest()
            request.model_spec.name = "small"
            states = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request).model_version_status
        server.model.look()
        assert [each.version for each in states] == [1] == server.model.versions
    with pytest.raises(FileNotFoundError, match=r"There is no version 7 in .*, expected one of 1, 2, 3"):
        serving(base, policy=Policy(frozenset({7}))).__enter__()


def test_policies_choose_among_what_is_there(tmp_path):
    assert Policy().wanted([1, 2, 10]) == {10} and Policy(latest=None).wanted([1, 2]) == {1, 2}
    assert Policy(frozenset({1, 4}), {"canary": 2}).wanted([1, 2, 3]) == {1}  # labels load nothing
    assert Policy(labels={"canary": 1}).wanted([1, 2]) == {2}
    (tmp_path / "models.config").write_text("model_config_list { }", "utf-8-sig")  # as editors on Windows save it
    with pytest.raises(ValueError, match="has entries for no model, expected small"):
        Policy(file=tmp_path / "models.config", name="small")


@pytest.mark.parametrize("version", ["9" * 5000, "9" * 20, "abc", "1.0", "-1", "%D9%A1"])
def test_a_version_that_is_no_number_is_not_found(small, version):
    for body, path in ((None, ""), (None, "/metadata"), ({"instances": ["picture"]}, ":predict")):
        status, answer = rest(small, body, f"/versions/{version}{path}")
        assert status == 404 and answer["error"].endswith("expected a whole number of up to 19 digits.")
