"""`python run_onnx.py model.onnx picture.jpg labels.png`: ONNX Runtime, NumPy and Pillow, nothing else."""

import sys

import numpy as np
import onnxruntime
from PIL import Image

model, picture, output = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
height, width = (side if isinstance(side, int) else 512 for side in session.get_inputs()[0].shape[1:3])
image = Image.open(picture).convert("RGB")
pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), "float32")[np.newaxis] / 255
pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
logits = session.run(["logits"], {"pixel_values": pixels})[0]  # (1, H / 4, W / 4, classes)
labels = Image.fromarray(logits[0].argmax(-1).astype("uint8"))
labels.resize(image.size, Image.Resampling.NEAREST).save(output)
