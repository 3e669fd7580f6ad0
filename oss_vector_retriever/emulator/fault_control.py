"""`FaultControl`: the faults of a service over HTTP, at `/_emulator/faults`.

GET returns `{"pending": [...], "applied": [...]}`; POST adds one fault, or several as
`{"faults": [...]}`; DELETE ends all and forgets what was applied. A fault is its fields and its
kind, such as `{"kind": "throttle", "times": 3, "operation": "GetVectors"}`.

Only requests from this machine are heard, under one of its own names, so that neither the network
nor a web page (whose POST cannot be `application/json` unasked) switches faults on.
"""

from __future__ import annotations

import ipaddress
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.emulator import json_text
from oss_vector_retriever.emulator.faults import KINDS, Fault
from oss_vector_retriever.emulator.mishaps import Faults
from oss_vector_retriever.emulator.refusals import Refusal

PATH = "/_emulator/faults"
_NAMES = {kind: name for name, kind in KINDS.items()}


class FaultControl:
    """Answer what is asked at `/_emulator/faults`."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def hears(self, request: Request, client: str | None) -> bool:
        """Tell whether a request from the address `client` is for this."""
        if request.path != PATH or not _is_loopback(client):
            return False
        return _is_loopback(_host(request.origin))

    def handle(self, request: Request) -> Reply:
        """Return the reply to a request."""
        try:
            if request.method == "POST":
                self._faults.add(*_read(request))
            elif request.method == "DELETE":
                self._faults.clear()
            elif request.method != "GET":
                return _refusal(405, "GET, POST or DELETE")
        except (Refusal, ValueError) as error:
            return _refusal(400, str(error))
        return _json(200, {"pending": self._pending(), "applied": self._applied()})

    def _pending(self) -> list[dict[str, Any]]:
        return [to_json(fault) for fault in self._faults.pending]

    def _applied(self) -> list[dict[str, Any]]:
        return [
            {"fault": to_json(one.fault), "operation": one.operation}
            for one in self._faults.applied
        ]


def to_json(fault: Fault) -> dict[str, Any]:
    """Return a fault as a JSON object."""
    return {"kind": _NAMES[type(fault)], **asdict(fault)}


def from_json(members: object) -> Fault:
    """Return the fault that a JSON object describes.

    Raises:
        ValueError: there is no such kind, or it has no such member or value.
    """
    if not isinstance(members, dict):
        raise ValueError("a fault must be an object")  # noqa: TRY004 - one kind for all
    given = dict(members)
    name = given.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}")
    unknown = sorted(given.keys() - kind.__dataclass_fields__.keys())
    if unknown:
        raise ValueError(f"{name} has no {unknown[0]!r}")
    return kind(**given)


def _read(request: Request) -> list[Fault]:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise ValueError("the Content-Type must be application/json")
    members = json_text.parse_object(request.body)
    listed = members.get("faults", [members])
    if not isinstance(listed, list):
        raise ValueError("faults must be a list")  # noqa: TRY004 - one kind for all
    return [from_json(item) for item in listed]


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _is_loopback(host: str | None) -> bool:
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _refusal(status: int, message: str) -> Reply:
    return _json(status, {"Error": {"Code": "InvalidArgument", "Message": message}})


def _json(status: int, value: object) -> Reply:
    return Reply(status, {"content-type": "application/json"}, json_text.dumps(value))
