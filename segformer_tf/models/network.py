"""The Mix Transformer (section 3.1 of the paper), composed functionally, one stage at a time."""

from segformer_tf.config import SegformerConfig
from segformer_tf.models.layers import EncoderLayer, OverlapPatchEmbeddings
from segformer_tf.models.norms import LayerNorm


class Stage:
    """One of the encoder's stages, as the Keras layers that it composes: patches, encoder layers, norm."""

    def __init__(self, config: SegformerConfig, index: int, dtype=None):
        first = sum(config.depths[:index])
        last_block = max(sum(config.depths) - 1, 1)
        channels = config.hidden_sizes[index]
        self.patch_embeddings = OverlapPatchEmbeddings(
            channels,
            config.patch_sizes[index],
            config.strides[index],
            name=f"patch_embeddings_{index}",
            dtype=dtype,
        )
        self.blocks = [
            EncoderLayer(
                channels,
                config.num_attention_heads[index],
                config.sr_ratios[index],
                config.mlp_ratios[index],
                activation=config.hidden_act,
                norm_eps=config.encoder_norm_eps,
                initializer_range=config.initializer_range,
                drop_path_rate=config.drop_path_rate * (first + i) / last_block,
                dropout_rate=config.hidden_dropout_prob,
                attention_dropout_rate=config.attention_probs_dropout_prob,
                name=f"block_{index}_{i}",
                dtype=dtype,
            )
            for i in range(config.depths[index])
        ]
        self.layer_norm = LayerNorm(epsilon=config.encoder_norm_eps, name=f"layer_norm_{index}", dtype=dtype)

    def __call__(self, x, output_attentions: bool = False):
        attentions = []
        x = self.patch_embeddings(x)
        for block in self.blocks:
            if output_attentions:
                x, weights = block(x, output_attentions=True)
                attentions.append(weights)
            else:
                x = block(x)
        return self.layer_norm(x), attentions


class Encoder:
    """All stages: `(B, H, W, C)` to one map a stage, `(B, H / 4, W / 4, hidden_sizes[0])` to `(B, H / 32, ...)`.

    Not a Keras layer: its layers lie flat in the graph of the model that calls it, so that users find each by name.
    """

    def __init__(self, config: SegformerConfig, dtype=None):
        self.stages = [Stage(config, i, dtype) for i in range(config.num_encoder_blocks)]

    def __call__(self, x, output_attentions: bool = False):
        maps, attentions = [], []
        for stage in self.stages:
            x, weights = stage(x, output_attentions)
            maps.append(x)
            attentions += weights
        return maps, attentions
