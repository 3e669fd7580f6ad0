"""Generated requests against the emulator: none may end in an unhandled exception.

schemathesis generates requests from the OpenAPI description, right ones and wrong ones; each is
sent as it is, and again with random damage to text, target, headers or signature. Every reply is
held against the description too. The default run sends a few thousand, `make soak` 50,000.
"""

import json
import random
from collections import Counter
from dataclasses import replace
from urllib.parse import quote

import jsonschema_rs
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from support.caller import Caller
from support.openapi import describe
from support.promises import sized

from oss_vector_retriever.client.models.messages import Request
from oss_vector_retriever.emulator import DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET, Service

DOCUMENT = describe()
DAMAGED_EACH = 4
LIVES = 200  # requests until everything is new: some delete the bucket or forbid everything
# A body that the description allows is not refused as wrong; others depend on more than it says.
DECIDED = {"GetVectors", "GetVectorIndex", "DeleteVectors"}


def validator(schema):
    return jsonschema_rs.Draft202012Validator({**schema, "components": DOCUMENT["components"]})


class Described:
    """What the document says of one operation."""

    def __init__(self, operation):
        self.operation = operation
        described = operation.definition.raw
        self.name = described["operationId"]
        self.method = operation.method.upper()
        body = described.get("requestBody", {}).get("content", {}).get("application/json")
        self.body = validator(body["schema"]) if body else None
        self.replies = {
            status: validator(reply["content"]["application/json"]["schema"])
            for status, reply in described["responses"].items()
            if "content" in reply
        }
        self.statuses = {int(status) for status in described["responses"] if status != "default"}


def text_of(body):
    if isinstance(body, bytes):
        return body
    is_json = isinstance(body, dict | list | str | int | float | bool | None)
    return json.dumps(body).encode() if is_json else b""


class Fuzzer:
    """Send requests to a service and judge what comes back."""

    def __init__(self, rng):
        self.rng = rng
        self.sent = 0
        self.statuses = Counter()
        self.judged = Counter()
        self.service = None

    def renew(self):
        if self.service is not None:
            self.service.close()
        self.service = Service()
        self.service.create_bucket(DEVELOPMENT_ACCOUNT_ID, DEVELOPMENT_BUCKET)
        self.caller = Caller(self.service)
        for name, metric in (("A", "euclidean"), ("C", "cosine")):
            self.caller.make_index(name, dimension=1, metric=metric)

    def send(self, request):
        if self.sent % LIVES == 0:
            self.renew()
        self.sent += 1
        reply = self.service.respond(request).reply
        self.statuses[reply.status] += 1
        assert reply.status != 500, (request, request.headers, request.body)
        assert len(reply.request_id) == 24
        return reply

    def try_case(self, described, case):
        """Send a generated request, and damaged copies."""
        if self.service is None:
            self.renew()
        body = text_of(case.body)
        request = self.sign(described, case, body)
        self.send(request)
        proper = self.sign(described, None, body)
        self.judge(described, self.send(proper), body)
        for _ in range(DAMAGED_EACH):
            self.send(self.damaged(request))

    def sign(self, described, case, body):
        """Return a request as it was generated, or without a case one that asks properly."""
        chosen = described.operation.path.removeprefix("/").removeprefix("#")
        asked = dict(case.query or {}) if case else {chosen: ""} if chosen else {}
        pairs = (
            f"{quote(str(n))}={quote(str(v))}" if v != "" else quote(n) for n, v in asked.items()
        )
        bucket = None if described.name == "ListVectorBuckets" else DEVELOPMENT_BUCKET
        return self.caller.sign(described.method, "&".join(pairs), body, bucket=bucket)

    def judge(self, described, reply, body):
        """Hold a reply to an undamaged request against the document."""
        parsed = orjson.loads(reply.body) if reply.body else None
        kind = "default" if reply.status >= 400 else str(reply.status)
        assert kind == "default" or reply.status in described.statuses
        if kind in described.replies:
            assert described.replies[kind].is_valid(parsed), (described.name, parsed)
        if described.body is None or not body:
            return
        try:
            fits = described.body.is_valid(orjson.loads(body))
        except orjson.JSONDecodeError:
            fits = False
        self.judged["right" if fits else "wrong"] += 1
        if not fits:
            assert reply.status >= 400, (described.name, body)
        elif described.name in DECIDED:
            assert reply.status in (200, 204, 403, 404), (described.name, body, reply.body)

    def damaged(self, request):
        """Return a copy of a request with something random changed, signed anew or not."""
        damage = self.rng.choice([self.body, self.target, self.headers, self.resigned])
        return damage(request)

    def resigned(self, request):
        method = self.rng.choice(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", "", "\x00"])
        query = self.rng.choice([request.query, "policy", "getVectors&x=%ff", "max-keys=9" * 9])
        body = self.scratched(request.body)
        return self.caller.sign(method, query, body)

    def body(self, request):
        bodies = [
            self.scratched(request.body),
            request.body[: self.rng.randrange(len(request.body) + 1)],
            request.body * 2,
            self.rng.randbytes(self.rng.randrange(40)),
            b"[" * self.rng.choice([900, 1100, 100_000]),
            b'{"a":' * self.rng.choice([200, 300, 100_000]),
        ]
        return self.caller.sign(request.method, request.query, self.rng.choice(bodies))

    def scratched(self, body):
        text = bytearray(body or b"{}")
        for _ in range(self.rng.randint(1, 4)):
            where = self.rng.randrange(len(text) + 1)
            text[where : where + self.rng.randrange(3)] = self.rng.choice(
                [b"", b'"', b"{", b"]", b"null", b"1e400", b"-0", b"\\ud800", b":", b",", b"\xff"]
            )
        return bytes(text)

    def target(self, request):
        wild = ["/", "//", "/%", "/%ff", "/..", "/a/b", "/\ud800/", "/" + "x" * 9000, "", "*", "/é"]
        hosts = [
            "http://",
            "http://-1.x",
            "http://a-1.a-internal.oss-vectors.aliyuncs.com",
            "http://[",
            "",
        ]
        return replace(
            request, path=self.rng.choice(wild), origin=self.rng.choice([request.origin, *hosts])
        )

    def headers(self, request):
        headers = dict(request.headers)
        name = self.rng.choice(list(headers))
        text = headers.pop(name)
        odd = [
            "",
            "=,=,",
            "OSS4-HMAC-SHA256 ",
            "OSS4-HMAC-SHA256 Credential=a/b/c/d/e",
            "\ud800",
            "é",
        ]
        if self.rng.random() < 0.7:
            at = self.rng.randrange(len(text) + 1)
            headers[name] = self.rng.choice([*odd, text[:at] + self.rng.choice(odd) + text[at:]])
        headers |= self.rng.choice([{}, {"content-md5": "x"}, {"content-length": "-1"}])
        return replace(request, headers=headers)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "count", [sized(1_500, 3_000), pytest.param(50_000, marks=pytest.mark.soak)]
)
def test_no_request_ends_in_an_unhandled_exception(count, caplog):
    number = random.randrange(1 << 32)
    print(f"\nseed {number}")  # noqa: T201 - to repeat a failure
    fuzzer = Fuzzer(random.Random(number))
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    operations = [Described(found.ok()) for found in schema.get_all_operations()]
    round_ = 0
    while fuzzer.sent < count:
        round_ += 1
        for described in operations:
            for mode in GenerationMode:
                cases = described.operation.as_strategy(generation_mode=mode)
                missing = max(0, count - fuzzer.sent) // (DAMAGED_EACH + 2) // len(operations) // 2
                run(fuzzer, described, cases, number + round_, min(200, missing + 1))
    assert fuzzer.sent >= count
    assert caplog.text == ""
    assert min(fuzzer.judged["right"], fuzzer.judged["wrong"]) > count // 300
    fuzzer.service.close()
    print(  # noqa: T201 - a figure
        f"{fuzzer.sent} requests: {dict(sorted(fuzzer.statuses.items()))}, bodies: "
        f"{dict(fuzzer.judged)}"
    )


def run(fuzzer, described, cases, number, examples):
    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(cases)
    def try_all(case):
        fuzzer.try_case(described, case)

    try_all()


def test_the_fuzzer_would_notice(monkeypatch):
    monkeypatch.setattr(Service, "_admit", lambda *_: 1 / 0)
    fuzzer = Fuzzer(random.Random(1))
    fuzzer.renew = lambda: setattr(fuzzer, "service", Service())
    with pytest.raises(AssertionError):
        fuzzer.send(Request("GET", "http://x", "/"))
    fuzzer.service.close()
