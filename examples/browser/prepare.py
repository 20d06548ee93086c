"""Writes what the page and its test need: model.onnx, classes.json, a picture and the labels Keras gives it."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from segformer_tf import SegformerImageProcessor, TFSegformerForSemanticSegmentation
from segformer_tf.export.export import export
from segformer_tf.images import palette_for

HERE, MODEL, SIZE = Path(__file__).parent, "segformer-b0-camvid", (360, 480)

model = TFSegformerForSemanticSegmentation.from_pretrained(MODEL, data_format="channels_last")
export(model, HERE, "onnx", processor=SegformerImageProcessor.from_pretrained(MODEL), size=SIZE)
names = model.config.id2label
colours = palette_for(names)
classes = [{"id": i, "name": names[i], "color": np.asarray(colours)[i].tolist()} for i in sorted(names)]
(HERE / "classes.json").write_text(json.dumps(classes))
picture = Image.open(HERE.parent / "china.jpg").convert("RGB").resize(SIZE[::-1])
processor = SegformerImageProcessor(do_resize=False)
logits = model(processor(picture, return_tensors="np", data_format="channels_last")["pixel_values"])["logits"]
rgba = np.asarray(picture.convert("RGBA"))
labels = np.argmax(np.asarray(logits)[0], -1)
picture_file = {"rgba": rgba.ravel().tolist(), "height": SIZE[0], "width": SIZE[1], "expected": labels.ravel().tolist()}
(HERE / "picture.json").write_text(json.dumps(picture_file))
