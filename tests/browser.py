"""A headless Chromium for tests, driven through chromedriver by the W3C WebDriver protocol.

Nothing but the standard library: the protocol is JSON over HTTP on 127.0.0.1.
"""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--force-color-profile=srgb",
)
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's key for a reference


class Browser:
    """One tab. `script` runs JavaScript, `click` really clicks, `log` is what the console said."""

    def __init__(self, port: int, downloads: Path, width: int, height: int) -> None:
        self.port = port
        self.session = ""
        options = {
            "binary": _chromium(),
            "args": [*ARGUMENTS, f"--window-size={width},{height}"],
            "prefs": {"download.default_directory": str(downloads)},
        }
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._send("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{answer['sessionId']}"

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{self.session}{path}"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        request.method = method
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def open(self, path: Path) -> None:
        self._send("POST", "/url", {"url": path.as_uri()})

    def script(self, body: str, *arguments: Any) -> Any:
        """Runs a function body; a promise that it returns is waited for."""
        return self._send("POST", "/execute/sync", {"script": body, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """Clicks in the middle of the first element that the CSS selector finds."""
        found = self._send("POST", "/element", {"using": "css selector", "value": selector})
        self._send("POST", f"/element/{found[ELEMENT]}/click", {})

    def press(self, key: str) -> None:
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._act({"type": "key", "id": "keyboard", "actions": keys})

    def point(self, x: float, y: float, *then: tuple[float, float], press: bool = False) -> None:
        """Moves the mouse to (x, y) of the window, with `press` clicks or drags on to `then`."""
        steps: list[dict[str, Any]] = [_move(x, y)]
        if press:
            steps.append({"type": "pointerDown", "button": 0})
        steps += [_move(*place) for place in then]
        if press:
            steps.append({"type": "pointerUp", "button": 0})
        self._act({"type": "pointer", "id": "mouse", "actions": steps})

    def wheel(self, x: float, y: float, down: int) -> None:
        turn = {"type": "scroll", "x": int(x), "y": int(y), "deltaX": 0, "deltaY": down}
        self._act({"type": "wheel", "id": "wheel", "actions": [turn | {"duration": 0}]})

    def _act(self, source: dict[str, Any]) -> None:
        self._send("POST", "/actions", {"actions": [source]})

    def resize(self, width: int, height: int) -> None:
        self._send("POST", "/window/rect", {"width": width, "height": height})

    def log(self) -> list[str]:
        """What the console said since the last call: errors, refusals of the security policy."""
        entries = self._send("POST", "/se/log", {"type": "browser"})
        return [f"{entry['level']}: {entry['message']}" for entry in entries]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._send("GET", "/screenshot")))

    def quit(self) -> None:
        self._send("DELETE", "")


def _move(x: float, y: float) -> dict[str, Any]:
    return {"type": "pointerMove", "x": int(x), "y": int(y), "duration": 20}


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None or shutil.which("chromedriver") is None:
        pytest.skip("needs chromium and chromedriver (Debian: apt-get install chromium-driver)")
    return found


def wait_for(true: Callable[[], Any], what: str, within_s: float = 10.0) -> Any:
    """Asks again and again until the answer is true; fails naming what it waited for."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        answer = true()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"waited {within_s} s in vain for {what}")


@contextmanager
def chromium(downloads: Path, width: int = 1280, height: int = 900) -> Iterator[Browser]:
    """Starts chromedriver on a free port and ends it by its own process at the end."""
    _chromium()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _listens(port), "chromedriver to listen")
        browser = Browser(port, downloads, width, height)
        try:
            yield browser
        finally:
            browser.quit()
    finally:
        driver.terminate()
        driver.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
