"""What crosses the border between our code and a transport: one request, one reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """Describe one HTTP request, ready to send.

    `path` and `query` are percent-encoded, `headers` have lower-case names. The repr leaves headers
    and body out: they carry the signature, a security token and the user's data.
    """

    method: str
    origin: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def target(self) -> str:
        """Return the request target in origin form, such as `/?getVectors`."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def url(self) -> str:
        """Return the absolute URL."""
        return self.origin + self.target


@dataclass(frozen=True, slots=True)
class Reply:
    """Describe one HTTP reply, read whole; `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def request_id(self) -> str | None:
        """Return the service's id of this request (`x-oss-request-id`), if it sent one."""
        return self.headers.get("x-oss-request-id")

    @property
    def ok(self) -> bool:
        """Tell whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the HTTP class itself
