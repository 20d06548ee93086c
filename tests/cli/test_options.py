"""Every option of every command comes to what does the work, which is told something else with it than without.

What does the work stands still here (`told_options`); that it does what it is told its own tests say.
"""

import json
import shlex

import pytest
import told_options
import typer

from segformer_tf import cli

REFUSED = "a wrong call"
ENDS = "the command ends at once"
MORE = "and others"  # as a key: values beside the row's differ too

# A way through a command: what it is called with in every row.
WAYS = {
    "segment": "segment photos --output out",
    "segment to stdout": "segment photos --output - --save labels",
    "segment a video": "segment street.mp4 --output out",
    "video": "video photos --output out",
    "classify": "classify photos --model model",
    "segment-many": "segment-many photos out",
    "demo": "demo",
    "inspect": "inspect data",
    "convert-masks": "convert-masks data new",
    "shard": "shard --data data --output new",
    "corrupt": "corrupt data new --corruption fog",
    "train": "train --data data --model b0 --output run",
    "train by folds": "train --data data --model b0 --output run --folds drive",
    "evaluate": "evaluate --model model --data data",
    "evaluate by folds": "evaluate --model model --data data --folds drive",
    "evaluate corrupted": "evaluate --model model --data data --corruptions fog",
    "calibrate": "calibrate model --data data",
    "info": "info model",
    "convert": "convert model new",
    "export": "export model served",
    "benchmark": "benchmark model",
    "serve": "serve served",
    "serve-config": "serve-config served",
}
SLIDE, ONNX, INT8 = "--mode slide", "--format onnx", "--format openvino --weights int8"
MERGED = {
    "--merge-queries 1 2": {"load.merge_queries": (1, 2)},
    "--merge-keys 2": {"load.merge_keys": (2,)},
}


def windows(name):
    """The options of a pipeline, which its function `name` is told."""
    return {
        "--mode slide": {f"{name}.mode": "slide"},
        f"--window 64 96 | {SLIDE}": {f"{name}.window": (64, 96)},
        f"--stride 50 60 | {SLIDE}": {f"{name}.stride": (50, 60)},
        f"--blend gaussian | {SLIDE}": {f"{name}.blend": "gaussian"},
        "--scales 0.5 1": {f"{name}.scales": (0.5, 1.0)},
        "--flip": {f"{name}.flip": True},
        "--batch-size 3": {f"{name}.batch_size": 3},
        "--model m.onnx": {"load.name_or_path": "m.onnx"},
        "--runtime onnx": {"load.runtime": "onnx"},
        **MERGED,
    }


def drawn(name):
    return {
        "--alpha 0.25": {f"{name}.alpha": 0.25},
        "--outline": {f"{name}.outline": True},
        "--skip-class road --skip-class sky": {f"{name}.skip": ("road", "sky")},
    }


LEGENDS = {"--legend inside": {"save.legend": "inside"}, "--legend none": {"save.legend": False}}
VIDEO = {
    **drawn("label_video"),
    "--output there": {"plan.output": "there", "label_video.output": "there"},
    "--save json,labels": {"plan.kinds": ("json", "labels"), "label_video.kinds": ("json", "labels")},
    "--overwrite": {"plan.overwrite": True, "label_video.overwrite": True},
    "--json": {"json": True},
}
SCORED = {
    "--model other/model": {"load.name_or_path": "other/model"},
    "--data other": {"read_split.directory": "other"},
    "--protocol ade20k": {"evaluate.protocol.name": "ade20k"},
    "--window 64 96 | --protocol slide": {"evaluate.protocol.window": (64, 96)},
    "--stride 50 60 | --protocol slide": {"evaluate.protocol.stride": (50, 60)},
    "--scales 0.5 1": {"evaluate.protocol.scales": (0.5, 1.0)},
    "--flip": {"evaluate.protocol.flip": True},
    "--map-classes map.json": {"evaluate.map_classes.box": "road", MORE: True},
    **MERGED,
    "--json": {"json": True},
}


def trained(name, looked):
    return {
        "--data other": {f"{looked}.data": "other"},
        "--model b1": {"_new_model.name": "b1"},
        "--output there": {f"{name}.run": "there"},
        "--epochs 7": {f"{name}.recipe.epochs": 7},
        "--steps 7": {f"{name}.recipe.steps": 7},
        "--batch-size 3": {f"{name}.recipe.batch_size": 3},
        "--crop 64 96": {f"{name}.recipe.augmentation.crop": (64, 96)},
        "--recipe paper-cityscapes": {f"{name}.recipe.name": "paper-cityscapes", MORE: True},
        "--set patience=70": {f"{name}.recipe.patience": 70},
        "--set steps=7 | --recipe classifier": {f"{name}.recipe.steps": 7, f"{name}.recipe.epochs": None},
        "--evaluate-every 7": {f"{name}.recipe.evaluate_every": 7},
        "--freeze encoder": {f"{name}.recipe.freeze": "encoder"},
        "--binary": {f"{looked}.binary": True},
        "--set one_logit=true | --binary": {f"{name}.recipe.one_logit": True, "_new_model.one_logit": True},
        "--seed 7": {f"{name}.seed": 7},
        "--resume": {f"{name}.resume": True, "_new_model.goes_on": True},
        "--skip-broken": {f"{looked}.broken": "skip", f"{name}.broken": "skip"},
        "--tensorboard": {f"{name}.tensorboard": True},
    }


# Options (after | what has to be given in both calls) -> what is told otherwise with them than without.
TABLE = {
    "segment": {
        **windows("stream"),
        **drawn("save"),
        **LEGENDS,
        "--output there": {"plan.output": "there", "save.directory": "there"},
        "--save labels,json": {"plan.kinds": ("labels", "json"), "save.kinds": ("labels", "json")},
        "--save scores": {"plan.kinds": ("scores",), "save.kinds": ("scores",), "stream.scores": True},
        "--recursive": {
            "stream.pictures": ("photos/a.png", "photos/deep/b.png"),
            "save.directory": "out/deep",
            "name": "b",
        },
        "--page 2": {"page": 2},
        "--overwrite": {"plan.overwrite": True, "save.overwrite": True},
        "--skip-existing": {"plan.skip_existing": True},
        "--whole-names": {"plan.whole_names": True, "name": "a.png"},
        "--json": {"json": True},
    },
    "segment to stdout": {
        **windows("pipeline"),
        **drawn("save"),
        **LEGENDS,
        "--output there": {"plan.output": "there", MORE: True},
        "--save scores": {"save.kinds": ("scores",), "pipeline.scores": True},
        "--recursive": REFUSED,  # two pictures
        "--page 2": {"page": 2},
        "--overwrite": REFUSED,
        "--skip-existing": REFUSED,
        "--whole-names": REFUSED,
        "--json": REFUSED,
    },
    "segment a video": {
        **{
            words: {key.replace("stream.", "label_video." if "batch" in key else "label_video.options."): value}
            for words, told in windows("stream").items()
            for key, value in told.items()
        },
        **VIDEO,
        "--legend inside": REFUSED,
        "--recursive": REFUSED,
        "--page 2": REFUSED,
        "--skip-existing": {"plan.skip_existing": True},
        "--whole-names": {"plan.whole_names": True, MORE: True},
    },
    "video": {
        **VIDEO,
        **MERGED,
        "--model m.onnx": {"load.name_or_path": "m.onnx"},
        "--runtime onnx": {"load.runtime": "onnx"},
        "--batch-size 3": {"label_video.batch_size": 3},
        "--fps 10": {"open_frames.rate": 10.0},
        "--smoothing 0.6": {"label_video.smoothing": 0.6},
    },
    "classify": {
        "--model m.onnx": {"load.name_or_path": "m.onnx"},
        "--top-k 2": {"stream.top_k": 2},
        "--runtime onnx": {"load.runtime": "onnx"},
        "--batch-size 3": {"stream.batch_size": 3},
        "--recursive": {"stream.pictures": ("photos/a.png", "photos/deep/b.png")},
        "--page 2": {"page": 2},
        "--json": {"json": True},
    },
    "segment-many": {
        "--model m.onnx": {"segment_many.model": "m.onnx"},
        "--runtime onnx": {"segment_many.runtime": "onnx"},
        "--workers 3": {"segment_many.workers": 3},
        "--batch-size 3": {"segment_many.batch_size": 3},
        "--mode slide": {"segment_many.how.mode": "slide", MORE: True},
        f"--window 64 96 | {SLIDE}": {"segment_many.how.window": (64, 96)},
        f"--stride 50 60 | {SLIDE}": {"segment_many.how.stride": (50, 60)},
        "--scores": {"segment_many.how.scores": True},
        "--column picture": {"segment_many.column": "picture"},
        "--pictures-per-shard 7": {"segment_many.pictures_per_shard": 7},
        "--address ray://host:1": {"segment_many.address": "ray://host:1"},
        "--json": {"json": True},
    },
    "demo": {
        "--model m.onnx --model other/model": {"serve.models": ("m.onnx", "other/model")},
        "--port 7": {"serve.port": 7},
        "--host 0.0.0.0": {"serve.host": "0.0.0.0"},
        "--runtime onnx": {"serve.runtime": "onnx"},
    },
    "inspect": {
        "--json": {"json": True},
        "--picture sheet.png": {"files": ("sheet.png",)},
        "--binary": {"inspect.binary": True},
        "--value-range 0 4095": {"inspect.value_range": (0.0, 4095.0)},
        "--seed 7": {"inspect.seed": 7},
        "--layouts": ENDS,
    },
    "convert-masks": {"--binary": {"convert_masks.binary": True}, "--seed 7": {"convert_masks.seed": 7}},
    "shard": {
        "--data other": {"inspect.data": "other"},
        "--output there": {"write_shards.directory": "there"},
        "--split val": {"inspect.splits": ("val",), "write_shards.split": "val"},
        "--pictures-per-shard 7": {"write_shards.pictures_per_shard": 7},
        "--binary": {"inspect.binary": True, "inspect.splits": None},
        "--value-range 0 4095": {"inspect.value_range": (0.0, 4095.0)},
        "--seed 7": {"inspect.seed": 7},
    },
    "corrupt": {
        "--corruption snow": {"corrupt.name": "snow"},
        "--severity 5": {"corrupt.severity": 5},
        "--split train": {"convert_masks.splits": ("train",)},
        "--binary": {"convert_masks.binary": True},
        "--skip-broken": {"convert_masks.broken": "skip"},
        "--value-range 0 4095": {"convert_masks.value_range": (0.0, 4095.0)},
        "--seed 7": {"convert_masks.seed": 7},
    },
    "train": {
        **trained("train", "inspect"),
        "--distribute mirrored": {"make_strategy.kind": "mirrored"},
        "--folds drive": {"inspect_folds.rule": "drive", MORE: True},
    },
    "train by folds": {
        **trained("train_folds", "inspect_folds"),
        "--distribute mirrored": REFUSED,
        "--folds one/(.)": {"inspect_folds.rule": "one/(.)"},
    },
    "evaluate": {
        **SCORED,
        "--split test": {"read_split.split": "test", "evaluate.source": "test", MORE: True},
        "--binary": {"inspect.binary": True, MORE: True},
        "--skip-broken": {"inspect.broken": "skip"},
        "--boundary": {"evaluate.boundary": True},
        "--intervals": {"evaluate.intervals": True},
        "--groups groups.json": {"evaluate.groups.all": (0, 1)},
        "--calibration": {"evaluate.calibration": True},
        "--folds drive": {"inspect_folds.rule": "drive", MORE: True},
        "--corruptions fog": {"robustness.names": ("fog",), MORE: True},
        "--severity 2": REFUSED,
        "--output scores.json": REFUSED,
        "--dump there": {"evaluate.dump": "there"},
    },
    "evaluate by folds": {
        **SCORED,
        "--data other": {"inspect_folds.data": "other", "read_split.directory": "other"},
        "--split test": REFUSED,
        "--binary": {"inspect_folds.binary": True},
        "--skip-broken": {"inspect_folds.broken": "skip"},
        "--folds one/(.)": {"inspect_folds.rule": "one/(.)"},
        **dict.fromkeys(
            [
                "--boundary",
                "--intervals",
                "--groups groups.json",
                "--calibration",
                "--corruptions fog",
                "--severity 2",
                "--output scores.json",
                "--dump there",
            ],
            REFUSED,
        ),
    },
    "evaluate corrupted": {
        **SCORED,
        "--split test": {"read_split.split": "test", "evaluate.source": "test", MORE: True},
        "--binary": {"inspect.binary": True, MORE: True},
        "--skip-broken": {"inspect.broken": "skip"},
        "--corruptions snow": {"robustness.names": ("snow",), "evaluate.corruption": ("snow", 1)},
        "--severity 2 3": {"robustness.severities": (2, 3)},
        "--output scores.json": {"robustness.file": "scores.json"},
        **dict.fromkeys(
            ["--boundary", "--intervals", "--groups groups.json", "--calibration", "--folds drive", "--dump there"],
            REFUSED,
        ),
    },
    "calibrate": {
        "--data other": {"read_split.directory": "other"},
        "--split test": {"read_split.split": "test", "calibrate.source": "test", MORE: True},
        "--protocol ade20k": {"calibrate.protocol.name": "ade20k"},
        "--output there": {"save_into.directory": "there", "save_into.temperature": 1.5, "processor saved in": "there"},
        "--diagram there.png": {"draw.file": "there.png"},
        "--binary": {"inspect.binary": True, MORE: True},
        "--json": {"json": True},
    },
    "info": {"--json": {"json": True}},
    "convert": {"--format h5": {"convert.format": "h5"}},
    "export": {
        "--format keras": {"export.format": "keras"},
        f"--for transformers.js | {ONNX}": {"export.program": "transformers.js", "load.data_format": "channels_first"},
        "--size 64 96": {"export.size": (64, 96)},
        f"--batch 3 | {ONNX}": {"export.batch": 3},
        "--dtype mixed_bfloat16": {"load.dtype": "mixed_bfloat16"},
        f"--weights float16 | {ONNX}": {"export.weights": "float16"},
        f"--calibrate data | {INT8}": {"calibration_of.data": "data", MORE: True},
        f"--calibration-images 7 | {INT8} --calibrate data": {"calibration_of.images": 7},
        f"--max-drop 2 | {INT8} --calibrate data": {"calibration_of.max_drop": 2.0},
        **MERGED,
        f"--data-format channels_first | {ONNX}": {"load.data_format": "channels_first"},
        "--signature logits --signature transformers": {"export.names": ("logits", "transformers")},
        "--labels-at input": {"export.labels_at": "input"},
        "--tolerance 0.5": {"export.tolerance": 0.5},
        f"--picture photos/a.png | {ONNX}": {"export.picture": "photos/a.png"},
        "--json": {"json": True},
    },
    "benchmark": {
        "--data data": {"process.data": "data", MORE: True},
        "--size 64 96": {"export.size": (64, 96), "process.size": (64, 96)},
        "--seconds 7": {"process.seconds": 7.0},
        "--json": {"json": True},
    },
    "serve": {
        "--name street": {"ModelServer.name": "street", "ModelServer.policy.name": "street"},
        "--host 0.0.0.0": {"ModelServer.host": "0.0.0.0"},
        "--grpc-port 7": {"ModelServer.grpc_port": 7},
        "--rest-port 7": {"ModelServer.rest_port": 7},
        "--max-batch-size 3": {"ModelServer.max_batch_size": 3},
        "--batch-timeout-ms 20": {"ModelServer.batch_timeout": 0.02},
        "--version 1 --version 2": {"ModelServer.policy.versions": (1, 2)},
        "--label canary=2": {"ModelServer.policy.labels.canary": 2, "ModelServer.policy.versions": (2,)},
        "--config models.config": {"ModelServer.policy.file": "models.config", "ModelServer.policy.name": "served"},
        "--poll-seconds 7": {"ModelServer.poll": 7.0},
        "--max-body-mb 2": {"ModelServer.limits.max_body": 2 * 2**20},
        "--max-pictures 7": {"ModelServer.limits.max_pictures": 7},
        "--max-pixels 7": {"ModelServer.limits.max_pixels": 7},
        "--max-request-pixels 7": {"ModelServer.limits.max_request_pixels": 7},
        "--max-tensor-pixels 7": {"ModelServer.limits.max_tensor_pixels": 7},
        "--max-waiting 7": {"ModelServer.limits.max_waiting": 7},
        "--body-seconds 7": {"ModelServer.limits.body_timeout": 7.0},
        "--stop-seconds 7": {"ModelServer.limits.stop_timeout": 7.0},
        "--tls-certificate a.pem --tls-key b.pem": {"ModelServer.certificate": ("a.pem", "b.pem")},
        "--tls-certificate a.pem": REFUSED,
        "--token-file token": {"ModelServer.token": "secret"},
    },
    "serve-config": {
        "--output there": {"files": ("there/models.config",)},
        "--name street": {"serving_config.name": "street"},
        "--base-path /where": {"serving_config.base_path": "/where"},
        "--label canary=2": {"serving_config.labels.canary": 2},
        "--max-batch-size 3": {"serving_config.max_batch_size": 3},
        "--batch-timeout-ms 20": {"serving_config.batch_timeout_ms": 20.0},
        "--threads 7": {"serving_config.threads": 7},
    },
}


@pytest.fixture
def told_by(call, monkeypatch, tmp_path):
    """Runs a command beside stand-ins -> (exit status, what they were told, stderr)."""

    def run(words, place):
        told, cwd = told_options.Told(), tmp_path / place
        write_files(cwd)
        given = files(cwd)
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            for install in (told_options.pipelines, told_options.models, told_options.data, told_options.servers):
                install(told, patch)
            status, out, error = call(*shlex.split(words))
        told["files"] = tuple(sorted(files(cwd) - given))
        try:
            told["json"] = isinstance(json.loads(out), (dict, list))
        except ValueError:
            told["json"] = False
        return status, told, error

    return run


def files(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def write_files(directory):
    (directory / "photos/deep").mkdir(parents=True)
    for name in ("data", "other", "model", "served"):
        (directory / name).mkdir()
    for name in ("photos/a.png", "photos/deep/b.png", "street.mp4", "a.pem", "b.pem"):
        (directory / name).touch()
    (directory / "token").write_text("secret\n")
    (directory / "map.json").write_text('{"box": "road"}')
    (directory / "groups.json").write_text('{"all": ["wall", "box"]}')
    (directory / "models.config").write_text('model_config_list { config { name: "served" base_path: "/served" } }')


WITHOUT = {}  # the answers of `told_by` to commands without the options of a row
ROWS = [pytest.param(way, words, id=f"{way} {words}") for way, rows in TABLE.items() for words in rows]


@pytest.mark.parametrize(("way", "words"), ROWS)
def test_an_option_comes_to_what_does_the_work(way, words, told_by):
    expected = TABLE[way][words]
    options, _, both = words.partition(" | ")
    status, after, error = told_by(f"{WAYS[way]} {both} {options}", "with")
    if expected in (REFUSED, ENDS):
        assert status == (2 if expected is REFUSED else 0) and set(after) == {"files", "json"}, error
        return
    assert status == 0, error
    if (way, both) not in WITHOUT:
        WITHOUT[way, both] = told_by(f"{WAYS[way]} {both}", "without")
    status, before, error = WITHOUT[way, both]
    assert status == 0, error
    found = {key: value for key, value in after.items() if key not in before or before[key] != value}
    if MORE in expected:
        found = {key: found.get(key) for key in expected} | {MORE: True}
    assert found == expected


@pytest.mark.parametrize("way", WAYS)
def test_every_option_has_a_row(way):
    command = typer.main.get_command(cli.app).commands[WAYS[way].split()[0]]
    options = {parameter.opts[0] for parameter in command.params if parameter.param_type_name == "option"}
    rows = {word for words in TABLE[way] for word in words.partition(" | ")[0].split() if word.startswith("--")}
    assert rows == options


# What these options mean depends on the command.
OTHER_THINGS = {
    *("--batch-size", "--data", "--folds", "--format", "--model", "--output", "--picture", "--pictures-per-shard"),
    *("--runtime", "--save", "--seed", "--severity", "--size", "--split"),
}


def test_an_option_of_several_commands_says_the_same_in_all():
    told = {}
    for command in typer.main.get_command(cli.app).commands.values():
        for option in command.params:
            if option.param_type_name == "option" and option.opts[0] not in OTHER_THINGS:
                told.setdefault(option.opts[0], set()).add((option.help, str(option.show_default)))
    assert {name: texts for name, texts in told.items() if len(texts) > 1} == {}


def test_every_command_has_a_way():
    assert {words.split()[0] for words in WAYS.values()} == set(typer.main.get_command(cli.app).commands)
