"""A real browser for the tests of the pages: headless Chromium, which reaches nothing but this machine.

`browser` is one Chromium for the tests of a file; `look` opens a page in it and, when the test ends, sees to it that no
request went elsewhere and that the console was silent, but for what the test said it would say.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
PATIENCE_MS = 45_000  # the machine may be busy with other tests


@dataclass
class Seen:
    """What a page asked for and said."""

    origin: str
    elsewhere: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self._asked(request.url))
        page.on("console", lambda message: self.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.said.append(f"error: {error}"))

    def _asked(self, url: str) -> None:
        if not url.startswith((self.origin + "/", "data:", "blob:" + self.origin)):
            self.elsewhere.append(url)

    def check(self) -> None:
        assert self.elsewhere == []
        assert [line for line in self.said if not any(words in line for words in self.allowed)] == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[..., Page]]:
    """`look(url)` opens a page; a line of the console that holds one of `allowed` fails no test; the rest is
    Playwright's."""
    contexts, watched = [], []

    def open_page(url: str, *, allowed: tuple[str, ...] = (), **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        seen = Seen("/".join(url.split("/")[:3]), allowed=allowed)
        seen.watch(page)
        watched.append(seen)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    for seen in watched:
        seen.check()
