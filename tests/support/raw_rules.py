"""Rows of a table of rules: what is asked in raw bytes, and what the documentation has for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.raw_wire import Ask, RawReply, Wire

DOCS = Path(__file__).parents[2] / "docs"
PLAIN = re.compile(r"[A-Za-z0-9]+")
INVALID = (400, "VectorIndexParameterInvalid")
MALFORMED = (400, "MalformedJson")
ARGUMENT = (400, "InvalidArgument")
DENIED = (403, "AccessDenied")
UNSIGNED = (403, "SignatureDoesNotMatch", "0002-00000201")
NO_BUCKET = (404, "NoSuchBucket", "0015-00000101")
NO_INDEX = (404, "NoSuchVectorIndex")
NO_METHOD = (405, "MethodNotAllowed")
OK, GONE = (200,), (204,)
ASSUMED = "plain OSS; assumed"
ABOUT_BUCKETS = {
    "BucketAlreadyExists", "BucketNameNotAvailable", "NoSuchBucket", "NoSuchBucketPolicy",
    "VectorBucketNotEmpty",
}  # fmt: skip


class Row(NamedTuple):
    """One rule.

    `section` is that of the API reference; `outcome` is the status with, of a refusal, its code and
    where one is on record its EC; `shows` is the JSON of the reply, or what it is turned into by
    `reads`. `before` is asked first, and done. Of what is not documented `differs` is the topic in
    docs/known-differences.md.
    """

    section: float
    says: str
    ask: Ask
    outcome: tuple[Any, ...] = OK
    shows: Any = None
    reads: Callable[[Any], Any] = lambda found: found
    before: tuple[Ask, ...] = ()
    differs: str = ""


def table(*rows: Row) -> Any:
    """Return the mark that runs a test for each row."""
    return pytest.mark.parametrize("row", rows, ids=[f"{r.section} {r.says}" for r in rows])


def post(query: str, index: object = "flat", /, **more: Any) -> Ask:
    """Return the request of an operation; members of `Ask` go there, all others into the body."""
    own = {name: more.pop(name) for name in list(more) if name in Ask.__dataclass_fields__}
    members = ({} if index is None else {"indexName": index}) | more
    # Written as the SDK for Python does, with spaces and escapes.
    return Ask(query=query, **{"body": json.dumps(members).encode()} | own)


def put(index: str, *vectors: Mapping[str, Any], **own: Any) -> Ask:
    """Return a PutVectors request."""
    return post("putVectors", index, vectors=list(vectors), **own)


def vector(key: object, *values: object, **metadata: Any) -> dict[str, Any]:
    """Return a vector as PutVectors takes it."""
    shaped: dict[str, Any] = {"key": key, "data": {"float32": list(values)}}
    return shaped | ({"metadata": metadata} if metadata else {})


def keys_of(found: Any) -> list[str]:
    """Return the keys in a reply."""
    return [each["key"] for each in found["vectors"]]


def check(wire: Wire, row: Row) -> None:
    """Ask, and compare what comes back with the rule."""
    for ask in row.before:
        done = wire.send(ask)
        assert done.status in (200, 204), done
    host = re.search(rb"\r\nhost: (.*?)\r\n", wire.head(row.ask))
    assert host is not None
    reply = wire.send(row.ask)
    assert (reply.status, *_named(reply, row.outcome)) == row.outcome, reply
    check_form(reply, host[1].decode())
    if row.shows is not None:
        assert row.reads(reply.json) == row.shows
    if row.differs:
        assert row.differs in _first_cells("known-differences.md", "")
    else:
        assert row.outcome[1:2] not in [(code,) for code in _first_cells("error-codes.md", ASSUMED)]


@cache
def _first_cells(page: str, holding: str) -> set[str]:
    """Return what begins the lines of the tables of a page that hold a text."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    return {line.split(" | ")[0][2:] for line in lines if line[:2] == "| " and holding in line}


def _named(reply: RawReply, outcome: tuple[Any, ...]) -> tuple[str, ...]:
    error = reply.error if reply.status >= 400 else {}
    return (error.get("Code", ""), error.get("EC", ""))[: max(len(outcome) - 1, bool(error))]


def check_form(reply: RawReply, host: str) -> None:
    """Check what every reply has: sections 3 and 6."""
    headers = reply.headers
    assert headers["server"] == "AliyunOSS"
    assert headers["connection"] in ("keep-alive", "close")
    assert re.fullmatch(r"[0-9A-F]{24}", headers["x-oss-request-id"])
    assert headers["x-oss-server-time"].isdigit()
    age = datetime.now(UTC) - parsedate_to_datetime(headers["date"])
    assert abs(age) < timedelta(minutes=1)
    # Byte for byte: with anything behind it the SDK for Python reads the body as XML.
    assert headers.get("content-type") == ("application/json" if reply.body else None)
    assert ("content-length" in headers) is (reply.status != 204)
    if reply.status < 400:
        assert "x-oss-ec" not in headers
        return
    assert reply.json.keys() == {"Error"}
    error = reply.error
    assert error.keys() <= {
        "Code", "Message", "RequestId", "HostId", "BucketName", "EC", "RecommendDoc"
    }  # fmt: skip
    assert PLAIN.fullmatch(error["Code"])
    assert error["Message"]
    assert error["RequestId"] == headers["x-oss-request-id"]
    assert error["HostId"] == host
    assert error.get("EC") == headers.get("x-oss-ec")
    assert ("BucketName" in error) is (error["Code"] in ABOUT_BUCKETS)
