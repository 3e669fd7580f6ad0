"""`Finding`: what one check found, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from oss_vector_retriever.cli.errors import word
from oss_vector_retriever.client.errors import OSSVectorError

Status = Literal["ok", "warning", "failed", "skipped"]


class Finding(NamedTuple):
    """The outcome of one check."""

    check: str
    status: Status
    detail: str
    hint: str = ""


def ok(check: str, detail: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(check, "ok", detail)


def warning(check: str, detail: str, hint: str) -> Finding:
    """Return a finding that may be as it should be."""
    return Finding(check, "warning", detail, hint)


def failure(check: str, detail: str | OSSVectorError, hint: str) -> Finding:
    """Return a finding that must be put right."""
    text = detail if isinstance(detail, str) else detail.render(word)
    return Finding(check, "failed", text, hint)


def skip(check: str, reason: str) -> Finding:
    """Return a check that was not made."""
    return Finding(check, "skipped", reason)
