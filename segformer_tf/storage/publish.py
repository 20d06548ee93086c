"""A saved model on the Hugging Face Hub, with its model card."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segformer_tf.storage.keywords import spell_checked
from segformer_tf.storage.markdown import in_cell, in_text
from segformer_tf.storage.read import reason
from segformer_tf.storage.whole import write_text

ARGUMENTS = ("token", "private", "commit_message", "revision", "create_pr")  # of an upload
_PIPELINES = {
    "SegformerForSemanticSegmentation": "image-segmentation",
    "SegformerForImageClassification": "image-classification",
    "SegformerModel": "image-feature-extraction",
}
_METRICS = {"mIoU": "mean_iou", "mAcc": "mean_accuracy", "aAcc": "overall_accuracy"}  # as the Hub's mean_iou says
_CARD = """
# {title}

A SegFormer ({architecture}) with {labels} classes. The files are as on the Hugging Face Hub, so transformers' PyTorch
classes read them too.

```python
from segformer_tf import {class_name}

model = {class_name}.from_pretrained("{repo_id}")
```
"""


def model_card(
    repo_id: str,
    config: Mapping[str, Any],
    metrics: Mapping[str, float] | None = None,
    protocol: str | None = None,
    about: str | None = None,
) -> str:
    """README.md of a repository: what the model is, how to load it, and its scores as `evaluate` gives them.

    `metrics` are fractions by name; `protocol` says how they were measured. The Hub shows them as evaluation results of
    an unknown data set, since only the protocol may name one. `about` is Markdown that follows, such as
    `training.scoring.card.card_text` writes.
    """
    from huggingface_hub import EvalResult, ModelCardData

    architecture = (config.get("architectures") or ["SegformerForSemanticSegmentation"])[0]
    known = architecture if architecture in _PIPELINES else "SegformerForSemanticSegmentation"
    pipeline = _PIPELINES[known]
    names = [str(name) for name in (config.get("id2label") or {}).values()]
    scores = {name: float(value) for name, value in (metrics or {}).items()}
    title = repo_id.rpartition("/")[2]
    results = [
        EvalResult(
            task_type=pipeline,
            dataset_type="unknown",
            dataset_name="unknown",
            metric_type=_METRICS.get(name, name),
            metric_name=name,
            metric_value=value,
            metric_args={"protocol": protocol} if protocol else None,
        )
        for name, value in scores.items()
    ]
    data = ModelCardData(
        library_name="segformer-tf",
        pipeline_tag=pipeline,
        license="other",
        tags=["segformer", "keras", "tensorflow", "vision"],
        model_name=title if results else None,
        eval_results=results or None,
    )
    card = f"---\n{data.to_yaml()}\n---\n" + _CARD.format(
        title=title,
        architecture=architecture,
        labels=len(names) or config.get("num_labels", 2),
        class_name=f"TF{known}",
        repo_id=repo_id,
    )
    if names:
        card += f"\n## Classes\n\n{', '.join(map(in_text, names))}\n"
    if scores:
        rows = "".join(f"| {in_cell(name)} | {value:.4f} |\n" for name, value in scores.items())
        card += f"\n## Scores\n\n| Measure | Value |\n|---|---|\n{rows}"
        if protocol:
            card += f"\nProtocol: {protocol}\n"
    return f"{card}\n{about.strip()}\n" if about else card


@spell_checked
def push_to_hub(
    directory: str | os.PathLike,
    repo_id: str,
    *,
    card: str | None = None,
    token: str | bool | None = None,
    private: bool | None = None,
    commit_message: str | None = None,
    revision: str | None = None,
    create_pr: bool = False,
) -> str:
    """Uploads a directory that `checkpoints.save` wrote, in one commit; returns the commit's address.

    The repository is made if it does not exist. `card` becomes README.md where the directory has none.
    Raises OSError where the Hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi

    readme = Path(directory) / "README.md"
    if card and not readme.exists():
        write_text(readme, card)
    api = HfApi(token=token)
    try:
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=Path(directory),
            commit_message=commit_message or "Upload a SegFormer with segformer-tf",
            revision=revision,
            create_pr=create_pr,
        )
    except Exception as error:  # huggingface_hub's own errors, or whatever its HTTP library raises
        raise OSError(
            f"Uploading to {repo_id} failed ({reason(error)}); check the name, the network and the token "
            "(`hf auth login`)."
        ) from error
    return commit.pr_url or commit.commit_url
