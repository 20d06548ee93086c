"""Checkpoints as methods of the models: read from anywhere, written as on the Hub."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from segformer_tf import checkpoints
from segformer_tf.config import SegformerConfig
from segformer_tf.models import layer_states, private
from segformer_tf.models.compat import TransformersInterface
from segformer_tf.models.settings import as_config
from segformer_tf.storage import find, publish
from segformer_tf.storage.keywords import also_called, check_keywords, drop_without_effect, keywords_of
from segformer_tf.storage.whole import staged

if TYPE_CHECKING:
    from typing_extensions import Self


class Pretrained(TransformersInterface):
    """`from_pretrained`, `save_pretrained`, `push_to_hub` and what Keras needs to save the model itself."""

    config: SegformerConfig
    data_format: str
    checkpoint_part = ""  # the paths that this model takes from a checkpoint begin so

    @classmethod
    @also_called(pretrained_model_name_or_path="name_or_path")
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike,
        *,
        config: Any = None,
        num_labels: int | None = None,
        id2label: dict[int, str] | None = None,
        label2id: dict[str, int] | None = None,
        ignore_mismatched_sizes: bool = False,
        revision: str | None = None,
        cache_dir: str | os.PathLike | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str | None = None,
        use_safetensors: bool | None = None,
        from_pt: bool = False,
        output_loading_info: bool = False,
        data_format: str | None = None,
        dtype: Any = None,
        name: str | None = None,
        trainable: bool = True,
        **config_overrides: Any,
    ) -> "Self":
        """The model with a checkpoint's weights.

        Args:
            name_or_path: A Hub id, a directory, one weight file, or the name of a bundled model.
            config: Another configuration than the checkpoint's, as the constructor takes it, or where it lies.
            num_labels, id2label, label2id: Other classes than the checkpoint's; its head then needs
                `ignore_mismatched_sizes=True` and starts from random values.
            use_safetensors: True: no other files; False: all but these.
            from_pt: Accepted from programs written for transformers; PyTorch's files need no telling here.
            output_loading_info: Return (model, dict of missing, unexpected and mismatched tensors).
            dtype: A Keras dtype policy, such as "mixed_bfloat16".
            name: Keras' of the model; two that become parts of one need names of their own.
            config_overrides: Other keys of the configuration. With another `num_channels` the first convolution's
                kernels are summed or repeated (`checkpoints.adapt_channels`), with a warning that says so.

        Raises:
            TypeError: A keyword that is neither an argument nor a key of the configuration; names the nearest.
            FileNotFoundError: No such file, model or revision.
            OSError: The Hub cannot be reached.
            ValueError: The file is damaged or another model's, or a tensor or a variable does not find its counterpart;
                lists all of them.
        """
        del from_pt
        drop_without_effect(config_overrides)
        known = (*keywords_of(Pretrained.from_pretrained), *SegformerConfig.KEYS)
        check_keywords("from_pretrained", config_overrides, known)
        how = {"cache_dir": cache_dir, "token": token}
        how |= {"local_files_only": local_files_only, "force_download": force_download}
        which = {"revision": revision, "subfolder": subfolder, "use_safetensors": use_safetensors}
        checkpoint = checkpoints.load(name_or_path, **which, **how)
        if isinstance(config, (str, os.PathLike)):
            config = SegformerConfig.from_pretrained(config, **how)
        values = checkpoint.config if config is None else as_config(config).to_dict()
        overrides = {"num_labels": num_labels, "id2label": id2label, "label2id": label2id, **config_overrides}
        config = SegformerConfig.from_dict(values, **overrides)
        config.name_or_path = str(name_or_path)
        of_keras = {"data_format": data_format, "dtype": dtype, "name": name, "trainable": trainable}
        model, report = cls.from_checkpoint(checkpoint, config, ignore_mismatched_sizes, **of_keras)
        result: Any = (model, report) if output_loading_info else model
        return result

    @classmethod
    def from_torch_module(cls, module: Any, *, data_format: str | None = None, dtype=None, name=None, **overrides: Any):
        """The model with the weights of a PyTorch SegFormer in memory: transformers' 4 or 5, or NVlabs' own code.

        `overrides` are keys of the configuration, which is the module's own or is read off its tensors.

        Raises:
            ValueError: A module of another kind, or whose tensors do not fit; lists all of them.
        """
        checkpoint = checkpoints.from_torch_module(module)
        config = SegformerConfig.from_dict(checkpoint.config, **overrides)
        return cls.from_checkpoint(checkpoint, config, data_format=data_format, dtype=dtype, name=name)[0]

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: checkpoints.Checkpoint,
        config: SegformerConfig,
        ignore_mismatched_sizes: bool = False,
        **of_keras: Any,
    ) -> "tuple[Self, dict[str, list]]":
        """(model, report) of what `checkpoints.load` gave; the report is `from_pretrained`'s loading info."""
        found, adapted = checkpoint.variables, None
        if config.num_channels != checkpoint.config.get("num_channels", 3):
            found, adapted = checkpoints.adapt_channels(found, config.num_channels)
        model = cls(config, **of_keras)
        variables = {variable.path: variable for variable in model.weights}
        arrays, report = checkpoints.match(
            {path: variable.shape for path, variable in variables.items()},
            {path: array for path, array in found.items() if path.startswith(cls.checkpoint_part)},
            str(checkpoint.file),
            checkpoint.unexpected,
            ignore_mismatched_sizes,
        )
        if adapted:
            warnings.warn(f"{checkpoint.file}: {adapted}", UserWarning, stacklevel=3)
        for path, array in arrays.items():
            variables[path].assign(array)
        return model, report

    def save_pretrained(
        self,
        save_directory: str | os.PathLike,
        max_shard_size: int | str | None = None,
        *,
        safe_serialization: bool = True,
        saved_model: bool = False,
        version: int = 1,
        push_to_hub: bool = False,
        **hub_arguments: Any,
    ) -> None:
        """Writes `config.json` and `model.safetensors` under the Hub's names, which transformers' PyTorch classes read.

        Args:
            max_shard_size: Bytes, or a text such as "5GB", above which the weights are split into shards; for
                `tf_model.h5`, which is one file, an error.
            safe_serialization: False writes `tf_model.h5`, which transformers' TensorFlow classes read, instead.
            saved_model: Also write a TensorFlow SavedModel, to `saved_model/<version>`.
            push_to_hub: Also upload, as `push_to_hub` does with `hub_arguments` (`repo_id`, `token`, ...).

        Raises:
            OSError: The directory cannot be written; files that were there are left as they were.
        """
        known = (*keywords_of(self.save_pretrained), *keywords_of(self.push_to_hub), *publish.ARGUMENTS)
        check_keywords("save_pretrained", hub_arguments, known)
        variables = self.variable_arrays()
        if safe_serialization:
            checkpoints.save(save_directory, self.config.to_dict(), variables, max_shard_size)
        else:
            checkpoints.save_h5(save_directory, self.config.to_dict(), variables, max_shard_size)
        if saved_model:
            directory = Path(save_directory) / "saved_model"
            with staged(directory, lambda: [str(version)]) as stage:  # also over an earlier one
                self.export(stage / str(version), verbose=False)
        if push_to_hub:
            repo_id = hub_arguments.pop("repo_id", Path(save_directory).name)
            self.push_to_hub(repo_id, max_shard_size=max_shard_size, **hub_arguments)

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        # Keras hands `training` to every layer, and leaves it out where `call` has none.
        check_keywords("The model", keywords, (*keywords_of(self.call), "training"))
        return super().__call__(*args, **keywords)

    def variable_arrays(self) -> dict[str, Any]:
        """Every variable by its path, as a numpy array in float32; LoRA's products are added to their kernels.

        ValueError for a quantized model, whose kernels are no longer those of the checkpoint.
        """
        if modes := {*layer_states.quantization_modes(self).values()}:
            raise ValueError(
                f"The model is quantized ({', '.join(modes)}), and the Hub's files hold floats: save it by "
                "`model.save(...)` as .keras or by `save_weights`, or save_pretrained it before `quantize`."
            )
        values = {variable.path: variable.value for variable in self.weights}
        for layer in private.parts_of(self):
            if getattr(layer, "lora_enabled", False):
                values[private.kernel_beside_lora(layer).path] = layer.kernel
                del values[layer.lora_kernel_a.path], values[layer.lora_kernel_b.path]
        arrays = {path: np.asarray(value) for path, value in values.items()}
        return {path: array.astype("float32", copy=False) for path, array in arrays.items()}

    def push_to_hub(
        self,
        repo_id: str,
        *,
        metrics: dict[str, float] | None = None,
        protocol: str | None = None,
        about: str | None = None,
        max_shard_size: int | str | None = None,
        **upload_arguments: Any,
    ) -> str:
        """Saves the model and uploads it with a model card; returns the commit's address.

        Args:
            metrics: Scores for the card, as fractions; `protocol` says how they were measured.
            about: Markdown that the card ends with: data, limits, whatever else is to be known.
            upload_arguments: `token`, `private`, `commit_message`, `revision`, `create_pr`.

        Raises:
            OSError: The Hub cannot be reached or refuses.
        """
        check_keywords("push_to_hub", upload_arguments, (*keywords_of(self.push_to_hub), *publish.ARGUMENTS))
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory, max_shard_size)
            card = publish.model_card(repo_id, find.load_config(directory), metrics, protocol, about)
            return publish.push_to_hub(directory, repo_id, card=card, **upload_arguments)

    def get_config(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "data_format": self.data_format,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "trainable": self.trainable,
            **layer_states.of(self),
        }

    @classmethod
    def from_config(cls, config: Any, custom_objects: Any = None, **kwargs: Any):
        """The model of a configuration, or of what `get_config` gave, with new weights; `kwargs` replace keys."""
        if not isinstance(config, dict) or "config" not in config:
            return cls(config, **kwargs)
        config, states = layer_states.taken(config)
        model = cls(**{**config, "config": SegformerConfig.from_dict(config["config"]), **kwargs})
        layer_states.restore(model, **states)
        return model
