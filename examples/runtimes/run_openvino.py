"""`python run_openvino.py openvino_model.xml picture.jpg labels.png`: OpenVINO, NumPy and Pillow, nothing else."""

import sys

import numpy as np
import openvino
from PIL import Image

model, picture, output = sys.argv[1:]
network = openvino.Core().read_model(model)
height, width = (side.get_length() if side.is_static else 512 for side in list(network.input().partial_shape)[1:3])
network.reshape([1, height, width, 3])  # OpenVINO takes less than half the time where it knows the shapes
# Without the hint OpenVINO computes in bfloat16 where the processor can: faster, and about 0.1 % of the labels change.
compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
image = Image.open(picture).convert("RGB")
pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), "float32")[np.newaxis] / 255
pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
logits = compiled(pixels)["logits"]  # (1, H / 4, W / 4, classes)
labels = Image.fromarray(logits[0].argmax(-1).astype("uint8"))
labels.resize(image.size, Image.Resampling.NEAREST).save(output)
