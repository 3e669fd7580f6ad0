"""What crosses the border between our code and a transport: one request, one reply."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

# Beside control characters those that turn the direction of a text, which can disguise a message.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
_ID_CHARACTERS = 128


def printable(text: str, most: int) -> str:
    """Return text from outside without control characters, cut where it is too long to show."""
    # Cut first: a hostile text of megabytes is not worth a regular expression.
    text = _CONTROLS.sub(" ", text[: 2 * most]).strip()
    return text if len(text) <= most else f"{text[:most]}..."


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, ready to send.

    `path` and `query` are percent-encoded, `headers` have lower-case names. The repr leaves headers
    and body out: they carry the signature, a security token and the user's data.
    """

    method: str
    origin: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    _content_md5: str = field(default="", init=False, repr=False, compare=False)

    @property
    def content_md5(self) -> str:
        """Return the digest of the body that the header Content-MD5 carries."""
        # Once for both ends, where they are in one process: of a large body it takes half as long
        # as writing it. Bytes never change, and `replace` leaves the digest behind.
        if not self._content_md5 or type(self.body) is not bytes:
            digest = hashlib.md5(self.body, usedforsecurity=False).digest()
            object.__setattr__(self, "_content_md5", base64.b64encode(digest).decode())
        return self._content_md5

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
    """One HTTP reply, read whole; `headers` have lower-case names.

    The repr leaves headers and body out: a peer can echo what it was sent. What reads a large reply
    calls `check_time`, if any, with the operation's name now and then: it raises when time is up.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    check_time: Callable[[str], None] | None = field(default=None, repr=False, compare=False)

    @property
    def request_id(self) -> str | None:
        """Return the service's id of this request (`x-oss-request-id`), if it sent one."""
        return printable(self.headers.get("x-oss-request-id", ""), _ID_CHARACTERS) or None

    @property
    def ok(self) -> bool:
        """Tell whether the status is 2xx."""
        return 200 <= self.status < 300  # noqa: PLR2004 - the HTTP class itself
