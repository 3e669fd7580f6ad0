"""Replies as a run reads them: what was answered, and what of it may stand in a record."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from ...client import errors
from ...client.models import Reply

_CODE = re.compile(r"[A-Za-z][A-Za-z.]{0,63}")
_MEMBER = re.compile(r"[A-Za-z]{1,40}")
_EC = re.compile(r"[0-9]{4}-[0-9]{8}")
_TYPE = re.compile(r"[a-z]+/[a-z+.-]+(; ?charset=[A-Za-z0-9-]+)?")


class NoAnswerError(Exception):
    """A question that has no answer, with the reason in words that name nobody.

    Attributes:
        answers: those of its answers that there are all the same.
    """

    def __init__(self, reason: str, answers: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.answers = answers or {}


def describe_error(error: errors.OSSVectorError) -> str:
    """Return status and code of an error, or its kind, and none of its words."""
    if isinstance(error, errors.ServiceError):
        return _outcome(error.status, error.code)
    return type(error).__name__


def _outcome(status: int, code: object) -> str:
    # a code and nothing else: the text goes into a file that names nobody
    known = isinstance(code, str) and _CODE.fullmatch(code)
    return f"{status} {code}" if known else str(status)


class Answer(NamedTuple):
    """One reply, whatever its status; `members` are those of its body."""

    status: int
    members: Mapping[str, Any]
    reply: Reply

    @property
    def ok(self) -> bool:
        """Tell whether it was done."""
        return self.reply.ok

    @property
    def error(self) -> Mapping[str, Any]:
        """Return the error's members."""
        error = self.members.get("Error")
        return error if isinstance(error, dict) else {}

    @property
    def outcome(self) -> str:
        """Return status and code as one text: `200`, or `400 MalformedJson`."""
        return _outcome(self.status, self.error.get("Code"))

    @property
    def vectors(self) -> list[dict[str, Any]]:
        """Return the vectors of a reply that is to have some."""
        if not self.ok:
            raise NoAnswerError(self.outcome)
        found = self.members.get("vectors") or []
        return [each for each in found if isinstance(each, dict)]

    @property
    def accepted(self) -> bool:
        """Tell whether it was done, and not refused; anything else is no answer."""
        if self.ok or self.status == HTTPStatus.BAD_REQUEST:
            return self.ok
        raise NoAnswerError(self.outcome)

    @property
    def distances(self) -> dict[str, float]:
        """Return the distances of what was found, by key."""
        return {
            each["key"]: float(each["distance"])
            for each in self.vectors
            if isinstance(each.get("distance"), int | float)
        }

    @property
    def keys(self) -> list[Any]:
        """Return their keys."""
        return [each.get("key") for each in self.vectors]


def read(reply: Reply) -> Answer:
    """Return the answer that a reply holds; a body that is no JSON object has no members."""
    try:
        members = json.loads(reply.body) if reply.body else {}
    except (ValueError, RecursionError):
        members = {}
    return Answer(reply.status, members if isinstance(members, dict) else {}, reply)


def describe_body(answer: Answer) -> dict[str, Any]:
    """Return what of an error's reply may be told: its form, and none of its words."""
    # its words are left out: they may name whom they were said to
    names = [name for name in answer.error if _MEMBER.fullmatch(name)]
    kind, ec = answer.reply.headers.get("content-type", ""), answer.error.get("EC")
    known = isinstance(ec, str) and _EC.fullmatch(ec)
    return {
        "outcome": answer.outcome,
        "content_type": kind if _TYPE.fullmatch(kind) else "another",
        "members": sorted(names),
        **({"ec": ec} if known else {}),
    }
