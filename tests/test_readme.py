"""The Python of README and docs runs as it stands."""

import re

import keras
import pytest
from reference import ROOT

# Pages whose snippets run one after the other; where a page needs files or extras its room's tests run it.
PAGES = ["README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page, tmp_path, monkeypatch):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names = {}
    try:
        for snippet in re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL):
            exec(compile(snippet, page, "exec"), names)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert (tmp_path / "out" / "china_overlay.png").is_file()
    assert tuple(names["outputs"].logits.shape) == (1, 32, 40, 19)
