"""Pictures to label maps over TF Serving's gRPC interface; needs `pip install tensorflow-serving-api pillow`.

python grpc_client.py street.jpg other.png --output masks      # writes masks/street_labels.png, masks/other_labels.png
"""

import argparse
import io
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from mask_files import read, targets
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def segment(stub, model: str, files: list[bytes], version_label: str = "") -> list[tuple[bytes, str]]:
    """One (PNG whose values are class ids, error text) a file.

    SystemExit with one sentence where the server refuses all of them, or none answers.
    """
    request = predict_pb2.PredictRequest(output_filter=["mask_bytes", "error"])
    request.model_spec.name = model
    if version_label:  # such as "canary"; see models.config
        request.model_spec.version_label = version_label
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files))
    try:
        outputs = stub.Predict(request, timeout=60).outputs
    except grpc.RpcError as error:
        raise SystemExit(f"{error.code().name}: {error.details()}") from None
    errors = [error.decode() for error in outputs["error"].string_val]
    return list(zip(outputs["mask_bytes"].string_val, errors, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--address", default="localhost:8500")
    parser.add_argument("--model", default="segformer")
    parser.add_argument("--version-label", default="")
    parser.add_argument("--output", type=Path, default=Path("masks"))
    arguments = parser.parse_args()
    files = targets(arguments.pictures, arguments.output)
    data = read(arguments.pictures)
    with grpc.insecure_channel(arguments.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        answers = segment(stub, arguments.model, data, arguments.version_label)
    arguments.output.mkdir(parents=True, exist_ok=True)
    for path, file, (mask, error) in zip(arguments.pictures, files, answers, strict=True):
        if error:
            print(f"{path}: {error}", file=sys.stderr)
            continue
        file.write_bytes(mask)
        labels = np.asarray(Image.open(io.BytesIO(mask)))
        print(f"{file}: {labels.shape[1]} x {labels.shape[0]}, classes {np.unique(labels).tolist()}")
    sys.exit(any(error for _, error in answers))


if __name__ == "__main__":
    main()
