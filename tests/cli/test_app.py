"""The frame of the command line: help, version, exit statuses, and errors in one line."""

import contextlib
import errno
import os
import re
import shlex
import subprocess
import sys

import pytest
import typer
from reference import ROOT

from segformer_tf import __version__, cli
from segformer_tf.cli.app import printable


def processor_seconds(call) -> float:
    """Of a process and its children: other programs change it less than they change the clock's time."""
    before = os.times()
    call()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_help_answers_at_once_and_names_a_start_without_a_network(run):
    """Under three times what typer's own help of one command costs, 0.15 s here; twice at most on a quiet machine.

    TensorFlow, Keras or a backend of theirs would take ten times.
    """
    code = "import typer; app = typer.Typer(); app.command()(lambda: None); app(['--help'])"
    plain = min(
        processor_seconds(lambda: subprocess.run([sys.executable, "-c", code], capture_output=True)) for _ in "12345"
    )
    ours = min(processor_seconds(lambda: run("--help")) for _ in "12345")
    shown = run("--help").stdout
    assert "segformer-tf segment street.jpg" in shown and "needs no network" in shown and "b0-camvid" in shown
    assert ours < 3 * plain, f"{ours:.2f} s, and {plain:.2f} s for a command of nothing"


def test_the_command_line_is_there_without_numpy_and_pillow():
    code = "import sys, segformer_tf.cli; print({'numpy', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [["--version"], ["--help"], ["info", "segformer-b0-camvid"]])
def test_a_full_disk_behind_stdout_is_told_as_such(command, unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(ROOT)}
    with open("/dev/full", "w") as full:
        called = [sys.executable, "-m", "segformer_tf.cli", *command]
        done = subprocess.run(called, env=environment, stdout=full, stderr=subprocess.PIPE, text=True)
    told = "segformer-tf: Cannot write to stdout (No space left on device): make room, or send it elsewhere.\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_pipe_that_nobody_reads_ends_without_a_word(unbuffered):
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": str(ROOT)}
    called = [sys.executable, "-m", "segformer_tf.cli", "info", "segformer-b0-camvid"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(called, env=environment, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_an_error_of_another_file_is_not_taken_for_stdout(call, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "other.bin")

    monkeypatch.setattr("segformer_tf.cli.checkpoints._facts", full)
    status, _, said = call("info", "segformer-b0-camvid")
    assert status == 1 and "other.bin" in said and "stdout" not in said


def test_the_version_is_printed(call):
    assert call("--version") == (0, f"segformer-tf {__version__}\n", "")


def test_without_a_command_the_help_is_shown(call):
    status, stdout, stderr = call()
    assert status == 2 and "Usage: segformer-tf" in stdout + stderr


@pytest.fixture(scope="module")
def commands():
    """name -> the command, as click has it."""
    return typer.main.get_command(cli.app).commands


def test_every_command_has_its_heading_and_its_help_has_examples_that_could_be_typed(commands):
    assert next(iter(commands)) == "demo" and len(commands) > 15
    for name, command in commands.items():
        assert command.rich_help_panel, name
        if name == "demo":  # alone, it is its own example
            continue
        lines = command.help.replace("\\[", "[").splitlines()
        examples = [line for line in lines if line.startswith(f"segformer-tf {name} ")]
        assert examples, name
        for line in examples:
            words = shlex.split(line.partition("     ")[0].partition(" <")[0])[2:]
            # What is parsed may name files that are not there; that they are looked for comes later.
            command.make_context(name, cli._several_values([name, *words])[1:], resilient_parsing=True)
            options = {word for word in words if word.startswith("--")}
            assert options <= {option for parameter in command.params for option in parameter.opts}, line


def test_a_help_is_in_whole_paragraphs_and_keeps_its_brackets(run):
    shown = run("segment-many", "--help", env={**os.environ, "COLUMNS": "300"}).stdout
    assert "needs segformer-tf[ray]." in shown


@pytest.mark.parametrize(
    ("line", "expected"),
    [("segformer-tf segm", {"segment", "segment-many"}), ("segformer-tf segment --mode ", {"whole", "slide"})],
)
def test_a_shell_completes_commands_and_values(run, line, expected):
    asked = {"_SEGFORMER_TF_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    assert set(run(env={**os.environ, **asked}).stdout.split()) == expected
    # Without this typer shows what is for the shell that started the tests, if one did.
    named = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    assert "_segformer_tf_completion" in run("--show-completion", "bash", env=named).stdout


@pytest.mark.parametrize("colours", [True, False])
def test_no_color_takes_the_colours_from_a_terminal(colours):
    ours, theirs = os.openpty()
    environment = os.environ if colours else {**os.environ, "NO_COLOR": "1"}
    command = [sys.executable, "-m", "segformer_tf.cli", "--help"]
    process = subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # it ends with an error
        while part := terminal.read(65536):
            shown += part
    process.wait()
    assert bool(re.search(rb"\x1b\[[0-9;]*3[0-7]m", shown)) is colours


def test_debug_shows_where_it_failed(run):
    done = run("info", "nowhere/at/all", "--debug")
    assert done.returncode == 1 and "Traceback" in done.stderr
    assert "Traceback" not in run("info", "nowhere/at/all").stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["segment"], "Missing argument"),
        (["segment", "china.jpg", "--colour"], "No such option"),
        (["segment", "china.jpg", "--mode", "half"], "'--mode': 'half' is not one of 'whole', 'slide'"),
        (["segment", "china.jpg", "--runtime", "tf"], "'tf' is not one of 'auto', 'tensorflow', 'openvino', 'onnx'"),
        (["segment", "china.jpg", "--batch-size", "0"], "'--batch-size': "),
        (["segment", "china.jpg", "--alpha", "2"], "'--alpha': "),
        (["segment", "china.jpg", "--alpha", "nan"], "'--alpha': "),
        (["benchmark", "segformer-b0-camvid", "--seconds", "soon"], "'--seconds': 'soon'"),
        (["segment", "china.jpg", "--save", "labels,masks"], "--save: 'masks'; expected some of labels,overlay,json"),
        (["segment", "china.jpg", "--save", ","], "--save: empty; expected some of labels,overlay,json"),
        (["segment", "china.jpg", "--scales", "1", "0"], "--scales: scales are (1.0, 0.0); expected each above 0"),
        (
            ["segment", "china.jpg", "--merge-queries", "5"],
            "'--merge-queries': ",
        ),
        (["segment", "china.jpg", "--merge-keys", "0"], "'--merge-keys': "),
        (["segment", "china.jpg", "--window", "64", "64"], "--window: is for --mode slide only"),
        (["segment", "china.jpg", "--mode", "slide", "--stride", "2000", "2000"], "--stride: stride is (2000, 2000)"),
        (["segment", "china.jpg", "--mode", "slide", "--window", "3", "0"], "window is (3, 0); expected"),
        (
            ["segment", "china.jpg", "--model", "b9"],
            "--model: 'b9' is no model; expected a path, a Hub id (OWNER/NAME)",
        ),
        (["segment", "china.jpg", "--model", "b0"], "'b0' is a size without weights"),
        (["segment", "china.jpg", "--model", "B0"], "'B0' is a size without weights"),
        (["segment", "china.jpg", "--model", "segformer-b0-camvit"], "did you mean segformer-b0-camvid?"),
        (["segment", "china.jpg", "--model", "SEGFORMER-B0-CAMVID"], "did you mean segformer-b0-camvid?"),
        (["classify", "china.jpg"], "Missing option '--model'"),
        (["classify", "china.jpg", "--model", "b9"], "'b9' is no model"),
        (["info", "b9"], "'b9' is no model"),
        (["train", "--data", "d", "--output", "r", "--model", "B0"], "--model: 'B0' is no model; did you mean b0?"),
        (["evaluate", "--data", "d", "--model", "B0"], "--model: 'B0' is a size without weights"),
        (
            ["calibrate", "segformer-b0-camvit", "--data", "d"],
            "MODEL: 'segformer-b0-camvit' is no model; did you mean ",
        ),
        (["convert", "b9", "x.h5"], "'b9' is no model"),
        (["convert", "segformer-b0-camvid", "x.onnx"], "x.onnx ends in .onnx, which `segformer-tf export` writes"),
        (["convert", "segformer-b0-camvid", "x.h5", "--format", "pth"], "DST: x.h5 ends in .h5 but format is 'pth'"),
        (["convert", "segformer-b0-camvid", "new", "--format", "nope"], "'nope' is not one of 'safetensors', 'h5'"),
        (["export", "b9", "new"], "'b9' is no model"),
        (["export", "segformer-b0-camvid", "new", "--format", "nope"], "'nope' is not one of 'saved_model', 'keras'"),
        (
            ["export", "segformer-b0-camvid", "new", "--tolerance", "-1"],
            "--tolerance: tolerance is -1.0, expected 0",
        ),
        (["export", "segformer-b0-camvid", "new", "--calibration-images", "9"], "is for --calibrate"),
        (
            ["inspect", "d", "--picture", "s.foo"],
            "'--picture': s.foo ends in .foo; expected the name of a file with one of",
        ),
        (["inspect", "d", "--picture", "s"], "s ends in no suffix; expected the name of a file with one of .png"),
        (["inspect", "d", "--picture", "."], ". is a directory; expected the name of a file with one of .png"),
        (["inspect", "d", "--value-range", "5", "1"], "value_range is (5.0, 1.0); expected two numbers, the values of"),
        (["calibrate", "m", "--data", "d", "--diagram", "r.foo"], "'--diagram': r.foo ends in .foo; expected the name"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_a_wrong_call_is_one_line_and_status_2(call, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, stdout, stderr = call(*arguments)
    assert (status, stdout) == (2, "") and message in stderr
    assert stderr.startswith("segformer-tf: ") and stderr.count("\n") == 1 and "--help)" in stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "which"),
    [
        (["segment", "", "--output", "new"], "the word after segment"),
        (["segment", "china.jpg", "--output", ""], "the word after --output"),
        (["segment", "china.jpg", "--output="], "--output="),
        (["segment-many", "photos", ""], "the word after photos"),
    ],
)
def test_an_empty_word_is_refused_where_it_would_mean_this_directory(call, arguments, which):
    told = f"segformer-tf: Invalid value: {which} is empty, expected a value: is a variable of the shell not set?\n"
    assert call(*arguments) == (2, "", told)


@pytest.mark.parametrize(("option", "value"), [("--alpha", "2"), ("--batch-size", "0"), ("--merge-queries", "5")])
def test_a_value_out_of_range_is_told(call, option, value):
    """Older versions of typer do so themselves, in other words."""
    _, _, stderr = call("segment", "china.jpg", option, value)
    assert re.search(rf"'{option}': '?{value}\b.*(; expected |not in the range)", stderr) and "Input" not in stderr


def test_several_values_are_taken_of_every_list_of_numbers(commands):
    taken = cli._several_values(["segment", "a.jpg", "--scales", "0.75", "1", "b.jpg", "--scales", "1,2"])
    assert taken == ["segment", "a.jpg", "--scales", "0.75", "--scales", "1", "b.jpg", "--scales", "1", "--scales", "2"]
    assert cli._several_values(["segment", "--scales", "a.jpg"]) == ["segment", "--scales", "a.jpg"]
    taken = cli._several_values(["segment", "--merge-queries", "1", "2", "--merge-keys", "3", "4", "--scales", "1"])
    queries, keys = ["--merge-queries", "1", "--merge-queries", "2"], ["--merge-keys", "3", "--merge-keys", "4"]
    assert taken == ["segment", *queries, *keys, "--scales", "1"]
    alone = ["corrupt", "--severity", "3", "2024", "out"]  # one number, then a directory
    assert cli._several_values(alone) == alone
    lists = {"evaluate": ("scales", "severity", "merge_queries"), "serve": ("version",)}
    for name, parameter in [(name, parameter) for name, parameters in lists.items() for parameter in parameters]:
        option = f"--{parameter.replace('_', '-')}"
        assert cli._several_values([name, option, "1", "2"]) == [name, option, "1", option, "2"]
        told = next(own.help for own in commands[name].params if own.name == parameter)
        assert "such as " in told and "repeat" not in told and "several times" not in told, told


def test_evaluate_says_of_its_scales_what_segment_says(commands):
    told = {
        option.help for name in ("segment", "evaluate") for option in commands[name].params if option.name == "scales"
    }
    assert told == {"Sizes to average over, such as 0.75 1 1.25."}


def test_what_a_terminal_cannot_show_is_escaped():
    assert printable("a\nb\udcff\x1b[31m ä") == r"a\nb\udcff\x1b[31m ä"
