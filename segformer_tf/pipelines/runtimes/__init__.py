"""What computes logits: TensorFlow, OpenVINO, ONNX Runtime, LiteRT or NumPy, and the files that they are read from."""
