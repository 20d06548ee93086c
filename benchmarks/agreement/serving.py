"""Ten CamVid pictures of mixed sizes, JPEG and PNG: does every way of serving give the pipeline's label maps?

    make serving IMAGES=10        # exports the bundled model, starts `segformer-tf serve`; exit 1 if any pixel differs

Compared with `SegmentationPipeline`, pixel by pixel: `tf.saved_model.load` in a process that cannot import this
package, the REST answer and the gRPC answer, by the clients in examples/serving; all ten in one batch,
then a batch of 32.
"""

import argparse
import base64
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
SIDES = [
    (480, 360),
    (480, 360),
    (320, 240),
    (333, 251),
    (640, 480),
    (200, 300),
    (479, 113),
    (960, 720),
    (64, 48),
    (405, 360),
]
ALONE = """
import sys
sys.modules["segformer_tf"] = None  # an import of it raises
import numpy as np, tensorflow as tf
from pathlib import Path
run = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
files = [Path(name).read_bytes() for name in sys.argv[3:]]
out = run(image_bytes=tf.constant(files))
for i, data in enumerate(out["mask_bytes"].numpy()):
    Path(sys.argv[2], f"{i}.png").write_bytes(data)
"""


def write_pictures(data: Path, directory: Path, count: int) -> list[Path]:
    """CamVid's first validation pictures, every other one as PNG, in sizes of their own."""
    files, sources = [], sorted((data / "images" / "val").glob("*.jpg"))[:count]
    if not sources:
        raise SystemExit(f"{data} has no images/val/*.jpg; give the CamVid directory with --data.")
    for i, source in enumerate(sources):
        size, target = SIDES[i % len(SIDES)], directory / f"{i}{'.png' if i % 2 else '.jpg'}"
        picture = Image.open(source).convert("RGB")
        (picture if picture.size == size else picture.resize(size)).save(target, quality=95)
        files.append(target)
    return files


def masks(answers: list[bytes]) -> list[np.ndarray]:
    return [np.asarray(Image.open(io.BytesIO(data))) for data in answers]


def served(directory: Path, files: list[bytes]) -> dict[str, list[np.ndarray]]:
    """Label maps over REST and gRPC from `segformer-tf serve` on free ports."""
    sys.path.insert(0, str(ROOT / "examples" / "serving"))
    import grpc
    import grpc_client
    import local_server
    import rest_client
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    with local_server.running(directory) as server:
        rest = [base64.b64decode(answer["mask_bytes"]["b64"]) for answer in rest_client.segment(server.url, files)]
        with grpc.insecure_channel(server.grpc_address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            ten = grpc_client.segment(stub, server.name, files)
            many = grpc_client.segment(stub, server.name, [files[i % len(files)] for i in range(32)])
    found = {"REST": rest, "gRPC": [data for data, _ in ten], "gRPC, 32 in one batch": [data for data, _ in many]}
    return {way: masks(answers) for way, answers in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--images", type=int, default=10)
    parser.add_argument("--model", default="segformer-b0-camvid")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        directory, pictures, alone = Path(parent, "segformer"), Path(parent, "pictures"), Path(parent, "alone")
        pictures.mkdir()
        alone.mkdir()
        files = write_pictures(arguments.data, pictures, arguments.images)
        command = [sys.executable, "-m", "segformer_tf.cli", "export", arguments.model, str(directory)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        subprocess.run([sys.executable, "-c", ALONE, str(directory / "1"), str(alone), *map(str, files)], check=True)
        ways = {"tf.saved_model.load": [np.asarray(Image.open(alone / f"{i}.png")) for i in range(len(files))]}
        ways |= served(directory, [file.read_bytes() for file in files])
    with tempfile.TemporaryDirectory() as parent:
        from segformer_tf import SegmentationPipeline

        pipeline = SegmentationPipeline.from_pretrained(arguments.model)
        files = write_pictures(arguments.data, Path(parent), arguments.images)
        expected = [np.asarray(pipeline(file).labels) for file in files]
    different = 0
    for way, found in ways.items():
        pixels = sum(map_.size for map_ in found)
        differing = sum(int((map_ != expected[i % len(expected)]).sum()) for i, map_ in enumerate(found))
        print(f"{way}: {len(found)} pictures, {pixels} pixels, {differing} with another label than the pipeline's")
        different += differing
    if different or any(not found for found in ways.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
