"""Configurations as files and as text: the Hub, directories, JSON, and the small edits that transformers' users make."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from segformer_tf import checkpoints
from segformer_tf.checkpoints import files


class ConfigFiles:
    """What `SegformerConfig` reads, writes and takes from text."""

    name_or_path = ""  # where the configuration came from; not written

    @classmethod
    def from_pretrained(cls, name_or_path: str | os.PathLike, **kwargs: Any):
        """The configuration of a Hub id, a directory, a `config.json` or a bundled model.

        `revision`, `cache_dir`, `token`, `local_files_only`, `subfolder` and `force_download` go to the Hub; others
        replace keys.
        """
        values, overrides = cls.get_config_dict(name_or_path, **kwargs)
        config = cls.from_dict(values, **overrides)
        config.name_or_path = str(name_or_path)
        return config

    @classmethod
    def get_config_dict(cls, name_or_path: str | os.PathLike, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parsed `config.json`, and those of `kwargs` that do not say where to look on the Hub."""
        return checkpoints.load_config(name_or_path, **checkpoints.pop_hub_arguments(kwargs)), kwargs

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike):
        """The configuration of one JSON file."""
        return cls.from_dict(checkpoints.load_config(json_file))

    def save_pretrained(
        self, save_directory: str | os.PathLike, push_to_hub: bool = False, **hub_arguments: Any
    ) -> None:
        """Writes `config.json` into the directory, which is made if it does not exist; may upload it too."""
        files.write_text(Path(save_directory) / "config.json", self.to_json_string())
        if push_to_hub:
            self.push_to_hub(hub_arguments.pop("repo_id", Path(save_directory).name), **hub_arguments)

    def push_to_hub(self, repo_id: str, **upload_arguments: Any) -> str:
        """Uploads `config.json`; returns the commit's address. Raises OSError where the Hub refuses."""
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            return checkpoints.push_to_hub(directory, repo_id, **upload_arguments)

    def to_json_string(self, use_diff: bool = False) -> str:
        """`config.json` as text; with `use_diff` only what differs from the defaults."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | os.PathLike, use_diff: bool = False) -> None:
        """Writes `to_json_string` to a file."""
        files.write_text(json_file_path, self.to_json_string(use_diff))

    def to_diff_dict(self) -> dict[str, Any]:
        """The keys whose values differ from the defaults, and `model_type`."""
        defaults = type(self)().to_dict()
        return {
            key: value
            for key, value in self.to_dict().items()
            if key == "model_type" or key not in defaults or value != defaults[key]
        }

    def update(self, config_dict: dict[str, Any]) -> None:
        """Sets several keys, after a check that the values are possible together.

        Raises:
            ValueError: A value that no SegFormer can have; nothing is changed then.
        """
        changed = type(self).from_dict(self.to_dict(), **config_dict)
        vars(self).update(vars(changed))

    def update_from_string(self, update_str: str) -> None:
        """Sets keys from text such as "drop_path_rate=0.2,hidden_act=relu"; values are of the type they had.

        Raises:
            ValueError: A key that the configuration does not have, or a value of another type.
        """
        new = {}
        for part in update_str.split(","):
            key, equals, text = part.partition("=")
            if not equals or not hasattr(self, key):
                raise ValueError(f"update_str has {part!r}, expected KEY=VALUE with a key of this config: correct it.")
            try:
                value = json.loads(text.lower() if text in ("True", "False") else text)
            except ValueError:
                value = text
            old = getattr(self, key)
            if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if old is not None and type(value) is not type(old):
                raise ValueError(
                    f"{key} is {text!r}, expected a {type(old).__name__} such as {old!r}: correct this key."
                )
            new[key] = value
        self.update(new)
