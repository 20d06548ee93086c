"""The configuration files of TF Serving's own server: which models and versions, batching, monitoring."""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segformer_tf.serving.directories import home_of, latest_version

METRICS_PATH = "/monitoring/prometheus/metrics"


@dataclass
class Policy:
    """Which versions are wanted: those that are pinned, else the `latest`; None is all of them.

    Attributes:
        labels: Names for versions. As in TF Serving they load nothing: a label works while its version is loaded.
        file: A `models.config` that says so instead; a change in it is taken up while the server runs.
        name: Whose entry in the file it is, where there are several.
    """

    versions: frozenset[int] = frozenset()
    labels: Mapping[str, int] = field(default_factory=dict)
    latest: int | None = 1
    file: Path | None = None
    name: str | None = None
    _read: float = field(default=0.0, repr=False)

    def __post_init__(self):
        if self.file:
            self.read()

    def wanted(self, found: Iterable[int]) -> set[int]:
        """Those of the versions that were found."""
        if self.versions:
            return {*self.versions} & {*found}
        return set(sorted(found)[-self.latest :] if self.latest else found)

    def refresh(self) -> None:
        """Reads the file again where it has changed; one that cannot be read changes nothing."""
        try:
            if self.file and os.stat(self.file).st_mtime_ns != self._read:
                self.read()
        except (OSError, ValueError) as error:
            logging.warning("%s; what it said before holds.", error)

    def read(self) -> None:
        """Takes versions and labels from the file.

        Raises:
            ValueError: It is not a `models.config`, or has no entry of that name.
        """
        from google.protobuf import text_format
        from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig  # pyright: ignore[reportAttributeAccessIssue]

        assert self.file
        self._read = os.stat(self.file).st_mtime_ns
        try:
            config = text_format.Parse(self.file.read_text("utf-8-sig"), ModelServerConfig())
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.file} is not a models.config: {error}: correct it.") from None
        entries = {entry.name: entry for entry in config.model_config_list.config}
        name = next(iter(entries), None) if self.name is None and len(entries) == 1 else self.name
        if name not in entries:
            raise ValueError(f"{self.file} has entries for {', '.join(entries) or 'no model'}, expected {name}.")
        policy = entries[name].model_version_policy
        self.versions = frozenset(policy.specific.versions)
        self.labels = dict(entries[name].version_labels)
        self.latest = None if policy.HasField("all") else policy.latest.num_versions or 1
        self.name = name


def serving_config(
    model_directory: str | os.PathLike,
    *,
    name: str | None = None,
    base_path: str | None = None,
    labels: Mapping[str, int] | None = None,
    max_batch_size: int = 8,
    batch_timeout_ms: float = 5,
    threads: int = 2,
) -> dict[str, str]:
    """The texts of `models.config`, `batching_params.txt` and `monitoring.config`, by these names.

    Args:
        model_directory: A directory of versions that `export` wrote; for one version's own the one that it is in.
        name: The model's name in requests; the directory's own by default.
        base_path: Where the server sees the directory; `/models/<name>`, as in its image, by default.
        labels: Names for versions, such as {"stable": 1, "canary": 2}: exactly these are loaded. Without labels the
            highest version is.
        threads: Batches run at the same time; as many as the machine has cores, divided by the cores for one batch.

    Raises:
        FileNotFoundError: A version that is not there.
        ValueError: A number below 1, a name that the files cannot hold, or one version whose directory has no number.
    """
    home = home_of(model_directory)
    latest_version(home)
    if (home / "saved_model.pb").is_file():
        raise ValueError(f"{home} is a SavedModel, expected a directory of versions: move it into {home / '1'}.")
    name = name or home.resolve().name
    base_path = base_path or f"/models/{name}"
    for what, text, allowed in (
        ("name", name, ""),
        ("base path", base_path, "/"),
        *(("label", label, "/") for label in labels or ()),
    ):
        if not text or set(text) & set('"\\/\n\r') - set(allowed):
            unwanted = "quotes, backslashes and line ends" if allowed else "quotes, slashes and line ends"
            raise ValueError(f"The {what} is {text!r}, expected one without {unwanted}: choose another.")
    for key, value in (
        ("max_batch_size", max_batch_size),
        ("batch_timeout_ms", batch_timeout_ms),
        ("threads", threads),
    ):
        if value < 1 and not (key == "batch_timeout_ms" and value >= 0):
            raise ValueError(f"{key} is {value}, expected at least {0 if key == 'batch_timeout_ms' else 1}.")
    for label, version in (labels or {}).items():
        if not (home / str(version)).is_dir():
            raise FileNotFoundError(f"There is no version {version} in {home}, which the label {label!r} names.")
    return {
        "models.config": _models(name, base_path, labels or {}),
        "batching_params.txt": _batching(max_batch_size, round(batch_timeout_ms * 1000), threads),
        "monitoring.config": f'prometheus_config {{\n  enable: true\n  path: "{METRICS_PATH}"\n}}\n',
    }


def _models(name: str, base_path: str, labels: Mapping[str, int]) -> str:
    versions = sorted(set(labels.values()))
    policy = (
        "specific { " + " ".join(f"versions: {v}" for v in versions) + " }"
        if versions
        else "latest { num_versions: 1 }"
    )
    rows = [f'    version_labels {{ key: "{label}" value: {version} }}' for label, version in labels.items()]
    return "\n".join(
        [
            "model_config_list {",
            "  config {",
            f'    name: "{name}"',
            f'    base_path: "{base_path}"',
            '    model_platform: "tensorflow"',
            f"    model_version_policy {{ {policy} }}",
            *rows,
            "  }",
            "}\n",
        ]
    )


def _batching(max_batch_size: int, timeout_micros: int, threads: int) -> str:
    values = {
        "max_batch_size": max_batch_size,
        "batch_timeout_micros": timeout_micros,
        "max_enqueued_batches": 100,
        "num_batch_threads": threads,
    }
    return "".join(f"{key} {{ value: {value} }}\n" for key, value in values.items())
