"""Chromium by its debugging pipe: pages are opened, looked at and photographed.

The protocol is JSON, a NUL after each message, on two pipes that the browser inherits: no port, no
further library. What a page says on its console, what it asks the network for and what it throws
is kept for the test.
"""

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import time

import pytest

CHROMIUM = shutil.which("chromium")
PATIENCE = 60
_READS, _WRITES = 3, 4  # the browser's own ends, by the numbers that it expects
_KEYS = {
    "/": ("Slash", 191, "/"),
    "Enter": ("Enter", 13, "\r"),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
}


def require_chromium():
    """Skip where there is no browser, except where one was installed for this (.ci/run)."""
    if CHROMIUM is None:
        is_needed = "OSS_VECTORS_NEED_CHROMIUM" in os.environ
        (pytest.fail if is_needed else pytest.skip)("there is no Chromium (Debian: chromium)")


class Browser:
    """A browser of its own, with a profile in a folder."""

    def __init__(self, folder):
        ours, theirs = os.pipe(), os.pipe()
        self._out, self._in = ours[1], theirs[0]
        command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        command += [f"--user-data-dir={folder / 'profile'}", "--remote-debugging-pipe"]
        command += ["--disable-dev-shm-usage", "--force-color-profile=srgb", "about:blank"]
        # A later Chromium may ask before a page reaches the local network, and others do not.
        off = "LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,HttpsUpgrades"
        command += [f"--disable-features={off}"]
        environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}

        # a shell gives the ends their numbers: `pass_fds` keeps those that they have
        redirect = f'exec "$@" {_READS}<&{ours[0]} {_WRITES}>&{theirs[1]}'
        with (folder / "chromium.txt").open("w") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", redirect, "bash", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                pass_fds=(ours[0], theirs[1]),
                start_new_session=True,
            )
        os.close(ours[0])
        os.close(theirs[1])
        self._buffer = b""
        self._last = 0
        self.events = []

    def close(self):
        os.killpg(self._process.pid, signal.SIGKILL)  # with the processes that it started
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def call(self, method, session=None, **parameters):
        """Return what a command answers; what happens meanwhile is kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE
        while True:
            answer = self._read(until - time.monotonic())
            assert answer is not None, f"{method} was not answered"
            if answer.get("id") == self._last:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def wait(self, seconds):
        """Take in what happens within some seconds, or the first of it."""
        self._read(seconds)

    def _read(self, seconds):
        until = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(until - time.monotonic(), 0))
            if not ready:
                return None
            part = os.read(self._in, 1 << 20)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(message)
        if "method" in found:
            self.events.append(found)
        return found

    @contextlib.contextmanager
    def page(self, *, width=1200, height=800, dark=False, scale=1):
        """Give a new page, which is closed afterwards."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        page = Page(self, target["targetId"])
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        try:
            yield page
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """One page."""

    def __init__(self, browser, target):
        self._browser = browser
        attached = browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def open(self, address, until="document.querySelector('#view h1')"):
        """Navigate, as who types an address, and wait; return the seconds that it took."""
        self.evaluate("window.isBefore = true")  # what is looked at must be the new document
        began = time.monotonic()
        self.call("Page.navigate", url=address)
        self.wait(f"!window.isBefore && {until}")
        return time.monotonic() - began

    def wait(self, condition):
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(f"!!({condition})"):
            assert time.monotonic() < end, f"never: {condition}; {self.messages}"
            self._browser.wait(0.01)

    def evaluate(self, expression):
        """Return the value of an expression, of a promise what it comes to."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def click(self, selector):
        """Click what a selector finds, as a mouse does, and wait for what it brings."""
        self.wait(f"document.querySelector({json.dumps(selector)})")
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key):
        """Press a key."""
        code, number, text = _KEYS.get(key, (f"Key{key.upper()}", ord(key.upper()[0]), key))
        keys = {"key": key, "code": code, "windowsVirtualKeyCode": number, "text": text}
        kind = "keyDown" if text else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=kind, **keys)
        self.call("Input.dispatchKeyEvent", type="keyUp", **{**keys, "text": ""})

    def type(self, text):
        """Enter a text where the focus is."""
        self.call("Input.insertText", text=text)

    def screenshot(self, path, *, whole=False):
        """Photograph the page, or all of it."""
        self.call("Emulation.setScrollbarsHidden", hidden=True)
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
        self.call("Emulation.setScrollbarsHidden", hidden=False)

    def _events(self, *methods):
        own = (e for e in self._browser.events if e.get("sessionId") == self._session)
        return [(e["method"], e["params"]) for e in own if e["method"] in methods]

    @property
    def messages(self):
        """Return what the page's console holds, errors and warnings and all else."""
        found = []
        kinds = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        for method, values in self._events(*kinds):
            if method == "Log.entryAdded":
                found.append(f"{values['entry']['level']}: {values['entry']['text']}")
            elif method == "Runtime.exceptionThrown":
                found.append(f"thrown: {values['exceptionDetails']}")
            else:
                found.append(f"{values['type']}: {[one.get('value') for one in values['args']]}")
        return found

    @property
    def asked(self):
        """Return every address that the page asked the network for."""
        return [v["request"]["url"] for _, v in self._events("Network.requestWillBeSent")]

    @property
    def dialogs(self):
        """Return the dialogs that scripts of the page opened."""
        return [values["message"] for _, values in self._events("Page.javascriptDialogOpening")]
