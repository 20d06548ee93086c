"""Checkpoints as methods of the models: read from anywhere, written as on the Hub."""

import os
import tempfile
from typing import Any

import keras

from segformer_tf import checkpoints
from segformer_tf.models.config import SegformerConfig


class Pretrained:
    """`from_pretrained`, `save_pretrained`, `push_to_hub` and what Keras needs to save the model itself."""

    checkpoint_part = ""  # the paths that this model takes from a checkpoint begin so

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike,
        *,
        config: SegformerConfig | None = None,
        num_labels: int | None = None,
        id2label: dict[int, str] | None = None,
        label2id: dict[str, int] | None = None,
        ignore_mismatched_sizes: bool = False,
        revision: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        subfolder: str | None = None,
        output_loading_info: bool = False,
        data_format: str | None = None,
        dtype: Any = None,
        **config_overrides: Any,
    ):
        """The model with a checkpoint's weights.

        Args:
            name_or_path: A Hub id, a directory, one weight file, or the name of a bundled model.
            num_labels, id2label, label2id: Other classes than the checkpoint's; its head then needs
                `ignore_mismatched_sizes=True` and starts from random values.
            output_loading_info: Return (model, dict of missing, unexpected and mismatched tensors).
            dtype: A Keras dtype policy, such as "mixed_bfloat16".
            config_overrides: Other keys of the configuration.

        Raises:
            FileNotFoundError: No such file, model or revision.
            OSError: The Hub cannot be reached.
            ValueError: The file is damaged or another model's, or a tensor or a variable does not find its counterpart;
                lists all of them.
        """
        checkpoint = checkpoints.load(
            name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            subfolder=subfolder,
        )
        overrides = {"num_labels": num_labels, "id2label": id2label, "label2id": label2id, **config_overrides}
        values = checkpoint.config if config is None else config.to_dict()
        model = cls(SegformerConfig.from_dict(values, **overrides), data_format=data_format, dtype=dtype)
        variables = {variable.path: variable for variable in model.weights}
        arrays, report = checkpoints.match(
            {path: variable.shape for path, variable in variables.items()},
            {path: array for path, array in checkpoint.variables.items() if path.startswith(cls.checkpoint_part)},
            str(checkpoint.file),
            checkpoint.unexpected,
            ignore_mismatched_sizes,
        )
        for path, array in arrays.items():
            variables[path].assign(array)
        return (model, report) if output_loading_info else model

    def save_pretrained(self, directory: str | os.PathLike, max_shard_size: int | str | None = None) -> None:
        """Writes `config.json` and `model.safetensors` under the Hub's names, which transformers' PyTorch classes read.

        Args:
            max_shard_size: Bytes, or a text such as "5GB", above which the weights are split into shards.

        Raises:
            OSError: The directory cannot be written; files that were there are left as they were.
        """
        checkpoints.save(directory, self.config.to_dict(), self.variable_arrays(), max_shard_size)

    def variable_arrays(self) -> dict[str, Any]:
        """Every variable by its path, as a numpy array in float32."""
        arrays = ((variable.path, keras.ops.convert_to_numpy(variable.value)) for variable in self.weights)
        return {path: array.astype("float32", copy=False) for path, array in arrays}

    def push_to_hub(
        self,
        repo_id: str,
        *,
        metrics: dict[str, float] | None = None,
        protocol: str | None = None,
        max_shard_size: int | str | None = None,
        **upload_arguments: Any,
    ) -> str:
        """Saves the model and uploads it with a model card; returns the commit's address.

        Args:
            metrics: Scores for the card, as fractions; `protocol` says how they were measured.
            upload_arguments: `token`, `private`, `commit_message`, `revision`, `create_pr`.

        Raises:
            OSError: The Hub cannot be reached or refuses.
        """
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory, max_shard_size)
            card = checkpoints.model_card(repo_id, checkpoints.load_config(directory), metrics, protocol)
            return checkpoints.push_to_hub(directory, repo_id, card=card, **upload_arguments)

    def get_config(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "data_format": self.data_format,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "trainable": self.trainable,
        }

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None):
        """The model that `get_config` describes, with new weights; also takes a `SegformerConfig`."""
        if isinstance(config, SegformerConfig):
            return cls(config)
        return cls(**{**config, "config": SegformerConfig.from_dict(config["config"])})


def checked(config: SegformerConfig, data_format: str | None, dtype: Any) -> tuple[str, Any]:
    """Data format and dtype policy that a model is made with, `None` standing for Keras' own settings."""
    if not isinstance(config, SegformerConfig):
        raise ValueError(f"config is a {type(config).__name__}, expected a SegformerConfig: pass one.")
    data_format = data_format or keras.config.image_data_format()
    if data_format not in ("channels_last", "channels_first"):
        raise ValueError(
            f'data_format is {data_format!r}, expected "channels_last", "channels_first" or None: choose one.'
        )
    return data_format, keras.dtype_policies.get(dtype or keras.config.dtype_policy())
