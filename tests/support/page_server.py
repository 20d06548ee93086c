"""The demo page in a process of its own, and Chromium to look at it, which notes what is asked of other hosts."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from reference import FIXTURES, ROOT

BUNDLED, TINY = "segformer-b0-camvid", str(FIXTURES / "hf4-seg")
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CONTEXTS: dict = {}
WEBGPU = (
    "--enable-unsafe-webgpu",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
    "--use-webgpu-adapter=swiftshader",
)
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Served:
    """A running `segformer-tf demo`: its address, the folder of its uploads, and the most memory it has taken."""

    def __init__(self, process, port: int, temporary: Path):
        self.process, self.url, self.temporary = process, f"http://127.0.0.1:{port}/", temporary

    @property
    def uploads(self) -> list[Path]:
        """What pictures' files there are on the disk."""
        return [path for path in self.temporary.glob("segformer-tf-page-*/**/*") if path.is_file()]

    @property
    def peak(self) -> float:
        """GB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e6 for line in lines if line.startswith("VmHWM"))


@contextmanager
def served(temporary: Path, *options: str, before: str = ""):
    """The page of `segformer-tf demo`; `temporary` is where its process puts temporary files.

    `before` is Python that it runs first. Its working directory is above `temporary`: there Gradio refuses files whose
    name begins with a dot.
    """
    port = free_port()
    code = f"import sys\n{before}\nfrom segformer_tf.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "demo", "--port", str(port), *options]
    log = temporary.parent / "log.txt"
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    with open(log, "w") as said:
        process = subprocess.Popen(command, env=environment, stderr=said, cwd=temporary.parent)
    page = Served(process, port, temporary)
    try:
        for _ in range(240):
            assert process.poll() is None, log.read_text()
            try:
                urllib.request.urlopen(page.url, timeout=5).read()
                break
            except OSError:
                time.sleep(0.5)
        yield page
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def chromium():
    """A headless Chromium with a camera that shows a test picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, launched(playwright.chromium) as browser:
        yield browser


@contextmanager
def launched(kind, *flags: str):
    """One more of Playwright's browser type `kind`, with flags."""
    browser = kind.launch(executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA, *flags])
    yield browser
    browser.close()


def new_context(browser, options: dict):
    return browser.new_context(permissions=["clipboard-read", "clipboard-write", "camera"], **options)


def context_of(browser, options: dict):
    """One context for all pages with the same options: scripts are then loaded and compiled once, not for each page."""
    key = browser, repr(sorted(options.items()))
    if key not in CONTEXTS:
        CONTEXTS[key] = new_context(browser, options)
    return CONTEXTS[key]


@contextmanager
def visit(browser, url: str, fresh: bool = False, **options):
    """A page of its own at `url`; at its end it is asked whether anything went to another host, or failed in it.

    `fresh`: with a context of its own. Chromium tells of a file chooser only in a context's first page.
    """
    page = (new_context if fresh else context_of)(browser, options).new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    try:
        yield page
    finally:
        page.close()
    hosts = {urlsplit(url).netloc for url in requests if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(url).netloc}, f"requests went to {hosts}"
    assert not errors, errors
