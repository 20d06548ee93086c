"""The configuration of a SegFormer: what a Hub `config.json` says, checked, and the paper's sizes b0 to b5."""

import copy
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segformer_tf.bounds import (
    CLASSES,
    MOST,
    check,
    contradictions,
    from_text,
    is_whole,
    names_by_id,
    overridden,
    stored,
)
from segformer_tf.storage import find, publish
from segformer_tf.storage.keywords import also_called, check_keywords, drop_without_effect, keywords_of, spell_checked
from segformer_tf.storage.whole import write_text

# Table 6 of the paper: depths, hidden sizes, channels of the decode head.
VARIANTS = {
    "b0": ([2, 2, 2, 2], [32, 64, 160, 256], 256),
    "b1": ([2, 2, 2, 2], [64, 128, 320, 512], 256),
    "b2": ([3, 4, 6, 3], [64, 128, 320, 512], 768),
    "b3": ([3, 4, 18, 3], [64, 128, 320, 512], 768),
    "b4": ([3, 8, 27, 3], [64, 128, 320, 512], 768),
    "b5": ([3, 6, 40, 3], [64, 128, 320, 512], 768),
}

# Keys of many a Hub config.json that mean nothing here; kept, as any other key of a file is.
_OF_TRANSFORMERS = ("architectures", "dtype", "torch_dtype", "transformers_version", "image_size", "downsampling_rates")


class SegformerConfig:
    """Everything that shapes a SegFormer, under the keys of a Hub `config.json` of model_type "segformer".

    Keys of a file, or of `from_dict`, that it does not know are kept as attributes and written back, and so are other
    attributes that are set, but for `name_or_path` and names that begin with `_`; as keywords they are a TypeError.
    This package's own are `encoder_norm_eps`, the epsilon of the norms before attention and Mix-FFN and after each
    stage (1e-5, as transformers runs every norm whatever `layer_norm_eps` says; 1e-6 in configs of the authors' `.pth`
    files), and `merge_queries` and `merge_keys`, the stages, from 1, whose queries, or keys and values, are averaged 2
    x 2 for speed.
    Raises ValueError for a value that no SegFormer can have; names the key, the value and what was expected.
    """

    model_type = "segformer"
    name_or_path = ""  # where the configuration came from; not written

    def __init__(
        self,
        num_channels: int = 3,
        num_encoder_blocks: int = 4,
        depths: list[int] | tuple[int, ...] = (2, 2, 2, 2),
        sr_ratios: list[int] | tuple[int, ...] = (8, 4, 2, 1),
        hidden_sizes: list[int] | tuple[int, ...] = (32, 64, 160, 256),
        patch_sizes: list[int] | tuple[int, ...] = (7, 3, 3, 3),
        strides: list[int] | tuple[int, ...] = (4, 2, 2, 2),
        num_attention_heads: list[int] | tuple[int, ...] = (1, 2, 5, 8),
        mlp_ratios: list[float] | tuple[float, ...] = (4, 4, 4, 4),
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.0,
        attention_probs_dropout_prob: float = 0.0,
        classifier_dropout_prob: float = 0.1,
        initializer_range: float = 0.02,
        drop_path_rate: float = 0.1,
        layer_norm_eps: float = 1e-6,
        decoder_hidden_size: int = 256,
        reshape_last_stage: bool = True,
        semantic_loss_ignore_index: int = 255,
        *,
        num_labels: int | None = None,
        id2label: dict[int, str] | None = None,
        label2id: dict[str, int] | None = None,
        problem_type: str | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        encoder_norm_eps: float = 1e-5,
        merge_queries: list[int] | tuple[int, ...] | None = None,
        merge_keys: list[int] | tuple[int, ...] | None = None,
        **of_transformers: Any,
    ):
        if (found := of_transformers.pop("model_type", self.model_type)) != self.model_type:
            raise ValueError(f'model_type is {found!r}, expected "segformer": give the config of a SegFormer.')
        self.name_or_path = str(of_transformers.pop("name_or_path", of_transformers.pop("_name_or_path", "")))
        check_keywords(type(self).__name__, of_transformers, self.KEYS)
        given = {key: value for key, value in locals().items() if key in self.KEYS and "label" not in key}
        self._keys = [*given, "id2label", "label2id", *of_transformers]
        for key, value in {**given, **of_transformers}.items():
            setattr(self, key, copy.deepcopy(value))
        if id2label is None and label2id is None:
            self.num_labels = 2 if num_labels is None else num_labels
        else:
            self.id2label = names_by_id(id2label, label2id)
            if num_labels is not None and num_labels != len(self.id2label):
                key = "label2id" if id2label is None else "id2label"
                raise ValueError(f"{key} has {len(self.id2label)} entries, expected num_labels = {num_labels}.")
        check(self)

    KEYS = (*keywords_of(__init__), *_OF_TRANSFORMERS)

    def __setattr__(self, key: str, value: Any) -> None:
        super().__setattr__(key, stored(key, value))

    if TYPE_CHECKING:  # keys are attributes, whatever a file names
        __getattr__: Callable[[str], Any]

    def merged_blocks(self, stage: int) -> tuple[int, int]:
        """The sides of the blocks whose queries, and whose keys, a stage (from 0) averages; 1: none."""
        queries, keys = (2 if stage + 1 in (stages or ()) else 1 for stages in (self.merge_queries, self.merge_keys))
        return queries, keys

    @property
    def num_labels(self) -> int:
        """How many classes there are; setting another number names them LABEL_0, LABEL_1, ... again."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        if not is_whole(value, MOST["num_labels"]):
            wanted = f"a whole number of at least 1 and at most {MOST['num_labels']}"
            raise ValueError(f"num_labels is {value!r}, expected {wanted}: count your classes.")
        if len(getattr(self, "id2label", ())) != value:
            self.id2label = {i: f"LABEL_{i}" for i in range(value)}

    @property
    def label2id(self) -> dict[str, int]:
        """The ids of `id2label` by name, made anew at each look; setting another one sets `id2label`."""
        return {name: i for i, name in self.id2label.items()}

    @label2id.setter
    def label2id(self, value: dict[str, int]) -> None:
        if value != self.label2id:
            self.id2label = names_by_id(None, value)

    @property
    def use_return_dict(self) -> bool:
        """`return_dict`, as transformers names it too."""
        return self.return_dict

    @classmethod
    def from_variant(cls, name: str, num_labels: int = 150, **overrides: Any) -> "SegformerConfig":
        """The configuration of one of the paper's models, "b0" to "b5"; `overrides` are any other keys."""
        if name not in VARIANTS:
            raise ValueError(f"variant is {name!r}, expected one of {', '.join(VARIANTS)}: choose one of these.")
        row = dict(zip(("depths", "hidden_sizes", "decoder_hidden_size"), VARIANTS[name], strict=True))
        number = {} if {"id2label", "label2id"} & {*overrides} else {"num_labels": num_labels}
        return cls(**{**row, **number, **overrides})

    @classmethod
    @also_called(config_dict="values")
    def from_dict(cls, values: dict[str, Any], **overrides: Any) -> "SegformerConfig":
        """The configuration that a parsed `config.json` of a SegFormer describes; `overrides` replace its keys.

        None is a value as any other, but for `num_labels`, `id2label` and `label2id`, which it leaves as they are.
        """
        check_keywords("SegformerConfig", overrides, (*cls.KEYS, *values))
        if (found := values.get("model_type", cls.model_type)) != cls.model_type:
            raise ValueError(f'model_type is {found!r}, expected "segformer": give the config of a SegFormer.')
        merged = overridden(values, overrides)
        if hidden := [key for key in merged if key == "_keys" or callable(getattr(cls, key, None))]:
            raise ValueError(f"{hidden[0]} is no key of a configuration, but what this class calls its own: remove it.")
        unknown = {key: copy.deepcopy(merged.pop(key)) for key in [*merged] if key not in (*cls.KEYS, "model_type")}
        config = cls(**merged)
        own = not any(overrides.get(key) is not None for key in CLASSES)
        for fault in contradictions(config.id2label, values.get("num_labels"), values.get("label2id")) if own else ():
            warnings.warn(f"{fault}: the names are taken, so correct it or leave it out.", UserWarning, stacklevel=2)
        config._keys += unknown
        vars(config).update(unknown)
        return config

    def to_dict(self) -> dict[str, Any]:
        """The keys and values of `config.json`; class ids in `id2label` are numbers here and strings in the file."""
        added = (key for key in vars(self) if not key.startswith("_") and key != "name_or_path")
        keys = dict.fromkeys((*self._keys, *added))
        values = {key: copy.deepcopy(getattr(self, key)) for key in keys if hasattr(self, key)}
        quiet = (SegformerConfig.__init__.__kwdefaults__ or {}).items()  # left out, as transformers does
        return {**{k: v for k, v in values.items() if (k, v) not in quiet}, "model_type": self.model_type}

    @classmethod
    @also_called(pretrained_model_name_or_path="name_or_path")
    def from_pretrained(cls, name_or_path: str | os.PathLike, **kwargs: Any):
        """That of a Hub id, a directory, a `config.json` or a bundled model; `kwargs` as `get_config_dict`."""
        drop_without_effect(kwargs, but=cls.KEYS)
        values, overrides = cls.get_config_dict(name_or_path, **kwargs)
        config = cls.from_dict(values, **overrides)
        config.name_or_path = str(name_or_path)
        return config

    @classmethod
    @also_called(pretrained_model_name_or_path="name_or_path")
    def get_config_dict(cls, name_or_path: str | os.PathLike, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parsed `config.json`, and those `kwargs` that replace its keys; others are `find.HUB_ARGUMENTS`."""
        check_keywords("from_pretrained", kwargs, (*cls.KEYS, *find.HUB_ARGUMENTS))
        return find.load_config(name_or_path, **find.pop_hub_arguments(kwargs)), kwargs

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike):
        """The configuration of one JSON file."""
        return cls.from_dict(find.load_config(json_file))

    def save_pretrained(self, save_directory: str | os.PathLike, push_to_hub: bool = False, **hub_arguments: Any):
        """Writes `config.json` into the directory, which is made if it does not exist; may upload it too."""
        check_keywords("save_pretrained", hub_arguments, ("push_to_hub", "repo_id", *publish.ARGUMENTS))
        write_text(Path(save_directory) / "config.json", self.to_json_string())
        if push_to_hub:
            self.push_to_hub(hub_arguments.pop("repo_id", Path(save_directory).name), **hub_arguments)

    def push_to_hub(self, repo_id: str, **upload_arguments: Any) -> str:
        """Uploads `config.json`; returns the commit's address. Raises OSError where the Hub refuses."""
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            return publish.push_to_hub(directory, repo_id, **upload_arguments)

    @spell_checked
    def to_json_string(self, use_diff: bool = False) -> str:
        """`config.json` as text; with `use_diff` only what differs from the defaults."""
        return json.dumps(self.to_diff_dict() if use_diff else self.to_dict(), indent=2, sort_keys=True) + "\n"

    @spell_checked
    def to_json_file(self, json_file_path: str | os.PathLike, use_diff: bool = False) -> None:
        """Writes `to_json_string` to a file."""
        write_text(json_file_path, self.to_json_string(use_diff))

    def to_diff_dict(self) -> dict[str, Any]:
        """The keys whose values differ from the defaults, and `model_type`."""
        defaults = {**type(self)().to_dict(), "model_type": None}
        return {k: v for k, v in self.to_dict().items() if k not in defaults or v != defaults[k]}

    def update(self, config_dict: dict[str, Any]) -> None:
        """Sets several keys; ValueError, and nothing changed, where no SegFormer can have the values."""
        vars(self).update(vars(type(self).from_dict(self.to_dict(), **config_dict)))

    def update_from_string(self, update_str: str) -> None:
        """Sets keys from text: "drop_path_rate=0.2,hidden_act=relu"; ValueError for others, or another type."""
        new = {}
        for part in update_str.split(","):
            key, equals, text = part.partition("=")
            if not equals or not hasattr(self, key):
                raise ValueError(f"update_str has {part!r}, expected KEY=VALUE with a key of this config: correct it.")
            new[key] = from_text(key, text, getattr(self, key), may_be_none=key not in CLASSES)  # as `from_dict`
        self.update(new)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SegformerConfig) and self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        return f"SegformerConfig {self.to_json_string()}"


def variant_of(config: SegformerConfig) -> str | None:
    """Which of the paper's models has these depths and hidden sizes, "b0" to "b5"; None for any other."""
    return next((name for name, row in VARIANTS.items() if row[:2] == (config.depths, config.hidden_sizes)), None)
