"""`python run_litert.py model.tflite picture.jpg labels.png`: LiteRT, NumPy and Pillow, nothing else."""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

model, picture, output = sys.argv[1:]
interpreter = Interpreter(model)
height, width = interpreter.get_input_details()[0]["shape"][1:3]
image = Image.open(picture).convert("RGB")
pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), "float32")[np.newaxis] / 255
pixels = (pixels - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
logits = interpreter.get_signature_runner()(pixel_values=pixels)["logits"]  # (1, H / 4, W / 4, classes)
labels = Image.fromarray(logits[0].argmax(-1).astype("uint8"))
labels.resize(image.size, Image.Resampling.NEAREST).save(output)
