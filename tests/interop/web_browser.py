"""A real browser, Chromium without a window, that is told what to do as WebDriver says (https://www.w3.org/TR/webdriver2)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.interop.port import PATIENCE_S

__all__ = ["WebBrowser", "web_browser"]

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class WebBrowser:
    """One window. What is looked for is named by CSS selectors.

    :param driver: where chromedriver listens
    :param profile: a directory for all that it keeps
    """

    def __init__(self, driver: str, profile: Path) -> None:
        self._driver = driver
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--no-proxy-server", f"--user-data-dir={profile}"]  # fmt: skip
        options = {"goog:chromeOptions": {"args": arguments}}
        self._session = (
            f"/session/{self._ask('POST', '/session', {'capabilities': {'alwaysMatch': options}})['sessionId']}"
        )

    def go(self, address: str) -> None:
        """Open an address, wherever it leads."""
        self._ask("POST", f"{self._session}/url", {"url": address})

    def has(self, what: str) -> bool:
        """Whether the page has it."""
        return bool(self._find(what))

    def fill(self, what: str, text: str) -> None:
        """Type into a field."""
        self._ask("POST", f"{self._element(what)}/value", {"text": text})

    def press(self, what: str) -> None:
        """Click, and be where that leads: on another page."""
        page = self._element("html")
        self._ask("POST", f"{self._element(what)}/click", {})
        # The driver waits for a page that has begun to load, but the click may be quicker than that beginning.
        while self._is_there(page):
            os.sched_yield()

    def text(self, what: str = "body") -> str:
        """What somebody reads there."""
        return str(self._ask("GET", f"{self._element(what)}/text"))

    def close(self) -> None:
        """End it."""
        self._ask("DELETE", self._session)

    def _find(self, what: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = self._ask(
            "POST", f"{self._session}/elements", {"using": "css selector", "value": what}
        )
        return found

    def _element(self, what: str) -> str:
        found = self._find(what)
        assert found, f"no {what} on the page:\n{self.text()}"
        return f"{self._session}/element/{found[0][_ELEMENT]}"

    def _is_there(self, element: str) -> bool:
        try:
            self._ask("GET", f"{element}/name")
        except urllib.error.HTTPError as error:
            if error.code != 404:  # stale element reference
                raise
            return False
        return True

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._driver + path, data, method=method, headers={"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["value"]


@contextmanager
def web_browser(place: Path) -> Iterator[WebBrowser]:
    """One that is open.

    :param place: a directory of its own
    """
    driver = shutil.which("chromedriver")
    if driver is None:
        pytest.skip("needs Chromium and chromedriver (Debian: chromium-driver)")
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            said = next((found for line in process.stdout if (found := re.search(r"on port (\d+)\.", line))), None)
            assert said is not None, "chromedriver did not start"
            one = WebBrowser(f"http://127.0.0.1:{said[1]}", place / "profile")
            try:
                yield one
            finally:
                one.close()
        finally:
            process.terminate()
