"""Tables of names: of the tensors in every checkpoint layout, and of what a model with each head is. Data alone."""

import re
from typing import NamedTuple

# Rows: kind, the model's variables, the checkpoint's tensors.
# {s}: stage from 0, {n}: stage from 1, {l}: layer in the stage.
# "key+value" is one tensor that holds both, joined along its output axis.
HUB = (
    ("conv", "patch_embeddings_{s}/proj", "encoder.patch_embeddings.{s}.proj"),
    ("norm", "patch_embeddings_{s}/layer_norm", "encoder.patch_embeddings.{s}.layer_norm"),
    ("norm", "block_{s}_{l}/layer_norm_1", "encoder.block.{s}.{l}.layer_norm_1"),
    ("dense", "block_{s}_{l}/attention/query", "encoder.block.{s}.{l}.attention.self.query"),
    ("dense", "block_{s}_{l}/attention/key", "encoder.block.{s}.{l}.attention.self.key"),
    ("dense", "block_{s}_{l}/attention/value", "encoder.block.{s}.{l}.attention.self.value"),
    ("conv", "block_{s}_{l}/attention/sr", "encoder.block.{s}.{l}.attention.self.sr"),
    ("norm", "block_{s}_{l}/attention/layer_norm", "encoder.block.{s}.{l}.attention.self.layer_norm"),
    ("dense", "block_{s}_{l}/attention/output", "encoder.block.{s}.{l}.attention.output.dense"),
    ("norm", "block_{s}_{l}/layer_norm_2", "encoder.block.{s}.{l}.layer_norm_2"),
    ("dense", "block_{s}_{l}/mlp/dense1", "encoder.block.{s}.{l}.mlp.dense1"),
    ("depthwise", "block_{s}_{l}/mlp/dwconv", "encoder.block.{s}.{l}.mlp.dwconv.dwconv"),
    ("dense", "block_{s}_{l}/mlp/dense2", "encoder.block.{s}.{l}.mlp.dense2"),
    ("norm", "layer_norm_{s}", "encoder.layer_norm.{s}"),
    ("dense", "decode_head/linear_c_{s}", "decode_head.linear_c.{s}.proj"),
    ("pointwise", "decode_head/linear_fuse", "decode_head.linear_fuse"),
    ("batch_norm", "decode_head/batch_norm", "decode_head.batch_norm"),
    ("pointwise", "decode_head/classifier", "decode_head.classifier"),
    ("dense", "classifier", "classifier"),
)
# What a live module of transformers 5 calls them; its files keep the names above.
TRANSFORMERS5 = (
    ("conv", "patch_embeddings_{s}/proj", "stages.{s}.patch_embeddings.proj"),
    ("norm", "patch_embeddings_{s}/layer_norm", "stages.{s}.patch_embeddings.layer_norm"),
    ("norm", "block_{s}_{l}/layer_norm_1", "stages.{s}.blocks.{l}.layernorm_before"),
    ("dense", "block_{s}_{l}/attention/query", "stages.{s}.blocks.{l}.attention.q_proj"),
    ("dense", "block_{s}_{l}/attention/key", "stages.{s}.blocks.{l}.attention.k_proj"),
    ("dense", "block_{s}_{l}/attention/value", "stages.{s}.blocks.{l}.attention.v_proj"),
    ("conv", "block_{s}_{l}/attention/sr", "stages.{s}.blocks.{l}.attention.sequence_reduction.sequence_reduction"),
    ("norm", "block_{s}_{l}/attention/layer_norm", "stages.{s}.blocks.{l}.attention.sequence_reduction.layer_norm"),
    ("dense", "block_{s}_{l}/attention/output", "stages.{s}.blocks.{l}.attention.o_proj"),
    ("norm", "block_{s}_{l}/layer_norm_2", "stages.{s}.blocks.{l}.layernorm_after"),
    ("dense", "block_{s}_{l}/mlp/dense1", "stages.{s}.blocks.{l}.mlp.fc1"),
    ("depthwise", "block_{s}_{l}/mlp/dwconv", "stages.{s}.blocks.{l}.mlp.dwconv.dwconv"),
    ("dense", "block_{s}_{l}/mlp/dense2", "stages.{s}.blocks.{l}.mlp.fc2"),
    ("norm", "layer_norm_{s}", "stages.{s}.layer_norm"),
    ("dense", "decode_head/linear_c_{s}", "decode_head.linear_projections.{s}.proj"),
    *HUB[15:],
)
# github.com/NVlabs/SegFormer and MMSegmentation before 1.0.
NVLABS = (
    ("conv", "patch_embeddings_{s}/proj", "patch_embed{n}.proj"),
    ("norm", "patch_embeddings_{s}/layer_norm", "patch_embed{n}.norm"),
    ("norm", "block_{s}_{l}/layer_norm_1", "block{n}.{l}.norm1"),
    ("dense", "block_{s}_{l}/attention/query", "block{n}.{l}.attn.q"),
    ("dense", "block_{s}_{l}/attention/key+value", "block{n}.{l}.attn.kv"),
    ("conv", "block_{s}_{l}/attention/sr", "block{n}.{l}.attn.sr"),
    ("norm", "block_{s}_{l}/attention/layer_norm", "block{n}.{l}.attn.norm"),
    ("dense", "block_{s}_{l}/attention/output", "block{n}.{l}.attn.proj"),
    ("norm", "block_{s}_{l}/layer_norm_2", "block{n}.{l}.norm2"),
    ("dense", "block_{s}_{l}/mlp/dense1", "block{n}.{l}.mlp.fc1"),
    ("depthwise", "block_{s}_{l}/mlp/dwconv", "block{n}.{l}.mlp.dwconv.dwconv"),
    ("dense", "block_{s}_{l}/mlp/dense2", "block{n}.{l}.mlp.fc2"),
    ("norm", "layer_norm_{s}", "norm{n}"),
    ("dense", "decode_head/linear_c_{s}", "decode_head.linear_c{n}.proj"),
    ("pointwise", "decode_head/linear_fuse", "decode_head.linear_fuse.conv"),
    ("batch_norm", "decode_head/batch_norm", "decode_head.linear_fuse.bn"),
    ("pointwise", "decode_head/classifier", "decode_head.linear_pred"),
    ("dense", "classifier", "head"),
)
# MixVisionTransformer of MMSegmentation 1.x, encoder only: its decode head is another architecture.
MMSEG = (
    ("conv", "patch_embeddings_{s}/proj", "layers.{s}.0.projection"),
    ("norm", "patch_embeddings_{s}/layer_norm", "layers.{s}.0.norm"),
    ("norm", "block_{s}_{l}/layer_norm_1", "layers.{s}.1.{l}.norm1"),
    ("dense", "block_{s}_{l}/attention/query+key+value", "layers.{s}.1.{l}.attn.attn.in_proj_{leaf}"),
    ("conv", "block_{s}_{l}/attention/sr", "layers.{s}.1.{l}.attn.sr"),
    ("norm", "block_{s}_{l}/attention/layer_norm", "layers.{s}.1.{l}.attn.norm"),
    ("dense", "block_{s}_{l}/attention/output", "layers.{s}.1.{l}.attn.attn.out_proj"),
    ("norm", "block_{s}_{l}/layer_norm_2", "layers.{s}.1.{l}.norm2"),
    ("pointwise", "block_{s}_{l}/mlp/dense1", "layers.{s}.1.{l}.ffn.layers.0"),
    ("depthwise", "block_{s}_{l}/mlp/dwconv", "layers.{s}.1.{l}.ffn.layers.1"),
    ("pointwise", "block_{s}_{l}/mlp/dense2", "layers.{s}.1.{l}.ffn.layers.4"),
    ("norm", "layer_norm_{s}", "layers.{s}.2"),
)
# transformers' TensorFlow classes: the Hub's names with "/" between modules ("linear_c.0/proj"), leaves as in Keras.
TF = tuple((kind, variable, re.sub(r"\.(?!{)", "/", tensor) + "/{leaf}:0") for kind, variable, tensor in HUB)


class Layout(NamedTuple):
    """A table, its encoder's prefix, a pattern of what may stand before a name, and one of tensors that nobody uses."""

    rows: tuple[tuple[str, str, str], ...]
    prefix: str
    before: str = ""
    unused: str = r".*\.num_batches_tracked"


LAYOUTS = {
    "hub": Layout(HUB, "segformer."),
    "transformers5": Layout(TRANSFORMERS5, "segformer."),
    "nvlabs": Layout(NVLABS, "backbone.", unused=r".*\.num_batches_tracked|decode_head\.conv_seg\..*"),
    "mmseg": Layout(MMSEG, "backbone."),
    "tf": Layout(TF, "segformer/", before="(?:[^/]+/)?"),
}


class Task(NamedTuple):
    """What a model with a head is.

    Attributes:
        name: The field's word.
        head: The first part of the paths of the variables that it adds to the encoder; None for an encoder alone.
        architecture: The class in transformers, which `config.json` names.
        tf_model: What transformers' TensorFlow class writes before the names in its files.
        bias: The path of the head's last bias, one value a class.
    """

    name: str
    head: str | None
    architecture: str
    tf_model: str
    bias: str = ""

    @property
    def class_name(self) -> str:
        """The Keras model's class."""
        return f"TF{self.architecture}"


SEGMENTATION = Task(
    "segmentation",
    "decode_head",
    "SegformerForSemanticSegmentation",
    "tf_segformer_for_semantic_segmentation",
    "decode_head/classifier/bias",
)
CLASSIFICATION = Task(
    "classification",
    "classifier",
    "SegformerForImageClassification",
    "tf_segformer_for_image_classification",
    "classifier/bias",
)
ENCODING = Task("encoding", None, "SegformerModel", "tf_segformer_model")
TASKS = {task.head: task for task in (SEGMENTATION, CLASSIFICATION, ENCODING)}
HEADS = tuple(head for head in TASKS if head)
