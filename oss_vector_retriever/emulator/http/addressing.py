"""Which bucket, account and region a request is for: by host name or by path.

Accepted (reference section 2): the region host, the bucket host, public and internal; a bucket
label in front of any other host, as the official Python SDK writes it; and the path style of the
Go SDK, `/{bucket}/?op`, where the account is that of the access key.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from ...client.models.messages import Request

DOMAIN = ".oss-vectors.aliyuncs.com"
_INTERNAL = "-internal"
_BUCKET_LABEL = re.compile(r"(?P<bucket>.+)-(?P<account>[0-9]+)")
_ABSOLUTE = re.compile(rb"https?://[^/?#]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    """What a request is for.

    `host` is as the client wrote it, `region` and `account` are as it says, or None; `bucket` is
    None for the region as a whole; vector buckets have no `rest` of a path beyond them.
    """

    host: str
    region: str | None = None
    account: str | None = None
    bucket: str | None = None
    rest: str = ""


def resolve(request: Request) -> Address:
    """Return what a request is for, from its host and path."""
    host = host_of(request)
    # Ports, a final dot and capitals are the writer's choice; signatures cover `host` as it came.
    name = re.sub(r":[0-9]*$", "", host).rstrip(".").lower()
    region, label = _region_and_label(name)
    # Greedy, and account ids are digits: a bucket's name may hold hyphens of its own.
    match = _BUCKET_LABEL.fullmatch(label)
    path = unquote(request.path).lstrip("/")
    if match and (region or not path):
        return Address(host, region, match["account"], match["bucket"], path)
    if region and label:
        return Address(host, region, "", label, path)
    bucket, _, rest = path.partition("/")
    return Address(host, region, None, bucket or None, rest)


def host_of(request: Request) -> str:
    """Return the host as the client wrote it, with its port: the origin's, else the header's."""
    _, _, host = request.origin.partition("://")
    return host or request.headers.get("host", "")


def _region_and_label(name: str) -> tuple[str | None, str]:
    """Split a host name into the region and the bucket label, where it has them."""
    if name.endswith(DOMAIN):
        label, _, region = name.removesuffix(DOMAIN).rpartition(".")
        return region.removesuffix(_INTERNAL), label
    label, dot, _ = name.partition(".")
    return None, label if dot else ""


def split_target(target: bytes) -> tuple[str | None, str, str]:
    """Return (origin or None, path, query) of a request target in origin or absolute form."""
    match = _ABSOLUTE.match(target)
    origin = match[0].decode("latin-1") if match else None
    path, _, query = target[match.end() if match else 0 :].partition(b"?")
    return origin, path.decode("latin-1") or "/", query.decode("latin-1")


def parameters(query: str) -> dict[str, str]:
    """Return the decoded query parameters; one without `=` has an empty value."""
    # Forms, and with them urlencode of Python, write a space as +.
    parts = query.replace("+", "%20").split("&")
    pairs = (part.partition("=") for part in parts if part)
    return {unquote(name): unquote(value) for name, _, value in pairs}
