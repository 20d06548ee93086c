"""Stand-ins for what commands hand their work to: they do nothing, and keep what they were told."""

import contextlib
import dataclasses
import importlib
import inspect
import json
import pkgutil
import signal
import subprocess
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
from PIL import Image

import segformer_tf

PLAIN = (str, int, float, bool, type(None))

# What is imported for the first time while something is replaced would keep the replacement for good.
for found in pkgutil.walk_packages(segformer_tf.__path__, "segformer_tf."):
    if not found.name.endswith("__main__"):
        with contextlib.suppress(ImportError):  # of an extra
            importlib.import_module(found.name)


class Name(str):
    """A split that is nothing but its name; also the splits of an inspection, each of its own name."""

    has_masks, id2label = True, {0: "wall", 1: "box"}


class Splits(dict):
    __missing__ = staticmethod(Name)


class Inspected(SimpleNamespace):
    """What `inspect` and `inspect_folds` answer."""

    def __init__(self):
        super().__init__(
            splits=Splits(g=Name("g")), layout="", sizes=Counter(), modes=Counter(), classes=[], notes=[], warnings=[]
        )
        self.errors, self.unusable, self.id2label = [], {}, Name.id2label

    def check(self, *_):
        return self

    def to_dict(self):
        return {}


class Told(dict):
    """`"function.parameter"` -> the value that the command gave, as far as it is plain; objects by their fields."""

    def note(self, key, value):
        if dataclasses.is_dataclass(value):
            value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            value = {name: part for name, part in value.items() if not name.startswith("_")}
        if isinstance(value, Path):
            value = None if value.is_absolute() else str(value)  # absolute ones are temporary
        if isinstance(value, dict):
            for name, part in value.items():
                self.note(f"{key}.{name}", part)
        elif isinstance(value, (list, tuple, frozenset)):
            parts = [str(part) if isinstance(part, Path) else part for part in value]
            if all(isinstance(part, PLAIN) for part in parts):
                self[key] = tuple(parts)
        elif isinstance(value, PLAIN):
            self[key] = value

    def stand_in(self, name, real, answer=None):
        """A function of the signature of `real` that notes its arguments."""
        signature = inspect.signature(real)

        def call(*args, **kwargs):
            for key, value in signature.bind(*args, **kwargs).arguments.items():
                if signature.parameters[key].kind is inspect.Parameter.VAR_KEYWORD:
                    for each, part in value.items():
                        self.note(f"{name}.{each}", part)
                else:
                    self.note(f"{name}.{key}", value)
            return answer(*args, **kwargs) if callable(answer) else answer

        return call

    def replace(self, monkeypatch, path, answer=None, name=None):
        """Puts a stand-in in the place of `module:attribute`, also of a class's."""
        module, _, attribute = path.partition(":")
        where = importlib.import_module(f"segformer_tf.{module}")
        *outer, last = attribute.split(".")
        for each in outer:
            where = getattr(where, each)
        monkeypatch.setattr(where, last, self.stand_in(name or last, getattr(where, last), answer))


def pipelines(told, monkeypatch):
    """Both pipelines, their results, and the videos."""
    from segformer_tf.pipelines.pipeline import SegmentationPipeline
    from segformer_tf.pipelines.result import SegmentationResult

    class Result:
        classes = ()

        def renamed(self, name):
            told["name"] = name
            return self

        def to_dict(self, classes):
            return {"size": {"height": 1, "width": 1}, "classes": [*classes]}

    def saved(_, directory, *args, **kwargs):
        path = directory / "result"
        if path.is_absolute():  # which is to be copied to stdout
            path.write_text("null")
        return [path]

    save = told.stand_in("save", SegmentationResult.save, saved)
    Result.save = lambda self, directory, *args, **kwargs: save(self, Path(directory), *args, **kwargs)

    class Pipeline:
        id2label = {0: "background", 1: "road", 2: "sky"}

        def __init__(self):
            self.processor = SimpleNamespace(page=None)

        def keep_page(self):
            told["page"] = self.processor.page

    def stream(self, pictures, finish, **_):
        self.keep_page()
        return iter([finish(picture, Result() if told["kind"] == "Segmentation" else []) for picture in pictures])

    def one(self, *_, **__):
        self.keep_page()
        return Result()

    Pipeline.stream = told.stand_in("stream", SegmentationPipeline.stream, stream)
    Pipeline.__call__ = told.stand_in("pipeline", SegmentationPipeline.__call__, one)
    for kind, module in (("Segmentation", "pipeline"), ("ImageClassification", "classification")):

        def load(*_, kind=kind, **__):
            told["kind"] = kind
            return Pipeline()

        told.replace(monkeypatch, f"pipelines.{module}:{kind}Pipeline.from_pretrained", load, "load")
    monkeypatch.setattr("segformer_tf.pipelines.loading.soon_in_numpy", lambda *_: False)
    for module in ("pictures", "video"):
        plan = importlib.import_module(f"segformer_tf.cli.{module}").plan
        told.replace(monkeypatch, f"cli.{module}:plan", plan)
    frames = SimpleNamespace(name="street", count=1, left_out="")
    told.replace(monkeypatch, "pipelines.video.frames:open_frames", frames)
    told.replace(monkeypatch, "pipelines.video.labelling:label_video", {"frames": 1, "files": [], "classes": []})


def models(told, monkeypatch):
    """Checkpoints, their processors, data sets, scoring, training and export."""
    from segformer_tf import SegformerConfig
    from segformer_tf.export.export import Exported
    from segformer_tf.models.tasks import TFSegformerForSemanticSegmentation

    network = SimpleNamespace(config=SegformerConfig(id2label=Name.id2label))
    load = told.stand_in("load", TFSegformerForSemanticSegmentation.from_pretrained, network)
    monkeypatch.setattr(TFSegformerForSemanticSegmentation, "from_pretrained", load)
    processor = SimpleNamespace(fixed_size=(64, 64), size={"height": 64, "width": 64})
    processor.value_range = processor.do_exif_transpose = None
    processor.pixels = lambda file: str(file)
    processor.save_pretrained = lambda directory: told.note("processor saved in", directory)
    monkeypatch.setattr(
        "segformer_tf.images.processor.SegformerImageProcessor.from_pretrained", lambda *_, **__: processor
    )
    monkeypatch.setattr("segformer_tf.checkpoints.load", lambda *_: SimpleNamespace(variables={}))
    monkeypatch.setattr("segformer_tf.checkpoints.names.task_of", lambda *_: "segmenter")
    exported = lambda _, directory, *__, **___: Exported(directory / "1", 0.0, 0.0, None)  # noqa: E731
    told.replace(monkeypatch, "export.export:export", exported)
    told.replace(monkeypatch, "cli.export:calibration_of")

    found = lambda *_, **__: Inspected()  # noqa: E731
    told.replace(monkeypatch, "data:inspect", found)
    told.replace(monkeypatch, "data.folds:inspect_folds", found)
    read = lambda data, split="train", *_: Name(split)  # noqa: E731
    told.replace(monkeypatch, "training:read_split", read)
    told.replace(monkeypatch, "data:read_split", read)
    scores = {"per_class": [], "mIoU": 0.5, "images": 1, "protocol": ""}
    told.replace(monkeypatch, "training:evaluate", scores)
    told.replace(monkeypatch, "training:train", {"mIoU": 0.5, "score": 0.5, "step": 1})
    told.replace(monkeypatch, "training:write_shards", [Path("shard")])
    told.replace(monkeypatch, "training.workers:make_strategy")
    told.replace(monkeypatch, "cli.training:_new_model")
    told.replace(monkeypatch, "training.folds:train_folds", lambda make, *_, **__: make("part") or {})
    for silent in ("folds.table", "scoring.robustness.table", "scoring.robustness.table_of_strengths"):
        monkeypatch.setattr(f"segformer_tf.training.{silent}", lambda *_: "")
    for silent in ("state.check_pictures", "sources.identity"):
        monkeypatch.setattr(f"segformer_tf.training.{silent}", lambda *_: None)

    def robustness(one, names, *_, **__):
        return one(names[0], 1)

    told.replace(monkeypatch, "training.scoring.robustness:robustness", robustness)
    reliability = {"ECE": 0.1, "loss": 0.1}
    calibrated = {"temperature": 1.5, "before": reliability, "after": reliability, "pixels": 1, "protocol": "plain"}
    told.replace(monkeypatch, "training.scoring.calibration:calibrate", calibrated)
    told.replace(monkeypatch, "training.scoring.calibration:config_of", Path("config.json"))
    for name in ("save_into", "write_temperature", "draw", "figures"):
        told.replace(monkeypatch, f"training.scoring.calibration:{name}")
    monkeypatch.setattr("segformer_tf.pipelines.runtimes.runtime.KerasModel", lambda network: network)


def data(told, monkeypatch):
    """What changes data sets and files, and what measures in a process of its own."""
    told.replace(monkeypatch, "data.sheet:draw_sheet", Image.new("RGB", (2, 2)))
    told.replace(monkeypatch, "training.scoring.corruptions:corrupt", lambda pixels, *_: pixels)

    def converted(*_, splits=None, change=None, **__):
        if change:
            change(np.zeros((32, 32, 3), np.uint8), 7)
        return dict.fromkeys(splits or ["train"], 1)

    told.replace(monkeypatch, "data.converting:convert_masks", converted)
    told.replace(monkeypatch, "convert:convert", [Path("written")])
    told.replace(monkeypatch, "cli.checkpoints:_facts", {"model": "model"})

    def measured(command, **_):
        told.note("process", {key: json.loads(command[-1])[key] for key in ("size", "data", "seconds")})
        return SimpleNamespace(returncode=0, stdout='{"ms": 1, "rate": 1, "batch": 1}', stderr="")

    monkeypatch.setattr("segformer_tf.cli.benchmark.subprocess", mock.Mock(wraps=subprocess, run=measured))
    monkeypatch.setattr("segformer_tf.cli.benchmark.WAYS", [("openvino", "float32")])


def servers(told, monkeypatch):
    """Servers, the page, and jobs of many pictures."""
    server = mock.MagicMock(grpc_port=1, rest_port=2)
    server.model.name, server.model.versions = "served", [1]
    server.return_value = server  # what is called is what serves
    told.replace(monkeypatch, "serving.server:ModelServer", server)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    told.replace(monkeypatch, "serving.config:serving_config", {"models.config": ""})
    told.replace(monkeypatch, "page.app:serve")
    from segformer_tf.batch.on_ray import segment_many

    answer = {"pictures": 0, "failed": 0, "skipped": 0, "seconds": 0.0, "output": "out"}
    stand_in = told.stand_in("segment_many", segment_many, answer)
    monkeypatch.setattr("segformer_tf.batch.segment_many", stand_in, raising=False)
