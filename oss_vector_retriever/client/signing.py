"""OSS4-HMAC-SHA256, as OSS Vectors has it: pure functions of what is signed.

The canonical URI is an ARN, not the request's path, and the payload is never hashed. Recipe and
known answers: reference sections 11, 11.1 and 11.2; the official SDK's `VectorsSignerV4` gives the
same signatures (tests/property/test_signing.py).
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn, Protocol
from urllib.parse import quote

ALGORITHM = "OSS4-HMAC-SHA256"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_TERMINATOR = "aliyun_v4_request"
# signed where present, like every x-oss- header; others only as additional headers
_ALWAYS_SIGNED = ("content-type", "content-md5")


@dataclass(frozen=True, slots=True)
class Scope:
    """The day, region and product that a signature holds for."""

    date: str
    region: str
    product: str = "oss"

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.product}/{_TERMINATOR}"


@lru_cache(maxsize=16)  # many requests are signed in the same second
def timestamp(moment: datetime) -> str:
    """Return a moment as `YYYYMMDDTHHMMSSZ`."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


@lru_cache(maxsize=16)
def http_date(moment: datetime) -> str:
    """Return a moment as HTTP's Date header has it."""
    from email.utils import format_datetime  # noqa: PLC0415 - slow, and signing may not need it

    return format_datetime(moment.astimezone(UTC), usegmt=True)


def resource_name(region: str, account_id: str, bucket: str | None) -> str:
    """Return the ARN path that stands for the URI; without a bucket the account is left out."""
    owner = f"{account_id}:{bucket}" if bucket else ":"
    return f"/acs:ossvector:{region}:{owner}/"


def additional_header_names(headers: Mapping[str, str], additional: Iterable[str]) -> list[str]:
    """Return those of `additional` that are present and not signed anyway, lower-case, sorted."""
    if not additional:  # the usual case
        return []
    names = {name.lower() for name in additional}
    return sorted(n for n in names if headers.get(n) and not _signed_by_default(n))


@lru_cache(maxsize=64)  # the requests of a client have the same headers
def _covered_names(names: tuple[str, ...], additional: tuple[str, ...]) -> list[str]:
    return [name for name in sorted(names) if _signed_by_default(name) or name in additional]


def _signed_by_default(name: str) -> bool:
    return name.startswith("x-oss-") or name in _ALWAYS_SIGNED


@lru_cache(maxsize=64)
def canonical_query(query: str) -> str:
    """Return the encoded query sorted by encoded name; a parameter without a value stands bare."""
    pairs: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        # a + stands for a space in a query, and would be signed as %2B
        name, _, value = part.replace("+", "%20").partition("=")
        pairs[name] = value
    return "&".join(f"{name}={value}" if value else name for name, value in sorted(pairs.items()))


@lru_cache(maxsize=64)
def _canonical_uri(resource: str) -> str:
    # the colons of the ARN are encoded, its slashes are not
    return quote(resource, safe="/")


def string_to_sign(stamp: str, scope: Scope, canonical: str) -> str:
    """Return the text that the signature is the HMAC of."""
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"


class SigningKey:
    """What a secret is turned into for a scope: it signs, and shows nothing."""

    # in a function, which no serialiser opens: with it anybody could sign for the day
    __slots__ = ("sign",)

    def __init__(self, secret: str, scope: Scope) -> None:
        key = f"aliyun_v4{secret}".encode()
        for part in (scope.date, scope.region, scope.product, _TERMINATOR):
            key = hmac.digest(key, part.encode(), "sha256")
        self.sign: Callable[[str], str]
        self.sign = lambda text: hmac.digest(key, text.encode(), "sha256").hex()

    def __repr__(self) -> str:
        return "SigningKey(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("signing keys are not pickled")


class _Secretive(Protocol):
    # `Credentials`, which this module has no need to know
    @property
    def access_key_secret(self) -> str: ...


class SigningKeys:
    """The keys of one client: the last one serves all requests of a day, and goes with the client.

    Deriving one takes four times as long as signing with it.
    """

    def __init__(self) -> None:
        self._last: tuple[_Secretive, Scope, SigningKey] | None = None

    def key_of(self, credentials: _Secretive, scope: Scope) -> SigningKey:
        """Return the key of some credentials for a scope."""
        last = self._last  # read and written as a whole: threads need no lock
        if last and last[1] == scope and (last[0] is credentials or last[0] == credentials):
            return last[2]
        key = SigningKey(credentials.access_key_secret, scope)
        self._last = credentials, scope, key
        return key


@dataclass(frozen=True, slots=True)
class Signable:
    """The parts of one request that its signature is made of; `headers` have lower-case names.

    The repr leaves the headers out: they hold a token.
    """

    method: str
    resource: str
    query: str
    headers: dict[str, str] = field(repr=False)
    additional: tuple[str, ...] = ()

    def canonical_request(self) -> str:
        """Return the text whose hash is signed."""
        additional = additional_header_names(self.headers, self.additional)
        # that of a presigned URL comes once, and can hold a token: it is not kept
        sort = canonical_query.__wrapped__ if "x-oss-" in self.query else canonical_query
        uri, query, names = _canonical_uri(self.resource), sort(self.query), ";".join(additional)
        covered = _covered_names(tuple(self.headers), tuple(additional))
        # without a name of its own: the lines hold a token, and an error shows what has a name
        lines = (f"{name}:{self.headers[name].strip()}\n" for name in covered)
        return f"{self.method}\n{uri}\n{query}\n{''.join(lines)}\n{names}\n{UNSIGNED_PAYLOAD}"

    def signature(self, secret: str | SigningKey, stamp: str, scope: Scope) -> str:
        """Return the signature under a secret, or its key for the scope; lower-case hex."""
        key = secret if isinstance(secret, SigningKey) else SigningKey(secret, scope)
        return key.sign(string_to_sign(stamp, scope, self.canonical_request()))


def dated_headers(moment: datetime, security_token: str | None = None) -> dict[str, str]:
    """Return the headers that must be there before signing: date, payload mark and token."""
    headers = {
        "date": http_date(moment),
        "x-oss-content-sha256": UNSIGNED_PAYLOAD,
        "x-oss-date": timestamp(moment),
    }
    if security_token:
        headers["x-oss-security-token"] = security_token
    return headers


def authorization(
    signable: Signable, access_key_id: str, secret: str | SigningKey, stamp: str, scope: Scope
) -> str:
    """Return the value of the Authorization header."""
    names = additional_header_names(signable.headers, signable.additional)
    additional = f",AdditionalHeaders={';'.join(names)}" if names else ""
    signed = signable.signature(secret, stamp, scope)
    return f"{ALGORITHM} Credential={access_key_id}/{scope}{additional},Signature={signed}"
