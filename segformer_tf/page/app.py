"""The page as a Gradio app: what it shows, who may be asked, and what becomes of the pictures that people give it."""

import itertools
import os
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segformer_tf.page import view
from segformer_tf.page.labeller import Labeller
from segformer_tf.page.uploads import Picture, taken, upload_folder
from segformer_tf.pipelines.pipeline import RUNTIMES
from segformer_tf.pipelines.runtimes.exported import PACKAGES

HERE = Path(__file__).parent
MAX_FILE = 100 * 2**20  # bytes of a picture
KEPT = 600  # seconds that a picture stays in memory, for another model or runtime to label it
SESSIONS = 50  # pages whose pictures are in memory at a time
# Nothing is loaded from, or sent to, another host, whatever Gradio's own pages ask for.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; form-action 'self'; base-uri 'self'"
)
FOREIGN = re.compile(rb"<(?:script|link|meta)\b[^>]*https://[^>]*>(?:\s*</script>)?", re.IGNORECASE)
WELCOME = "<p class='sf-said'>The labelled picture will be here.</p>"
FORGOTTEN = "The picture is no longer kept; give it again."
# Of the answer that is seen the server is told only whether there is one.
BEFORE = "(...given) => [...given.slice(0, -1), given.at(-1)?.startsWith('<div') ? 'there' : '']"
SEEN = "() => { if (innerWidth < 700) document.getElementById('sf-answer').scrollIntoView({ behavior: 'smooth' }); }"


def installed() -> list[str]:
    """The runtimes that can be chosen here."""
    from importlib.util import find_spec

    return [name for name in RUNTIMES if name not in PACKAGES or find_spec(PACKAGES[name])]


def build(models: Sequence[str], runtime: str, example: Path | None, labeller: Labeller) -> Any:
    """The page as Gradio's Blocks. `models` are offered, the first one is chosen; so is `runtime`."""
    import gradio as gr

    folder = os.environ["GRADIO_TEMP_DIR"]
    turns = itertools.count(1)

    def given(file: Any) -> tuple[Any, ...]:
        try:
            picture = taken(file, folder)
        except OSError as error:
            picture = str(error)
        return (None, gr.skip(), gr.skip()) if picture is None else (None, picture, next(turns))

    def shown() -> tuple[Picture, int]:
        assert example is not None
        return Picture(example.name, example.read_bytes()), next(turns)

    def labelled(picture: Picture | str | None, turn: int, model: str, runtime: str, before: str) -> Any:
        if picture is None:  # `turn` is forgotten with a page's session, `picture` after a time as well
            return view.problem(FORGOTTEN) if turn or before else WELCOME
        return view.problem(picture) if isinstance(picture, str) else labeller(picture, model, runtime)

    # Files that no event came for, such as of pages closed in the middle of an upload, go after some minutes.
    with gr.Blocks(title="SegFormer", analytics_enabled=False, delete_cache=(60, KEPT)) as page:
        held = gr.State(None, time_to_live=KEPT)  # the picture that was given last, or why it was not taken
        turn = gr.State(0)
        gr.Markdown(
            "# SegFormer\nA class for every pixel. Pictures are labelled on the computer that serves this page; "
            "their files are deleted at once."
        )
        with gr.Row():
            with gr.Column(scale=1, min_width=300):
                upload = gr.Image(
                    label="Picture",
                    type="filepath",
                    sources=["upload", "webcam", "clipboard"],
                    placeholder="Drop, paste or click",
                    buttons=[],
                    height=220,
                    elem_id="sf-upload",
                )
                button = gr.Button("Show the example", visible=example is not None, elem_id="sf-example")
                model = gr.Dropdown(
                    list(models), value=models[0], label="Model", interactive=len(models) > 1, elem_id="sf-model"
                )
                choice = gr.Dropdown(installed(), value=runtime, label="Runtime", elem_id="sf-runtime")
                opacity = gr.Slider(0, 100, 50, step=1, label="Opacity, %", elem_id="sf-opacity")
            with gr.Column(scale=3, min_width=300):
                answer = gr.HTML(WELCOME, elem_id="sf-answer")
        # Files are taken, and deleted, as they come. One event labels: what is asked while it runs waits until its end,
        # and then the last picture is labelled by the last choice.
        at_once: dict[str, Any] = {"trigger_mode": "multiple", "concurrency_limit": None, "show_progress": "hidden"}
        # Gradio would decode the upload, and write it once more.
        upload.input(given, upload, [upload, held, turn], preprocess=False, api_visibility="private", **at_once)
        button.click(shown, None, [held, turn], api_visibility="private", **at_once)
        gr.on(
            [turn.change, model.change, choice.change],
            labelled,
            [held, turn, model, choice, answer],
            answer,
            js=BEFORE,
            trigger_mode="always_last",
            concurrency_id="model",
            api_visibility="private",
        ).then(None, js=SEEN)
        opacity.input(
            None, opacity, None, js="(v) => document.documentElement.style.setProperty('--sf-opacity', v / 100)"
        )
    page.queue(default_concurrency_limit=1)
    return page


class NoOtherHost:
    """Middleware: the policy on every answer, and Gradio's page without what it names on other hosts."""

    def __init__(self, app: Any):
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start: dict[str, Any] = {}
        body = b""

        async def checked(message: Any) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
                message["headers"].append((b"referrer-policy", b"no-referrer"))
                kind = dict(message["headers"]).get(b"content-type", b"")
                if kind.startswith(b"text/html"):
                    start = message
                    return
            elif start and message["type"] == "http.response.body":
                body += message.get("body", b"")
                if message.get("more_body"):
                    return
                body = FOREIGN.sub(b"", body)
                headers = [header for header in start["headers"] if header[0] != b"content-length"]
                await send({**start, "headers": [*headers, (b"content-length", str(len(body)).encode())]})
                message = {"type": "http.response.body", "body": body}
            await send(message)

        headers = scope["headers"]
        if b"text/html" in dict(headers).get(b"accept", b""):  # not compressed, so that its text can be read
            headers = [header for header in headers if header[0] != b"accept-encoding"]
        await self.app({**scope, "headers": headers}, receive, checked)


def serve(
    models: Sequence[str], runtime: str = "auto", host: str = "127.0.0.1", port: int = 7860, example=None
) -> None:
    """Serves the page until it is stopped. Errors of the first model, and of a port that is taken, come at once.

    Raises:
        OSError: The port is taken.
        ImportError: Gradio is not installed.
    """
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        told = f"Port {port} of {host} cannot be listened on ({error.strerror or error})"
        raise OSError(f"{told}: choose another with --port, or another --host.") from None
    # Gradio asks its own server whether it answers, which a proxy would not find.
    direct = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1,localhost"]))
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": direct}
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError("The page needs gradio: pip install 'segformer-tf[demo]'.") from error
    from starlette.middleware import Middleware

    labeller = Labeller()
    for model in models:
        labeller.open(model, runtime)
    if example is not None:
        for _ in range(2):  # the first two pictures take longest
            labeller(Picture(example.name, example.read_bytes()), models[0], runtime)
    fonts = ["system-ui", "sans-serif"]
    with upload_folder() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = build(models, runtime, example, labeller)
        shown = f"[{host}]" if ":" in host else host
        print(f"segformer-tf: http://{shown}:{port} (Ctrl-C stops it)", file=sys.stderr, flush=True)
        page.launch(
            server_name=host,
            server_port=port,
            quiet=True,
            share=False,
            ssr_mode=False,
            pwa=False,
            run_history=False,
            footer_links=[],
            max_file_size=MAX_FILE,
            allowed_paths=[folder],  # where this lies below the working directory, names that begin with a dot too
            state_session_capacity=SESSIONS,
            app_kwargs={"middleware": [Middleware(NoOtherHost)]},
            theme=gr.themes.Default(font=fonts, font_mono=["ui-monospace", "monospace"]),
            css=(HERE / "page.css").read_text("utf-8"),
            head=f"<script>{(HERE / 'page.js').read_text('utf-8')}</script>",
        )
