"""A video in, label frames and an overlay out. PyAV and TensorFlow are loaded only by the functions that use them."""

from segformer_tf.pipelines.video.frames import open_frames
from segformer_tf.pipelines.video.labelling import label_video

__all__ = ["label_video", "open_frames"]
