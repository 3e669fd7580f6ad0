"""`Finding`: what one check found, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from oss_vector_retriever.cli.errors import in_flags

Status = Literal["ok", "warning", "failed", "skipped"]


class Finding(NamedTuple):
    """Hold the outcome of one check."""

    check: str
    status: Status
    found: str
    todo: str = ""


def ok(check: str, found: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(check, "ok", found)


def warning(check: str, found: str, todo: str) -> Finding:
    """Return a finding that may be as it should be."""
    return Finding(check, "warning", found, todo)


def failed(check: str, found: object, todo: str) -> Finding:
    """Return a finding that must be mended."""
    return Finding(check, "failed", in_flags(str(found)), todo)


def skipped(check: str, why: str) -> Finding:
    """Return a check that was not made."""
    return Finding(check, "skipped", why)
