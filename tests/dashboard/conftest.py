"""A browser, and pages in it that note what they should not do."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from monosema.dashboard import application, write_page
from monosema.dashboard.contract import Provider
from tests.dashboard.made_up import MadeUp

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
WAIT = 20_000  # milliseconds until a test gives up: machines are busy


@dataclass
class Watched:
    """A page, and what it said and asked for."""

    page: "Page"
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, address: str, ready: str = "main > *") -> "Page":
        self.page.goto("about:blank")
        self.page.goto(address)
        self.page.wait_for_selector(ready)
        return self.page


def click_on(page: "Page", selector: str) -> None:
    """Presses the mouse in the middle of the first such element, whatever lies there."""
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def until(page: "Page", condition: str) -> None:
    """Waits until an expression is true; Playwright's own way evaluates text in the page, whose policy forbids it."""
    end = time.monotonic() + WAIT / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"never true: {condition}"
        page.wait_for_timeout(30)


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        # A browser is a package of the system, which a test may not install. `.ci/run` does, so that nothing skips
        # there; without one everything else of the project can still be tested.
        pytest.skip("no chromium on the path, which these tests drive: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def new_page(browser: "Browser") -> Iterator[Callable[..., Watched]]:
    """Opens pages; each must end without errors, and without requests to anywhere but its own server."""
    made: list[Watched] = []
    contexts = []

    def make(**options: Any) -> Watched:
        contexts.append(browser.new_context(**{"viewport": {"width": 1300, "height": 900}, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT)
        watched = Watched(page)
        page.on("console", lambda message: watched.complaints.append(message.text))
        page.on("pageerror", lambda error: watched.complaints.append(str(error)))
        page.on("request", lambda request: watched.requests.append(request.url))
        made.append(watched)
        return watched

    yield make
    for context in contexts:
        context.close()
    for watched in made:
        assert watched.complaints == []
        own = ("file:", "data:", "about:", "http://127.0.0.1:")
        assert [url for url in watched.requests if not url.startswith(own)] == []


@pytest.fixture
def watched(new_page: Callable[..., Watched]) -> Watched:
    return new_page()


@contextmanager
def serving(provider: Provider) -> Iterator[str]:
    """The address at which a provider's page is served."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application(provider), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture
def provider() -> MadeUp:
    return MadeUp()


@pytest.fixture
def served(provider: MadeUp) -> Iterator[str]:
    with serving(provider) as address:
        yield address


@pytest.fixture
def offline(tmp_path: Path, provider: MadeUp) -> str:
    """The address of a file with some features."""
    return write_page(tmp_path / "page.html", provider, [12, 3, 200]).as_uri()
