"""`python run_litert.py model.tflite picture.jpg labels.png`: LiteRT, NumPy and Pillow, nothing else."""

import sys
import zipfile

from ai_edge_litert.interpreter import Interpreter
from pictures import opened, pixel_values, save, settings

model, picture, output = sys.argv[1:]
described = zipfile.is_zipfile(model)  # LiteRT keeps such files in a zip behind the model
about = settings(zipfile.ZipFile(model).read("segformer_tf.json") if described else None, model)
image = opened(picture, about)
run = Interpreter(model).get_signature_runner()
save(run(pixel_values=pixel_values(image, about))["logits"], image, output)
