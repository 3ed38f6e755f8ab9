"""A real Chromium for tests of the pages. Where there is none, they are skipped with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

expect.set_options(timeout=30_000)
"""Jobs run meanwhile, on machines of any speed."""
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NO_BROWSER = "no Chromium or Chrome on the PATH; as root: bash deploy/test-browser.sh"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine, headless."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A tab that notes everything that ought not to happen: errors, refused loads, requests to elsewhere."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        options.setdefault("viewport", {"width": 1280, "height": 900})
        self.context = browser.new_context(base_url=url, locale="en-GB", **options)
        self.page: Page = self.context.new_page()
        self.troubles: list[str] = []
        self._own = urlsplit(url).netloc
        self.page.set_default_timeout(10_000)
        self.page.on("console", lambda said: self._note(said.type, said.text))
        self.page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        self.page.on("request", lambda request: self._check(request.url))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.troubles.append(f"{kind}: {text}")

    def _check(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.netloc != self._own:
            self.troubles.append(f"request to elsewhere: {url}")

    def forgive(self, *parts: str) -> None:
        """Leave out what a test has caused itself."""
        self.troubles = [text for text in self.troubles if not any(part in text for part in parts)]

    def answer(self, pattern: str, status: int, detail: str, *, times: int | None = None) -> None:
        """Let the server seem to answer with a problem."""

        def fulfil(route: Route) -> None:
            route.fulfill(
                status=status,
                content_type="application/problem+json",
                json={"type": "about:blank", "title": "x", "status": status, "detail": detail},
            )

        self.page.route(pattern, fulfil, times=times)
