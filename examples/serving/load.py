"""Many clients at once over gRPC: pictures a second, latencies, errors, as one JSON line.

python load.py street.jpg --clients 8 --seconds 30
"""

# pyright: reportAttributeAccessIssue=false
# Protobuf makes the messages' classes when they are loaded.

import argparse
import json
import math
import os
import statistics
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import grpc
import tensorflow as tf
from grpc_client import classifies
from mask_files import read
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc


def run(address: str, model: str, files: list[bytes], clients: int, seconds: float) -> dict:
    """Every client sends one picture a request, the next as soon as the last is answered."""
    latencies: list[float] = []
    errors: list[str] = []
    with grpc.insecure_channel(address) as channel:
        by_class = classifies(prediction_service_pb2_grpc.PredictionServiceStub(channel), model)
    wanted = [*(["classes", "scores"] if by_class else ["mask_bytes"]), "error"]
    end = time.monotonic() + seconds

    def client(number: int) -> None:
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            turn = number
            while time.monotonic() < end:
                request = predict_pb2.PredictRequest(output_filter=wanted)
                request.model_spec.name = model
                request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([files[turn % len(files)]]))
                start = time.monotonic()
                try:
                    answer = stub.Predict(request, timeout=120)
                    errors.extend(text.decode() for text in answer.outputs["error"].string_val if text)
                except grpc.RpcError as error:
                    errors.append(f"{error.code().name}: {error.details()}")
                latencies.append(time.monotonic() - start)
                turn += 1

    start = time.monotonic()
    threads = [threading.Thread(target=client, args=(i,)) for i in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ordered = sorted(latencies)
    return {
        "clients": clients,
        "requests": len(latencies),
        "errors": len(errors),
        "first_error": errors[0] if errors else None,
        "pictures_per_second": round(len(latencies) / (time.monotonic() - start), 2),
        "median_ms": round(statistics.median(ordered) * 1000, 1),
        "p95_ms": round(ordered[math.ceil(0.95 * len(ordered)) - 1] * 1000, 1),
        "p99_ms": round(ordered[math.ceil(0.99 * len(ordered)) - 1] * 1000, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--address", default="localhost:8500")
    parser.add_argument("--model", default="segformer")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    result = run(arguments.address, arguments.model, read(arguments.pictures), arguments.clients, arguments.seconds)
    print(json.dumps(result))
    raise SystemExit(1 if result["errors"] else 0)


if __name__ == "__main__":
    main()
