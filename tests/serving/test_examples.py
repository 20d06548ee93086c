"""The clients and manifests of examples/serving, run against the local server or read."""

import json
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from serving_models import decoded, encoded, model, picture, processor, running_server
from tensorflow_serving.config import model_server_config_pb2

from segformer_tf import SegmentationPipeline

EXAMPLES = Path(__file__).parents[2] / "examples" / "serving"
MANIFESTS = [*sorted((EXAMPLES / "kubernetes").glob("*.yaml")), EXAMPLES / "fill-volume.yaml"]


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "street.jpg").write_bytes(encoded(picture(40, 60), "JPEG"))
    (tmp_path / "park.png").write_bytes(encoded(picture(70, 50, seed=1)))
    (tmp_path / "notes.txt").write_text("no picture")
    return [str(tmp_path / name) for name in ("street.jpg", "park.png", "notes.txt")]


def run(script, *arguments):
    command = [sys.executable, "-W", "ignore", str(EXAMPLES / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.long
@pytest.mark.parametrize("script", ["rest_client.py", "grpc_client.py"])
def test_clients_write_the_pipelines_masks_and_name_what_could_not_be_read(script, pictures, tmp_path):
    address = {
        "rest_client.py": ["--url", f"http://127.0.0.1:{running_server().rest_port}/v1/models/street"],
        "grpc_client.py": ["--address", f"127.0.0.1:{running_server().grpc_port}", "--model", "street"],
    }[script]
    done = run(script, *pictures, *address, "--output", str(tmp_path / "masks"))
    assert done.returncode == 0, done.stderr
    assert "notes.txt: The data is not a picture" in done.stderr
    pipeline = SegmentationPipeline(model(), processor())
    for path in pictures[:2]:
        mask = decoded((tmp_path / "masks" / Path(path).with_suffix(".png").name).read_bytes())
        assert (mask == pipeline(path).labels).all()
    failed = run(script, pictures[2], *address)
    assert failed.returncode == 1 and "The data is not a picture" in failed.stderr


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
