"""`python run_onnx.py model.onnx picture.jpg labels.png`: ONNX Runtime, NumPy and Pillow, nothing else."""

import sys

import onnxruntime
from pictures import opened, pixel_values, save, settings

model, picture, output = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
about = settings(session.get_modelmeta().custom_metadata_map.get("segformer_tf"), model)
image = opened(picture, about)
logits = session.run(["logits"], {"pixel_values": pixel_values(image, about)})[0]
save(logits, image, output)
