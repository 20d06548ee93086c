"""Pictures to label maps over TF Serving's gRPC interface; needs `pip install tensorflow-serving-api pillow`.

python grpc_client.py street.jpg other.png --output masks      # writes masks/street_labels.png, masks/other_labels.png
python grpc_client.py cat.jpg --model animals                  # a classifier: prints classes and scores
"""

# pyright: reportAttributeAccessIssue=false
# Protobuf makes the messages' classes when they are loaded.

import argparse
import io
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import numpy as np
import tensorflow as tf
from mask_files import likeliest, read, targets
from PIL import Image
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc


def segment(stub, model: str, files: list[bytes], version_label: str = "") -> list[tuple[bytes, str]]:
    """One (PNG whose values are class ids, error text) a file.

    SystemExit with one sentence where the server refuses all of them, or none answers.
    """
    outputs = predicted(stub, model, files, ["mask_bytes", "error"], version_label)
    return list(zip(outputs["mask_bytes"].string_val, texts(outputs["error"]), strict=True))


def classify(stub, model: str, files: list[bytes], version_label: str = "") -> list[tuple[str, str]]:
    """One (classes and scores in words, error text) a file. SystemExit as `segment`."""
    outputs = predicted(stub, model, files, ["classes", "scores", "error"], version_label)
    shape = [dim.size for dim in outputs["scores"].tensor_shape.dim]
    names, scores = np.reshape(texts(outputs["classes"]), shape), tf.make_ndarray(outputs["scores"])
    answers = [likeliest(*row) for row in zip(names, scores, strict=True)]
    return list(zip(answers, texts(outputs["error"]), strict=True))


def texts(tensor) -> list[str]:
    return [value.decode() for value in tensor.string_val]


def predicted(stub, model: str, files: list[bytes], names: list[str], version_label: str):
    """The outputs of these names, as protos."""
    request = predict_pb2.PredictRequest(output_filter=names)
    chosen(request, model, version_label)
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(files))
    return asked(stub.Predict, request).outputs


def classifies(stub, model: str, version_label: str = "") -> bool:
    """Whether the model has classes in place of masks, as its signature says."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    chosen(request, model, version_label)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    asked(stub.GetModelMetadata, request).metadata["signature_def"].Unpack(signatures)
    return "classes" in signatures.signature_def["serving_default"].outputs


def chosen(request, model: str, version_label: str) -> None:
    request.model_spec.name = model
    if version_label:  # such as "canary"; see models.config
        request.model_spec.version_label = version_label


def asked(call, request):
    try:
        return call(request, timeout=60)
    except grpc.RpcError as error:
        raise SystemExit(f"{error.code().name}: {error.details()}") from None


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
        by_class = classifies(stub, arguments.model, arguments.version_label)
        answers = (classify if by_class else segment)(stub, arguments.model, data, arguments.version_label)
    if not by_class:
        arguments.output.mkdir(parents=True, exist_ok=True)
    for path, file, (answer, error) in zip(arguments.pictures, files, answers, strict=True):
        if error:
            print(f"{path}: {error}", file=sys.stderr)
            continue
        if by_class:
            print(f"{path}: {answer}")
            continue
        file.write_bytes(answer)
        labels = np.asarray(Image.open(io.BytesIO(answer)))
        print(f"{file}: {labels.shape[1]} x {labels.shape[0]}, classes {np.unique(labels).tolist()}")
    sys.exit(any(error for _, error in answers))


if __name__ == "__main__":
    main()
