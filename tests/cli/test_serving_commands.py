"""`export`, `serve` and `serve-config` as people call them."""

import base64
import json
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import local_server
import numpy as np
import pytest
from small_data import small_checkpoint

from segformer_tf import SegformerImageProcessor, SegmentationPipeline
from segformer_tf.cli import main

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A small checkpoint with a processor for 64 x 96."""
    directory = shutil.copytree(small_checkpoint(), tmp_path_factory.mktemp("tiny") / "tiny")
    SegformerImageProcessor(size=(64, 96)).save_pretrained(directory)
    return directory


def png(image):
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.long
def test_export_and_serve_answer_over_rest_until_they_are_stopped(checkpoint, tmp_path, capsys):
    main_quietly(["export", str(checkpoint), str(tmp_path / "tiny"), "--signature", "serving_default"])
    assert re.match(r"wrote .*tiny/1: largest difference from the model 0 ", capsys.readouterr().out)
    # Started as scripts start background jobs: with SIGINT ignored.
    ignoring = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")
    with local_server.running(tmp_path / "tiny", before=ignoring) as server:
        assert server.url.endswith("/v1/models/tiny")
        body = {"instances": [{"b64": base64.b64encode(png(PICTURE)).decode()}]}
        with urllib.request.urlopen(f"{server.url}:predict", json.dumps(body).encode()) as answer:
            row = json.load(answer)["predictions"][0]
        from PIL import Image

        (tmp_path / "mask.png").write_bytes(base64.b64decode(row["mask_bytes"]["b64"]))
        expected = SegmentationPipeline.from_pretrained(checkpoint)(PICTURE).labels
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "mask.png")), expected)
    assert server.process.returncode == 0 and server.last_output == "stopping\n"


@pytest.mark.long
def test_merged_queries_reach_the_file_and_cannot_be_added_to_it(checkpoint, tmp_path, capsys):
    main_quietly(["export", str(checkpoint), str(tmp_path / "tiny"), "--merge-queries", "1", "2", "--merge-keys", "2"])
    segment = SegmentationPipeline.from_pretrained(tmp_path / "tiny")
    assert segment.config.merge_queries == [1, 2] and segment.config.merge_keys == [2]
    own = SegmentationPipeline.from_pretrained(checkpoint, merge_queries=[1, 2], merge_keys=[2])
    assert (segment(PICTURE).labels == own(PICTURE).labels).mean() > 0.999
    with pytest.raises(TypeError, match=r"merge_queries cannot change the exported file .*: `export` can"):
        SegmentationPipeline.from_pretrained(tmp_path / "tiny", merge_queries=[1])


def main_quietly(arguments):
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code in (0, None)


def test_export_compares_on_a_picture_and_prints_json(checkpoint, tmp_path, capsys):
    (photo := tmp_path / "photo.png").write_bytes(png(PICTURE))
    main_quietly(["export", str(checkpoint), str(tmp_path), "--format", "keras", "--json", "--picture", str(photo)])
    written = json.loads(capsys.readouterr().out)
    assert written["path"] == str(tmp_path / "model.keras") and written["same_labels"] == 1.0


@pytest.mark.parametrize("option", ["--format", "--weights", "--data-format", "--labels-at"])
def test_an_unknown_value_of_an_option_is_a_wrong_call(checkpoint, tmp_path, capsys, option):
    with pytest.raises(SystemExit) as done:
        main(["export", str(checkpoint), str(tmp_path / "new"), option, "nope"])
    error = capsys.readouterr().err
    assert done.value.code == 2 and f"'{option}': 'nope' is not one of '" in error and error.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "keras", "--tolerance", "-1"], "tolerance is -1.0, expected 0 or more"),
        (["--dtype", "foo"], "--dtype"),
        (
            ["--dtype", "mixed_bfloat16", "--format", "onnx"],
            "dtype is 'mixed_bfloat16' for onnx, expected 'float32'",
        ),
        (["--signature", "classify"], "'classify' is not one of 'serving_default', 'segment_tensor'"),
        (["--size", "20", "20"], "size is 20 x 20, expected at least 32 a side"),
        (["--size", "0", "0"], "size is 0 x 0, expected at least 32 a side"),
        (["--batch", "0", "--format", "onnx"], "batch is 0, expected a number above 0"),
        (["--batch", "2"], "batch is 2 for saved_model, expected none"),
        (["--weights", "int8"], "weights is 'int8', expected float32 for saved_model"),
        (["--size", "64", "64", "--format", "keras"], "--size: size is 64 x 64 for keras, expected none"),
        (["--signature", "logits", "--format", "onnx"], "--signature: names is ['logits'] for onnx, expected none"),
        (["--labels-at", "input", "--format", "litert"], "--labels-at: labels_at is 'input' for litert"),
        (["--picture", __file__], "--picture: picture is given for saved_model, expected none"),
        (["--for", "transformers.js"], "--for: program is 'transformers.js' for saved_model, expected"),
        (
            ["--calibrate", "."],
            "--calibrate: calibration is for weights \"int8\" and openvino; weights is 'float32'",
        ),
        (["--data-format", "channels_first"], "--data-format: has no use for --format saved_model"),
        (["--max-drop", "1", "--format", "openvino"], "--max-drop: is for --calibrate"),
        (["--picture", "nowhere.png"], "--picture: there is no nowhere.png"),
        (["--calibrate", "nowhere"], "--calibrate: there is no nowhere"),
    ],
)
def test_an_export_that_cannot_be_says_why_in_one_line_and_writes_nothing(
    checkpoint, tmp_path, capsys, arguments, message
):
    with pytest.raises(SystemExit) as done:
        main(["export", str(checkpoint), str(tmp_path / "new"), *arguments])
    error = capsys.readouterr().err
    assert done.value.code == 2 and message in error and error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_a_wrong_export_is_told_before_tensorflow_is_loaded(checkpoint, tmp_path):
    code = (
        "import sys; from segformer_tf.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'tensorflow', 'keras'} & {*sys.modules}"
    )
    wrong = ["export", str(checkpoint), str(tmp_path / "new"), "--format", "litert", "--batch", "2"]
    done = subprocess.run([sys.executable, "-c", code, *wrong], capture_output=True, text=True)
    assert done.returncode == 2 and "--batch: batch is 2 for litert, expected none" in done.stderr


@pytest.mark.parametrize("command", ["export", "convert"])
def test_an_exported_file_gives_no_weights_back(tmp_path, capsys, command):
    (tmp_path / "model.onnx").write_bytes(b"")
    for name in (tmp_path, tmp_path / "model.onnx"):
        with pytest.raises(SystemExit) as done:
            main([command, str(name), str(tmp_path / "new")])
        assert done.value.code == 2
        assert "was written for a runtime by `export`; expected the checkpoint" in capsys.readouterr().err


def test_an_export_without_a_size_says_which_option_gives_it_labels_and_batches(checkpoint, tmp_path, capsys):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((checkpoint / name).read_bytes())
    SegformerImageProcessor(size={"shortest_edge": 64}).save_pretrained(tmp_path)
    arguments = ["export", str(tmp_path), str(tmp_path / "model"), "--signature", "serving_default"]
    main_quietly(arguments)
    assert "--size H W (such as --size 512 512) gives it batches and `labels`." in capsys.readouterr().err
    main_quietly([*arguments, "--size", "64", "64"])
    assert "--size" not in capsys.readouterr().err


def test_serve_config_writes_the_servers_files(tmp_path, capsys):
    (tmp_path / "street/1").mkdir(parents=True)
    (tmp_path / "street/2").mkdir()
    output = tmp_path / "config"
    arguments = ["--output", str(output), "--label", "stable=1", "--label", "canary=2", "--threads", "4"]
    main_quietly(["serve-config", str(tmp_path / "street"), *arguments])
    assert sorted(path.name for path in output.iterdir()) == [
        "batching_params.txt",
        "models.config",
        "monitoring.config",
    ]
    assert 'version_labels { key: "canary" value: 2 }' in (output / "models.config").read_text()
    assert "num_batch_threads { value: 4 }" in (output / "batching_params.txt").read_text()
    assert capsys.readouterr().out.count("wrote ") == 3


def test_a_label_without_a_version_is_a_wrong_call(tmp_path, capsys):
    (tmp_path / "street/1").mkdir(parents=True)
    for label in ("canary", "canary=" + "9" * 5000):
        with pytest.raises(SystemExit) as done:
            main(["serve-config", str(tmp_path / "street"), "--label", label])
        assert done.value.code == 2 and "LABEL=VERSION" in capsys.readouterr().err


def test_serving_a_directory_without_a_model_says_what_to_do(tmp_path, capsys):
    with pytest.raises(SystemExit) as done:
        main(["serve", str(tmp_path)])
    assert done.value.code == 1
    assert "There is no version directory such as 1/ in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--label", "a=1", "--label", "a=2"), "a is given twice"),
        (("--label", 'a"b=1'), "without quotes"),
        (("--max-batch-size", "0"), "--max-batch-size"),
        (("--threads", "-1"), "--threads"),
        (("--batch-timeout-ms", "-1"), "--batch-timeout-ms"),
    ],
)
def test_serve_config_calls_that_cannot_be_written_are_wrong_calls(tmp_path, call, options, message):
    for version in (1, 2):
        (tmp_path / "street" / str(version)).mkdir(parents=True)
    status, _, said = call("serve-config", tmp_path / "street", "--output", tmp_path / "out", *options)
    assert status == 2 and message in said and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--grpc-port", "80000", "80000"),
        ("--rest-port", "-1", "-1"),
        ("--config", "none.config", "'none.config' does not exist."),
        ("--token-file", ".", "'.' is a directory."),
        ("--token-file", "token", "--token-file: token is not UTF-8 (invalid start byte at byte 0); expected a token"),
        ("--tls-key", "none.pem", "'none.pem' does not exist."),
    ],
)
def test_a_port_or_file_that_there_is_not_is_a_wrong_call(tmp_path, call, monkeypatch, option, value, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    status, _, said = call("serve", tmp_path, option, value)
    assert status == 2 and message in said and option in said


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig"])
def test_a_token_is_what_its_file_says_without_a_byte_order_mark(tmp_path, call, monkeypatch, coding):
    class Server:
        def __init__(self, *_, token, **__):
            raise OSError(f"The token is {token!r}.")

    monkeypatch.setattr("segformer_tf.serving.server.ModelServer", Server)
    (tmp_path / "token").write_text("secret\n", coding)
    status, _, said = call("serve", tmp_path, "--token-file", tmp_path / "token")
    assert status == 1 and "The token is 'secret'." in said


ENDLESS = """
import signal, sys, threading, types

class Server:
    grpc_port = rest_port = 1
    model = types.SimpleNamespace(name="street", versions=[1])
    def __init__(self, *_, **__): pass
    def __enter__(self): return self
    def __exit__(self, *_): print("answering", flush=True); threading.Event().wait(60)
    def wait(self): threading.Event().wait(60)

logger = types.SimpleNamespace(setLevel=print)
sys.modules["segformer_tf.serving.server"] = types.SimpleNamespace(ModelServer=Server)
sys.modules["segformer_tf.serving.limits"] = types.SimpleNamespace(Limits=dict)
sys.modules["tensorflow"] = types.SimpleNamespace(get_logger=lambda: logger)
from segformer_tf.cli import main, serving
serving.load_tensorflow = lambda: None
signal.signal(signal.SIGINT, signal.SIG_IGN)
main(["serve", "."])
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_second_signal_ends_a_server_that_still_answers(name):
    number = signal.Signals[name]
    process = subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert any("serving street" in line for line in process.stdout)
        process.send_signal(number)
        assert any("answering" in line for line in process.stdout)
        process.send_signal(number)
        assert process.wait(30) == 128 + number


def test_serve_config_needs_no_tensorflow():
    code = "import sys; from segformer_tf.serving import config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
