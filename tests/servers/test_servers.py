"""The exported model behind two servers that are not ours gives the pipeline's masks: `make test-servers`.

Each server runs in an environment of its own, `.venv-kserve` and `.venv-triton` beside `.venv`.
"""

import contextlib
import io
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference import ROOT
from serving_models import encoded, exported, model, picture, processor

from segformer_tf import SegmentationPipeline

FILES = [encoded(picture(40 + i, 60, seed=i)) for i in range(3)]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def running(environment: str, *arguments: str, log: Path):
    """The process of an example in its environment, ended at the end."""
    python = Path(os.environ.get("SERVERS", ROOT)) / environment / "bin" / "python"
    assert python.exists(), f"{python} is not there: make test-servers"
    with log.open("w") as stream:
        process = subprocess.Popen([python, *arguments], cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, process, log: Path) -> None:
    end = time.monotonic() + 240
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            pass
        assert process.poll() is None and time.monotonic() < end, log.read_text()[-3000:]
        time.sleep(0.5)


def check(masks: list[bytes]) -> None:
    segment = SegmentationPipeline(model(), processor())
    for data, mask in zip(FILES, masks, strict=True):
        found = np.asarray(Image.open(io.BytesIO(mask)))
        assert np.array_equal(found, segment(data).labels)


def test_kserve_gives_the_pipelines_masks(tmp_path):
    import base64

    sys.path.insert(0, str(ROOT / "examples" / "serving"))
    import rest_client

    port, log = free_port(), tmp_path / "kserve.txt"
    command = [
        "examples/serving/kserve_predictor.py",
        "--model_name",
        "segformer",
        "--directory",
        str(exported() / "1"),
    ]
    command += ["--http_port", str(port), "--enable_grpc", "false"]
    with running(".venv-kserve", *command, log=log) as process:
        url = f"http://127.0.0.1:{port}/v1/models/segformer"
        wait_for(url, process, log)
        answers = rest_client.segment(url, FILES)
        check([base64.b64decode(answer["mask_bytes"]["b64"]) for answer in answers])
        bad = rest_client.segment(url, [b"no picture"])[0]
        assert bad["error"].startswith("The data is not a picture")
        with pytest.raises(urllib.error.HTTPError, match="400"):
            json_of_one = {"data": b'{"instances": [1]}', "headers": {"Content-Type": "application/json"}}
            urllib.request.urlopen(urllib.request.Request(f"{url}:predict", **json_of_one), timeout=60)


def test_triton_gives_the_pipelines_masks(tmp_path):
    port, log, script = free_port(), tmp_path / "triton.txt", "examples/serving/triton_predictor.py"
    for number, data in enumerate(FILES):
        (tmp_path / f"{number}.png").write_bytes(data)
    with running(".venv-triton", script, str(exported() / "1"), "--http", str(port), log=log) as process:
        wait_for(f"http://127.0.0.1:{port}/v2/models/segformer/ready", process, log)
        pictures = [str(tmp_path / f"{number}.png") for number in range(len(FILES))]
        ask = [process.args[0], script, "--http", str(port), "--output", str(tmp_path / "masks"), "--ask", *pictures]
        subprocess.run(ask, cwd=ROOT, check=True, timeout=240)
    check([(tmp_path / "masks" / f"{number}_labels.png").read_bytes() for number in range(len(FILES))])
