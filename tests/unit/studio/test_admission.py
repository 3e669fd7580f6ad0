"""Whom the page answers, and what it says to whom."""

import httpx
import pytest
from support.studio_page import HOST, INDEX, OWN, ROOT, opened

pytestmark = [pytest.mark.promise("P6"), pytest.mark.usefixtures("stored")]

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
SECRET = "text of a record"


@pytest.fixture
def stored(client):
    client.upsert([{"key": "a", "data": [1, 2], "metadata": {"text": SECRET}}])


def ask(http, headers, path=INDEX, method="GET"):
    request = http.build_request(method, path)
    kept = {"host"}  # the client's own, such as accept, and those of the page's script, go
    request.headers = httpx.Headers({n: v for n, v in request.headers.items() if n in kept})
    request.headers.update(headers)
    return http.send(request)


@pytest.mark.parametrize(
    "headers",
    [
        {**NAVIGATION, "Sec-Fetch-Site": "none"},
        {**NAVIGATION, "Sec-Fetch-Site": "cross-site"},
        {**NAVIGATION, "Sec-Fetch-Site": "same-site"},
        {**NAVIGATION, "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin"},  # not by the script
        {"HX-Request": "true"},  # no browser says where this comes from
        {"HX-Request": "true", "Sec-Fetch-Site": "none"},
        {**NAVIGATION, "Sec-Fetch-Site": "cross-site", "HX-Request": "true"},
        {},
    ],
)
async def test_everybody_else_gets_the_shell_without_data_and_no_call_is_made(
    http, service, headers
):
    service.seen.clear()
    for path in (ROOT, f"{ROOT}/", INDEX, f"{INDEX}/keys?keys=a"):
        reply = await ask(http, headers, path)
        assert reply.status_code == 200
        assert '<main id="view"' in reply.text
        assert SECRET not in reply.text
        assert "development-bucket" not in reply.text
    assert service.seen == []


async def test_the_pages_own_script_gets_the_view(http):
    reply = await ask(http, OWN)
    assert SECRET in reply.text
    assert "<main" not in reply.text


FOREIGN = {
    "fetch": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    "script": {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "script"},
    "frame": {**NAVIGATION, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
    "object": {**NAVIGATION, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "object"},
    "port": {"Sec-Fetch-Site": "same-site"},
    "origin": {**OWN, "Origin": "http://127.0.0.1:9001"},
    "null origin": {**OWN, "Origin": "null"},
    "rebound": {**OWN, "Host": "rebind.test:9000"},
    "service's name": {**OWN, "Host": "cn-hangzhou.oss-vectors.aliyuncs.com"},
    "broken host": {**OWN, "Host": "[::1"},
    "tunnel": {**OWN, "X-Forwarded-For": "127.0.0.1"},
    "proxy": {**OWN, "Forwarded": "for=127.0.0.1"},
}


@pytest.mark.parametrize("name", FOREIGN)
async def test_what_comes_from_elsewhere_is_refused(http, service, name, caplog):
    service.seen.clear()
    for path in (INDEX, f"{ROOT}/static/htmx.min.js"):
        reply = await ask(http, FOREIGN[name], path)
        assert (reply.status_code, service.seen) == (403, [])
        assert SECRET not in reply.text
        assert "refused GET" in caplog.text


async def test_other_machines_are_refused(client):
    _, page = opened(client.to_async())
    transport = httpx.ASGITransport(page, client=("192.0.2.1", 50000))
    async with httpx.AsyncClient(transport=transport, base_url=HOST, headers=OWN) as http:
        assert (await http.get(INDEX)).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_the_page_only_reads(http, service, method):
    service.seen.clear()
    reply = await ask(http, OWN, method=method)
    assert (reply.status_code, service.seen) == (405, [])


@pytest.mark.parametrize("path", [ROOT, INDEX, f"{ROOT}/static/studio.js", f"{ROOT}/nowhere/x"])
async def test_every_answer_carries_the_headers_that_protect_it(http, path):
    reply = await http.get(path)
    policy = dict(part.strip().split(" ", 1) for part in reply.headers[_CSP].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in reply.headers[_CSP]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["cross-origin-opener-policy"] == "same-origin"
    assert reply.headers["cache-control"] == "no-store"


_CSP = "content-security-policy"


async def test_where_there_is_a_token_it_must_be_said(client, service):
    http, _ = opened(client.to_async(), token="canary-token")
    async with http:
        service.seen.clear()
        for headers in ({}, {"X-Studio-Token": ""}, {"X-Studio-Token": "canary-toke"}):
            reply = await http.get(INDEX, headers=headers)
            assert "locked" in reply.text
            assert SECRET not in reply.text
        assert service.seen == []
        shell = await ask(http, NAVIGATION)
        assert "canary-token" not in shell.text
        reply = await http.get(INDEX, headers={"X-Studio-Token": "canary-token"})
    assert SECRET in reply.text
    assert "canary-token" not in reply.text


async def test_no_file_beside_the_static_ones_is_served(http):
    for path in ("../application.py", "..%2fapplication.py", "%2e%2e/views.py", "/etc/passwd"):
        reply = await http.get(f"{ROOT}/static/{path}")
        assert reply.status_code == 404
        assert "import" not in reply.text
