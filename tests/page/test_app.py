"""What the page names and offers, without the page: Gradio is not needed for it."""

from segformer_tf.page import app


def test_what_a_page_names_on_other_hosts_is_cut_out():
    page = (
        b'<meta\n property="og:image"\n content="https://raw.example.com/a.jpg" />'
        b'<link rel="preconnect" href="https://fonts.example.com"><link rel="icon" href="/favicon.ico">'
        b'<script src="https://cdn.example.com/x.js" async></script><script type="module" src="./assets/i.js"></script>'
        b"<p>left</p>"
    )
    left = app.FOREIGN.sub(b"", page)
    assert b"https" not in left
    assert (
        left == b'<link rel="icon" href="/favicon.ico"><script type="module" src="./assets/i.js"></script><p>left</p>'
    )


def test_only_runtimes_that_are_installed_are_offered(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else object())
    assert app.installed() == ["auto", "tensorflow", "openvino", "litert", "numpy"]
