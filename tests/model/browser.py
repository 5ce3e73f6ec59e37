"""A headless Chromium, driven over its DevTools protocol. https://chromedevtools.github.io/devtools-protocol/"""

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import websocket
from model.demo import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1500, 1300  # all tables of pgAdmin fit: it draws only what can be seen


def executable() -> str | None:
    """The browser of this machine."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Navigated(AssertionError):
    """The page was left for another one before it answered."""


class Page:
    """One page. The functions that take a script evaluate JavaScript in it."""

    def __init__(self, socket: websocket.WebSocket) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, script: str, within_s: float = 60) -> None:
        """Until the script is true, in whichever page is there by then: a login leads to another one."""

        def is_true() -> bool:
            try:
                return bool(self.evaluate(script))
            except Navigated:
                return False

        wait_until(is_true, within_s, script)

    def fill(self, selector: str, text: str) -> None:
        """Types into a field, as a keyboard does."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.wait_for(f"!!{found}")
        self.evaluate(f"{found}.focus()")
        self._call("Input.insertText", text=text)

    def press_enter(self) -> None:
        for kind in ("keyDown", "keyUp"):
            self._call(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
            )

    def click(self, element: str, times: int = 1) -> None:
        """Clicks on the middle of what a script finds, once it is there."""
        self.wait_for(f"!!({element})")
        self.evaluate(f"({element}).scrollIntoView({{block: 'nearest'}})")
        x, y = self.evaluate(
            f"(() => {{ const r = ({element}).getBoundingClientRect(); "
            "return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def screenshot(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))

    def _call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == number:
                if answer.get("error", {}).get("message") == "Inspected target navigated or closed":
                    raise Navigated(method)
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]


@contextmanager
def page() -> Iterator[Page]:
    """A page of a browser that has just been started, and ends with the context."""
    found = executable()
    assert found is not None
    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen(
            [
                *(found, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *("--no-first-run", "--no-proxy-server", "--remote-debugging-port=0", "--remote-allow-origins=*"),
                *(f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}", "about:blank"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            told = Path(profile) / "DevToolsActivePort"
            wait_until(lambda: told.exists() and told.read_text().count("\n") >= 1, 60, "the browser is up")
            port = told.read_text().split()[0]
            [target] = [one for one in httpx.get(f"http://127.0.0.1:{port}/json").json() if one["type"] == "page"]
            socket = websocket.create_connection(target["webSocketDebuggerUrl"], timeout=60)
            try:
                yield Page(socket)
            finally:
                socket.close()
        finally:
            process.terminate()
            process.wait(30)
