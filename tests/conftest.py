"""The environment of every test, and what many tests share: a tiny configuration, pictures that are not square."""

import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

# The caller's settings would change what libraries do as they are imported, and what a terminal shows. They go before
# anything is imported, here and so in every process that a test starts. TF_ENABLE_ONEDNN_OPTS stays: the tests hold
# with and without oneDNN.
SETTINGS = re.compile(
    r"(HF|HUGGING_?FACE|KERAS|TF|XLA|OPENVINO|TRANSFORMERS)_\w+"
    r"|PYTHON(WARNINGS|OPTIMIZE|IOENCODING|UTF8|DEVMODE|HASHSEED)|PYTEST_THEME\w*"
    r"|NO_COLOR|(CLI|PY|FORCE_)_?COLORS?(_FORCE)?|GITHUB_ACTIONS|TTY_\w+|JUPYTER_\w+|COLUMNS|LINES"
    r"|TERMINAL_WIDTH|_?TYPER_\w+"
    r"|LC_\w+|LANG(UAGE)?|TZ|(https?|all|ftp|no)_proxy",
    re.IGNORECASE,
)
for name in [name for name in os.environ if SETTINGS.fullmatch(name) and name != "TF_ENABLE_ONEDNN_OPTS"]:
    del os.environ[name]
HOME = tempfile.mkdtemp(prefix="segformer-tf-tests-")  # without a keras.json, a token, or downloaded checkpoints
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ |= {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_HOME": f"{HOME}/keras",
    "HF_HOME": f"{HOME}/huggingface",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "NVIDIA_TF32_OVERRIDE": "0",  # on a GPU: float32 as it is written, and memory as it is needed
    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    "MPLBACKEND": "agg",
    "LC_ALL": "C.UTF-8",
    "TERM": "xterm",
    "COLUMNS": "120",
    "TZ": "UTC",
}
os.umask(0o022)
# The suite is the same with and without these, of the extras `export` and `int8`: tests that need them are elsewhere.
RUNTIMES = "onnx", "tf2onnx", "onnxruntime", "openvino", "nncf", "ai_edge_litert"
WITH_RUNTIMES = {"runtimes", "parity", "chromium", "engines", "servers"}
# Scripts start background jobs with Ctrl-C ignored, `nohup` others with SIGHUP: every process that a test starts would
# inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in [getattr(signal, name) for name in ("SIGHUP", "SIGTERM") if hasattr(signal, name)]:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

import numpy as np
import pytest
from hub_server import HubServer
from reference import SMALL, TINY


@pytest.fixture(autouse=True)
def no_runtimes(request, monkeypatch):
    if not WITH_RUNTIMES & set(request.path.relative_to(request.config.rootpath).parts):
        for name in RUNTIMES:
            monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed


@pytest.fixture
def tiny_config():
    from segformer_tf import SegformerConfig

    return SegformerConfig(**TINY)


@pytest.fixture
def small_config():
    """Two stages of one block: half of `tiny_config`'s time, where the number of stages does not matter."""
    from segformer_tf import SegformerConfig

    return SegformerConfig(**SMALL)


@pytest.fixture(autouse=True)
def same_random_numbers():
    import keras

    keras.utils.set_random_seed(0)


@pytest.fixture
def pixels():
    """Two pictures of 64 x 96, channels-last."""
    return np.random.default_rng(0).normal(size=(2, 64, 96, 3)).astype("float32")


@pytest.fixture
def labels():
    """Class ids 0 to 4 for `pixels`, the upper rows ignored."""
    ids = np.random.default_rng(1).integers(0, 5, size=(2, 64, 96))
    ids[:, :8] = 255
    return ids


@pytest.fixture(scope="session")
def fixtures() -> Path:
    return Path(__file__).parent / "fixtures"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A running local Hub that huggingface_hub talks to, with an empty cache and no waiting between retries."""
    from huggingface_hub import constants, file_download

    server = HubServer()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    for module in (constants, file_download):  # huggingface_hub 0.27 has it in both
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    yield server
    server.stop()
