"""The clients and manifests of examples/serving, run against the local server or read."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import kubernetes_validate
import numpy as np
import pytest
import yaml
from google.protobuf import text_format
from PIL import Image
from serving_models import decoded, encoded, model, picture, processor, random_model, running_server
from tensorflow_serving.config import model_server_config_pb2

from segformer_tf import ImageClassificationPipeline, SegmentationPipeline, TFSegformerForImageClassification
from segformer_tf.export.export import export
from segformer_tf.serving.server import ModelServer

EXAMPLES = Path(__file__).parents[2] / "examples" / "serving"
CLIENTS = ["rest_client.py", "grpc_client.py"]
MANIFESTS = [*sorted((EXAMPLES / "kubernetes").glob("*.yaml")), EXAMPLES / "fill-volume.yaml"]


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "street.jpg").write_bytes(encoded(picture(40, 60), "JPEG"))
    (tmp_path / "park.png").write_bytes(encoded(picture(70, 50, seed=1)))
    (tmp_path / "notes.txt").write_text("no picture")
    return [str(tmp_path / name) for name in ("street.jpg", "park.png", "notes.txt")]


def run(script, *arguments, env=None):
    command = [sys.executable, "-W", "ignore", str(EXAMPLES / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env)


def said(done):
    """The lines on stderr, without those of TensorFlow as it is loaded."""
    return [line for line in done.stderr.splitlines() if not line.startswith(("WARNING: All log", "I0000", "E0000"))]


@pytest.mark.long
@pytest.mark.parametrize("script", CLIENTS)
def test_clients_write_the_pipelines_masks_and_name_what_could_not_be_read(script, pictures, tmp_path):
    address = {
        "rest_client.py": ["--url", f"http://127.0.0.1:{running_server().rest_port}/v1/models/street"],
        "grpc_client.py": ["--address", f"127.0.0.1:{running_server().grpc_port}", "--model", "street"],
    }[script]
    done = run(script, *pictures, *address, "--output", str(tmp_path / "masks"))
    assert done.returncode == 1, done.stderr  # one of them
    assert "notes.txt: The data is not a picture" in done.stderr
    pipeline = SegmentationPipeline(model(), processor())
    for path in pictures[:2]:
        mask = decoded((tmp_path / "masks" / f"{Path(path).stem}_labels.png").read_bytes())
        assert (mask == pipeline(path).labels).all()
    failed = run(script, pictures[2], *address)
    assert failed.returncode == 1 and "The data is not a picture" in failed.stderr


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    directory = tmp_path_factory.mktemp("classifier") / "animals"
    classifier = random_model(TFSegformerForImageClassification, id2label={0: "cat", 1: "dog", 2: "owl"})
    export(classifier, directory, processor=processor())
    with ModelServer(directory, grpc_port=0, rest_port=0) as server:
        yield server, ImageClassificationPipeline(classifier, processor())


@pytest.mark.long
@pytest.mark.parametrize("script", CLIENTS)
def test_clients_print_what_a_classifier_says_and_write_nothing(script, animals, pictures, tmp_path):
    server, pipeline = animals
    address = {
        "rest_client.py": ["--url", f"http://127.0.0.1:{server.rest_port}/v1/models/animals"],
        "grpc_client.py": ["--address", f"127.0.0.1:{server.grpc_port}", "--model", "animals"],
    }[script]
    done = run(script, *pictures, *address, "--output", str(tmp_path / "masks"))
    assert done.returncode == 1 and "notes.txt: The data is not a picture" in done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and not (tmp_path / "masks").exists()
    for path, line in zip(pictures, lines, strict=False):
        said_scores = [part.rsplit(" ", 1) for part in line.removeprefix(f"{path}: ").split(", ")]
        expected = pipeline(path)
        assert [name for name, _ in said_scores] == [row["label"] for row in expected]
        assert [float(score) for _, score in said_scores] == pytest.approx([row["score"] for row in expected], abs=1e-3)


@pytest.mark.long
def test_the_load_script_asks_a_classifier(animals, pictures):
    address = ["--address", f"127.0.0.1:{animals[0].grpc_port}", "--model", "animals", "--clients", "2"]
    result = json.loads(run("load.py", *pictures[:2], *address, "--seconds", "0.2").stdout)
    assert result["errors"] == 0 and result["requests"] >= 2


@pytest.mark.parametrize("script", CLIENTS)
def test_clients_write_ids_of_16_bits_and_replace_nothing(script, small, tmp_path):
    """`small` gives back what it is given."""
    address = {
        "rest_client.py": ["--url", f"http://127.0.0.1:{small.rest_port}/v1/models/small"],
        "grpc_client.py": ["--address", f"127.0.0.1:{small.grpc_port}", "--model", "small"],
    }[script]
    wide, bad, masks = tmp_path / "wide.png", tmp_path / "bad.png", tmp_path / "masks"
    wide.write_bytes(encoded(Image.fromarray(np.arange(1000, dtype=np.uint16).reshape(10, 100))))
    bad.write_bytes(b"bad")
    options = [*address, "--output", str(masks)]
    done = run(script, str(wide), str(bad), *options)
    assert done.returncode == 1 and said(done) == [f"{bad}: It is bad."]
    assert f"{masks / 'wide_labels.png'}: 100 x 10, classes [0, 1, 2," in done.stdout and "999]" in done.stdout
    assert [file.name for file in masks.iterdir()] == ["wide_labels.png"]
    assert (masks / "wide_labels.png").read_bytes() == wide.read_bytes()
    (masks / "wide_labels.png").write_bytes(b"somebody's")
    refused = run(script, str(bad), str(wide), *options)
    assert refused.returncode == 1 and said(refused)[0].startswith(
        f"{masks / 'wide_labels.png'} exists, and nothing is"
    )
    assert (masks / "wide_labels.png").read_bytes() == b"somebody's"


@pytest.mark.parametrize("script", CLIENTS)
def test_clients_say_in_one_line_what_is_missing(script, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    a, other, option = str(tmp_path / "a.png"), str(tmp_path / "a.jpg"), "--url" if "rest" in script else "--address"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    nobody = [option, f"http://127.0.0.1:{port}/v1/models/m" if "rest" in script else f"127.0.0.1:{port}"]
    for pictures, told in (([a], f":{port}"), ([a, other], "Two pictures would be"), ([other], f"{other} cannot be")):
        failed = run(script, *pictures, *nobody, "--output", str(tmp_path / "masks"))
        assert failed.returncode == 1 and len(said(failed)) == 1 and told in failed.stderr, failed.stderr
    assert not (tmp_path / "masks").exists()


PYTRITON = """
class PyTritonClientError(Exception):
    pass
class ModelClient:
    def __init__(self, url, name, **options):
        if url.endswith(":1"):
            raise PyTritonClientError("timed out")
    __enter__ = lambda self: self
    __exit__ = lambda self, *error: None
    def infer_sample(self, data):
        return {"mask_bytes": [data[0]], "error": [b"It is bad." if data[0] == b"bad" else b""]}
"""


def test_triton_s_client_does_the_rest_where_one_is_refused_and_replaces_nothing(tmp_path):
    """With a stand-in for pytriton; `tests/servers` has the real one."""
    (tmp_path / "pytriton" / "client").mkdir(parents=True)
    (tmp_path / "pytriton" / "client" / "__init__.py").write_text(PYTRITON)
    (tmp_path / "pytriton" / "client" / "exceptions.py").write_text("from pytriton.client import PyTritonClientError")
    pictures = [str(tmp_path / name) for name in ("bad.png", "good.png")]
    for path, data in zip(pictures, (b"bad", b"good"), strict=True):
        Path(path).write_bytes(data)
    masks, environment = tmp_path / "masks", {**os.environ, "PYTHONPATH": str(tmp_path)}
    ask = ["--output", str(masks), "--ask", *pictures]
    failed = run("triton_predictor.py", "--http", "1", *ask, env=environment)
    assert failed.returncode == 1 and failed.stderr.startswith("http://localhost:1 does not answer (timed out): start")
    done = run("triton_predictor.py", *ask, env=environment)
    assert done.returncode == 1 and done.stderr == f"{pictures[0]}: It is bad.\n"
    assert {file.name: file.read_bytes() for file in masks.iterdir()} == {"good_labels.png": b"good"}
    refused = run("triton_predictor.py", *ask, env=environment)
    assert refused.returncode == 1 and "good_labels.png exists" in refused.stderr


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b'{"error": "no such model"}', "no such model"),
        (b"<html>Bad Gateway</html>", "HTTP Error 502: Bad Gateway: <html>Bad Gateway</html>"),
    ],
)
def test_the_rest_client_shows_what_a_gateway_says(answer, told, tmp_path):
    class Gateway(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(502)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    (tmp_path / "a.png").write_bytes(b"")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{gateway.server_port}/v1/models/m"
        failed = run("rest_client.py", str(tmp_path / "a.png"), "--url", url, "--output", str(tmp_path / "masks"))
        gateway.shutdown()
    assert failed.returncode == 1 and failed.stderr == f"{url}: {told}\n"


@pytest.mark.long
def test_the_load_script_reports_rate_latency_and_errors(pictures):
    address = ["--address", f"127.0.0.1:{running_server().grpc_port}", "--model", "street", "--clients", "2"]
    done = run("load.py", *pictures[:2], *address, "--seconds", "0.5")
    result = json.loads(done.stdout)
    assert done.returncode == 0 and result["errors"] == 0 and result["requests"] >= 2
    assert result["pictures_per_second"] > 0 and 0 < result["median_ms"] <= result["p99_ms"]
    failed = run("load.py", pictures[2], *address, "--seconds", "0.1")
    assert failed.returncode == 1 and "not a picture" in json.loads(failed.stdout)["first_error"]


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_manifests_are_what_kubernetes_takes(path, version):
    kubernetes_validate.validate(yaml.safe_load(path.read_text()), version, strict=True)


def test_the_compose_file_is_what_docker_compose_takes(tmp_path):
    compose = str(Path(sys.executable).with_name("docker-compose"))  # the program itself; `config` needs no daemon
    text = (EXAMPLES / "docker-compose.yml").read_text()
    (tmp_path / "docker-compose.yml").write_text(text)
    command = [compose, "-f", str(tmp_path / "docker-compose.yml"), "config", "--quiet"]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
    (tmp_path / "docker-compose.yml").write_text(text.replace("ports:", "portz:"))
    assert "portz" in subprocess.run(command, capture_output=True, text=True).stderr


def test_a_misspelt_key_in_a_manifest_would_be_found():
    manifest = yaml.safe_load((EXAMPLES / "kubernetes/deployment.yaml").read_text())
    manifest["spec"]["template"]["spec"]["securitycontext"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_manifests_fit_together():
    kinds = {}
    for path in MANIFESTS:
        manifest = yaml.safe_load(path.read_text())
        kinds[manifest["kind"]] = manifest
    assert set(kinds) == {
        "ConfigMap",
        "Deployment",
        "HorizontalPodAutoscaler",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "Service",
    }
    deployment = kinds["Deployment"]
    selected = kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]
    assert selected == deployment["spec"]["selector"]["matchLabels"]
    filling = kinds["Pod"]["spec"]
    for spec in (deployment["spec"]["template"]["spec"], filling):
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"]
        assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    (volume,) = filling["volumes"]
    assert volume["persistentVolumeClaim"] == {"claimName": kinds["PersistentVolumeClaim"]["metadata"]["name"]}
    assert kinds["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert kinds["Service"]["spec"]["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    assert kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/v1/models/segformer"
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["config"]["configMap"]["name"] == kinds["ConfigMap"]["metadata"]["name"]
    claim = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claim == kinds["PersistentVolumeClaim"]["metadata"]["name"]


def test_the_manifests_configuration_is_the_servers():
    files = yaml.safe_load((EXAMPLES / "kubernetes/config.yaml").read_text())["data"]
    config = text_format.Parse(files["models.config"], model_server_config_pb2.ModelServerConfig())
    (served,) = config.model_config_list.config
    assert dict(served.version_labels) == {"stable": 1, "canary": 2}
    deployment = yaml.safe_load((EXAMPLES / "kubernetes/deployment.yaml").read_text())
    compose = yaml.safe_load((EXAMPLES / "docker-compose.yml").read_text())["services"]["segformer"]
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert [arg for arg in arguments if arg not in compose["entrypoint"]] == compose["command"]
    for name in files:
        assert any(arg.endswith(f"=/config/{name}") for arg in arguments)
