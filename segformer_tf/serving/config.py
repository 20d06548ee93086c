"""The configuration files of TF Serving's own server: which models and versions, batching, monitoring."""

import os
from collections.abc import Mapping
from pathlib import Path

from segformer_tf.serving.servable import latest_version

METRICS_PATH = "/monitoring/prometheus/metrics"


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
        model_directory: A directory of versions that `export` wrote.
        name: The model's name in requests; the directory's own by default.
        base_path: Where the server sees the directory; `/models/<name>`, as in its image, by default.
        labels: Names for versions, such as {"stable": 1, "canary": 2}: exactly these are loaded. Without labels the
            highest version is.
        threads: Batches run at the same time; as many as the machine has cores, divided by the cores for one batch.

    Raises:
        FileNotFoundError: A version that is not there.
        ValueError: A number below 1, or a name that the files cannot hold.
    """
    model_directory = Path(model_directory)
    latest_version(model_directory)
    name = name or model_directory.resolve().name
    if set(name) & set('"\\/\n'):
        raise ValueError(f"The name is {name!r}, expected one without quotes, slashes and line ends: choose another.")
    for key, value in (
        ("max_batch_size", max_batch_size),
        ("batch_timeout_ms", batch_timeout_ms),
        ("threads", threads),
    ):
        if value < 1 and not (key == "batch_timeout_ms" and value >= 0):
            raise ValueError(f"{key} is {value}, expected at least {0 if key == 'batch_timeout_ms' else 1}.")
    for label, version in (labels or {}).items():
        if not (model_directory / str(version)).is_dir():
            raise FileNotFoundError(
                f"There is no version {version} in {model_directory}, which the label {label!r} names."
            )
    return {
        "models.config": _models(name, base_path or f"/models/{name}", labels or {}),
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
