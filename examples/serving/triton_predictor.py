"""An exported model behind NVIDIA's Triton server: `pip install nvidia-pytriton tensorflow`, nothing of this package.

    python examples/serving/triton_predictor.py models/segformer/1 --http 8000
    python examples/serving/triton_predictor.py --ask examples/china.jpg --http 8000

The second line is a client: it writes masks/china_labels.png.
"""

import argparse
import os
import sys
import sysconfig
from pathlib import Path

import numpy as np


def serve(directory: Path, http: int) -> None:
    import tensorflow as tf
    from pytriton.decorators import batch
    from pytriton.model_config import ModelConfig, Tensor
    from pytriton.triton import Triton, TritonConfig

    # Triton's Python backend loads libpython: that of this Python, not of the system, whose release may be another.
    places = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, places))
    module = tf.saved_model.load(str(directory))
    signature = module.signatures["serving_default"]

    @batch
    def predict(image_bytes):
        answer = signature(image_bytes=tf.constant(image_bytes[:, 0]))
        return {name: answer[name].numpy().astype(object)[:, np.newaxis] for name in ("mask_bytes", "error")}

    one = {"dtype": bytes, "shape": (1,)}
    with Triton(config=TritonConfig(http_port=http, grpc_port=http + 1, metrics_port=http + 2)) as triton:
        triton.bind(
            model_name="segformer",
            infer_func=predict,
            inputs=[Tensor(name="image_bytes", **one)],
            outputs=[Tensor(name="mask_bytes", **one), Tensor(name="error", **one)],
            config=ModelConfig(max_batch_size=8),
        )
        triton.serve()


def ask(pictures: list[Path], http: int, output: Path) -> None:
    from mask_files import read, targets
    from pytriton.client import ModelClient
    from pytriton.client.exceptions import PyTritonClientError

    files, refused = targets(pictures, output), False
    every = read(pictures)
    url, patience = f"http://localhost:{http}", {"init_timeout_s": 120, "inference_timeout_s": 120}
    try:
        with ModelClient(url, "segformer", **patience) as client:
            answers = [client.infer_sample(np.array([data], object)) for data in every]
    except PyTritonClientError as error:
        raise SystemExit(f"{url} does not answer ({error}): start the server, or correct --http.") from None
    output.mkdir(parents=True, exist_ok=True)
    for picture, file, answer in zip(pictures, files, answers, strict=True):
        if error := answer["error"][0].decode():
            print(f"{picture}: {error}", file=sys.stderr)
            refused = True
        else:
            file.write_bytes(answer["mask_bytes"][0])
    sys.exit(refused)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, help="a version of an exported model")
    parser.add_argument("--ask", nargs="+", type=Path, metavar="PICTURE")
    parser.add_argument("--http", type=int, default=8000)
    parser.add_argument("--output", type=Path, default=Path("masks"))
    arguments = parser.parse_args()
    if arguments.ask:
        ask(arguments.ask, arguments.http, arguments.output)
    elif arguments.directory:
        serve(arguments.directory, arguments.http)
    else:
        parser.error("a directory to serve, or --ask")


if __name__ == "__main__":
    main()
