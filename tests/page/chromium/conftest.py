"""The page with two models, in Chromium; what is named on no other host, every test checks (`visit`)."""

import pytest
from page_server import BUNDLED, TINY, chromium, served, visit


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    temporary = tmp_path_factory.mktemp("server") / "tmp"
    temporary.mkdir()
    with served(temporary, "--model", BUNDLED, "--model", TINY) as page:
        yield page


@pytest.fixture
def page(browser, server):
    with visit(browser, server.url, viewport={"width": 1280, "height": 900}) as page:
        page.wait_for_selector("#sf-upload button")
        yield page
