"""Files appear whole or not at all."""

import pytest

from segformer_tf.storage import whole


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Cannot write to the directory .*file.out .*; choose another"):
        whole.write_text(tmp_path / "file" / "out" / "config.json", "{}")
