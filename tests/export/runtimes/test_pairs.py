"""The bundled model's labels of a photograph are the same in every two runtimes."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from reference import ROOT

from segformer_tf import SegformerImageProcessor, TFSegformerForSemanticSegmentation
from segformer_tf.export.export import export
from segformer_tf.pipelines.pipeline import SegmentationPipeline
from segformer_tf.pipelines.runtimes.exported import open_exported
from segformer_tf.storage.find import DEFAULT_MODEL

SIZE = (180, 240)
FORMATS = ("saved_model", "openvino", "onnx", "litert")
WAYS = ("layer by layer", "graph", *FORMATS)


@pytest.fixture(scope="module")
def picture():
    return np.asarray(Image.open(ROOT / "examples" / "china.jpg").resize(SIZE[::-1]))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The path of each exported file, all of the same size."""
    model = TFSegformerForSemanticSegmentation.from_pretrained(DEFAULT_MODEL, data_format="channels_last")
    own = SegformerImageProcessor.from_pretrained(DEFAULT_MODEL)
    directory = tmp_path_factory.mktemp("files")
    return model, {kind: export(model, directory / kind, kind, processor=own, size=SIZE).path for kind in FORMATS}


@pytest.fixture(scope="module")
def labels(files, picture):
    model, paths = files
    runtimes = {kind: open_exported(path) for kind, path in paths.items()}
    segment = {kind: SegmentationPipeline(runtime) for kind, runtime in runtimes.items()}
    processor = segment["onnx"].processor
    segment["graph"] = SegmentationPipeline(model, processor)
    found = {kind: pipeline(picture).labels for kind, pipeline in segment.items()}
    model.compile(run_eagerly=True)
    logits = model(processor(picture, return_tensors="np", data_format="channels_last").pixel_values).logits
    (found["layer by layer"],) = processor.post_process_semantic_segmentation(
        logits, [SIZE], data_format="channels_last"
    )
    return found


@pytest.mark.parametrize("pair", [*itertools.combinations(WAYS, 2)], ids=" and ".join)
def test_two_runtimes_give_the_same_labels(pair, labels):
    one, other = (labels[kind] for kind in pair)
    assert one.shape == SIZE and len(np.unique(one)) > 3
    assert (one == other).mean() >= 0.999


@pytest.mark.parametrize("kind", ["openvino", "onnx", "litert"])
def test_segment_with_an_exported_file_loads_no_tensorflow(kind, files, tmp_path):
    code = (
        "import sys; from segformer_tf.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'tensorflow', 'keras', 'huggingface_hub', 'scipy'} & set(sys.modules)"
    )
    command = ["segment", ROOT / "examples" / "china.jpg", "--model", files[1][kind], "--output", tmp_path]
    subprocess.run([sys.executable, "-c", code, *map(str, command)], check=True, capture_output=True)
    assert len(list(tmp_path.iterdir())) == 3
