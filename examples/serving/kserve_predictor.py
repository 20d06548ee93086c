"""An exported model behind KServe's own Python server: `pip install kserve tensorflow`, nothing of this package.

    python examples/serving/kserve_predictor.py --model_name segformer --directory models/segformer/1

It answers the requests of rest_client.py: `--url http://localhost:8080/v1/models/segformer`.
"""

import argparse
import base64

import kserve
import tensorflow as tf


class Predictor(kserve.Model):
    """Picture files in, label maps out, as the SavedModel's `serving_default` has them."""

    def __init__(self, name: str, directory: str):
        super().__init__(name)
        self.directory = directory
        self.load()

    def load(self) -> bool:
        self.module = tf.saved_model.load(self.directory)  # the signature does not keep its weights alive
        self.signature = self.module.signatures["serving_default"]
        self.ready = True
        return True

    def predict(self, payload, headers=None, response_headers=None):
        try:
            files = [base64.b64decode(row["image_bytes"]["b64"], validate=True) for row in payload["instances"]]
        except (KeyError, TypeError, ValueError):
            raise kserve.errors.InvalidInput('expected rows of {"image_bytes": {"b64": text}}') from None
        answer = self.signature(image_bytes=tf.constant(files))
        masks, errors = answer["mask_bytes"].numpy(), answer["error"].numpy()
        rows = zip(masks, errors, strict=True)
        return {
            "predictions": [{"mask_bytes": {"b64": base64.b64encode(m).decode()}, "error": e.decode()} for m, e in rows]
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(parents=[kserve.model_server.parser])
    parser.add_argument("--directory", required=True, help="a version of an exported model")
    arguments, _ = parser.parse_known_args()
    kserve.ModelServer().start([Predictor(arguments.model_name, arguments.directory)])
