"""Names in Markdown."""

from segformer_tf.storage.markdown import in_cell, in_text


def test_tags_are_shown_and_bars_and_new_lines_end_no_cell():
    assert in_text("<b>a & b</b>") == "&lt;b&gt;a &amp; b&lt;/b&gt;"
    assert in_cell("<i>|\na") == "&lt;i&gt;\\| a"
