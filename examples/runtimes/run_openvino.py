"""`python run_openvino.py openvino_model.xml picture.jpg labels.png`: OpenVINO, NumPy and Pillow, nothing else."""

import sys

import openvino
from pictures import opened, pixel_values, save, settings

model, picture, output = sys.argv[1:]
network = openvino.Core().read_model(model)
where = ["segformer_tf", "model"]
about = settings(network.get_rt_info(where).astype(str) if network.has_rt_info(where) else None, model)
network.reshape([1, *about["size"], 3])  # OpenVINO takes less than half the time where it knows the shapes
# Without the hint OpenVINO computes in bfloat16 where the processor can: faster, and about 0.1 % of the labels change.
compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
image = opened(picture, about)
save(compiled(pixel_values(image, about))["logits"], image, output)
