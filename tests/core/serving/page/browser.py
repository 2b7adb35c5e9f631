"""A real Chromium, told what to do by its DevTools protocol over two pipes: no driver is needed."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator

PATIENCE = 60.0
NAMES = ("chromium", "chromium-browser", "google-chrome")
ASKED = ("/invoke", "/invocations", "/ask", "/corrections")  # which may be refused
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)


def found() -> str | None:
    """The path of a Chromium; None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """A Chromium of its own, with a profile that goes with it."""

    def __init__(self, path: str) -> None:
        self._profile = tempfile.mkdtemp(prefix="algoshelf-chromium-")
        orders, self._orders = os.pipe()
        self._answers, answers = os.pipe()
        as_root = ["--no-sandbox"] if os.getuid() == 0 else []
        given = [*FLAGS, *as_root, f"--user-data-dir={self._profile}", "--remote-debugging-pipe"]
        # The pipes are to be the descriptors 3 and 4, whatever they are here.
        take = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", take, "bash", str(orders), str(answers), path, *given],
            pass_fds=(orders, answers),
            env={**os.environ, "HOME": self._profile},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(orders)
        os.close(answers)
        self._numbers = itertools.count(1)
        self._held = b""
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", /, **parameters: Any) -> dict[str, Any]:
        """What a method of the protocol answers; events that come meanwhile are kept."""
        number = next(self._numbers)
        order = {"id": number, "method": method, "params": parameters}
        if session:
            order["sessionId"] = session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            message = self._message(time.monotonic() + PATIENCE)
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._held:
            ready, _, _ = select.select([self._answers], [], [], deadline - time.monotonic())
            assert ready, "Chromium does not answer"
            piece = os.read(self._answers, 2**20)
            assert piece, "Chromium has ended"
            self._held += piece
        message, _, self._held = self._held.partition(b"\0")
        result: dict[str, Any] = json.loads(message)
        return result

    @contextlib.contextmanager
    def tab(self, url: str, width: int = 1200, height: int = 900, **media: str) -> Iterator[Tab]:
        """A tab with storage of its own, at ``url``; ``media`` are features such as dark."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        tab = Tab(self, target["targetId"], context)
        try:
            tab.call("Page.enable")
            tab.call("Runtime.enable")
            tab.call("Log.enable")
            tab.call(
                "Emulation.setDeviceMetricsOverride",
                width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
            )  # fmt: skip
            features = [{"name": name.replace("_", "-"), "value": v} for name, v in media.items()]
            tab.call("Emulation.setEmulatedMedia", features=features)
            tab.call("Page.navigate", url=url)
            yield tab
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)

    def close(self) -> None:
        """End it, all of its processes, and its profile."""
        with contextlib.suppress(Exception):
            self.call("Browser.close")
            self._process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        os.close(self._orders)
        os.close(self._answers)
        shutil.rmtree(self._profile, ignore_errors=True)


class Tab:
    """A tab, and what a person does in it."""

    def __init__(self, browser: Browser, target: str, context: str) -> None:
        self.browser, self.context = browser, context
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **parameters)

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript, awaited."""
        done = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def until(self, expression: str, patience: float = PATIENCE) -> None:
        """Wait for ``expression`` to be true."""
        deadline = time.monotonic() + patience
        while not self.run(f"!!({expression})"):
            shown = self.run("document.body?.innerText ?? ''")
            assert time.monotonic() < deadline, f"not {expression}: the page shows {shown[:2000]!r}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """What an element shows; empty where there is none."""
        value = self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")
        return str(value)

    def type(self, selector: str, text: str) -> None:
        """Focus an element, and enter ``text`` as an input method does."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "", modifiers: int = 0) -> None:
        given = {"key": key, "code": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        kind = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=kind, text=text, **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)

    def click(self, selector: str) -> None:
        """Click an element in its middle."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def middle(self, selector: str) -> tuple[float, float]:
        x, y, width, height = self.box(selector)
        return x + width / 2, y + height / 2

    def box(self, selector: str) -> list[float]:
        """Where an element is, scrolled into view: left, top, width, height."""
        named = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{named}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        found: list[float] = self.run(
            f"(box => [box.x, box.y, box.width, box.height])({named}.getBoundingClientRect())"
        )
        return found

    def button(self, text: str) -> str:
        """A selector of the button that shows ``text``."""
        mark = text.replace(" ", "-")
        self.until(
            f"[...document.querySelectorAll('button')].filter(each => each.textContent === "
            f"{json.dumps(text)}).map(each => each.dataset.test = {json.dumps(mark)}).length"
        )
        return f'[data-test="{mark}"]'

    def stroke(self, selector: str, points: list[tuple[float, float]]) -> None:
        """Draw a line through ``points``, fractions of an element's width and height."""
        x, y, width, height = self.box(selector)
        places = [(x + width * right, y + height * down) for right, down in points]
        for kind, (left, top) in [
            ("mousePressed", places[0]),
            *(("mouseMoved", place) for place in places[1:]),
            ("mouseReleased", places[-1]),
        ]:
            self.call(
                "Input.dispatchMouseEvent",
                type=kind, x=left, y=top, button="left", buttons=1, clickCount=1,
            )  # fmt: skip

    def touch(self, selector: str, points: list[tuple[float, float]]) -> None:
        """As ``stroke``, by a finger."""
        self.call("Emulation.setTouchEmulationEnabled", enabled=True)
        x, y, width, height = self.box(selector)
        for place, (right, down) in enumerate(points):
            finger = {"x": x + width * right, "y": y + height * down}
            kind = "touchMove" if place else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[finger])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def drop(self, selector: str, path: Path) -> None:
        """Drop a file on an element."""
        x, y = self.middle(selector)
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def paste(self, selector: str, text: str) -> None:
        """Paste a text into an element, as its clipboard event."""
        self.run(
            "(() => { const data = new DataTransfer();"
            f" data.setData('text/plain', {json.dumps(text)});"
            f" const at = document.querySelector({json.dumps(selector)}); at.focus();"
            " at.dispatchEvent(new ClipboardEvent('paste',"
            " {clipboardData: data, bubbles: true, cancelable: true})); })()"
        )

    def complaints(self) -> list[str]:
        """What the browser has complained of: exceptions, what the policy forbade, what was not
        found; but for requests to models, which may be refused.
        """
        self.run("0")
        told = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                details = event["params"]["exceptionDetails"]
                told.append(details.get("exception", {}).get("description", details["text"]))
            if event["method"] == "Log.entryAdded":
                entry = event["params"]["entry"]
                asked = entry.get("url", "").endswith(ASKED)
                if entry["level"] == "error" and not asked:
                    told.append(f"{entry['text']} {entry.get('url', '')}")
        return told

    def screenshot(self, path: Path) -> None:
        size = self.run(
            "[document.documentElement.clientWidth, document.documentElement.scrollHeight]"
        )
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
