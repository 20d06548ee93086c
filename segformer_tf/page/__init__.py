"""A page where pictures are labelled: `view.py` writes the answer's HTML, `app.py` is the page around it (Gradio)."""
