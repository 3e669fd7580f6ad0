"""Who sends a request: OSS4-HMAC-SHA256 in the Authorization header or in a presigned query.

Recipe: reference section 11. The order in which faults are named: form, key, token, clock, scope,
signature; the documentation leaves it open.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from ...client import signing
from ...client.models.messages import Request
from ..accounts import AccessKey
from ..http.addressing import Address, parameters
from .refusals import Refusal, signature_fault

_LONGEST_EXPIRY = 7 * 24 * 3600
_LONGEST_NUMBER = 20  # digits; int() refuses thousands
_SCOPE_PARTS = 5
_STAMP = "%Y%m%dT%H%M%SZ"


def identify(
    request: Request,
    address: Address,
    now: datetime | None,
    date: datetime | None,
    *,
    keys: Mapping[str, AccessKey],
    region: str,
    skew_seconds: int,
) -> AccessKey | None:
    """Return the key, of those known by id, that signed a request; None for an anonymous one.

    `region` is that of hosts that do not name one. Keys expire by `now`; what a request says of
    time is checked by `date`, from which it may differ by `skew_seconds`. Where only the head of a
    request is there, both are None: neither clocks nor the digest of the body are checked.

    Raises:
        Refusal: AccessDenied past its expiry, InvalidArgument,
            InvalidAccessKeyId, UserDisable, InvalidSecurityToken, SecurityTokenExpired,
            RequestTimeTooSkewed, SignatureDoesNotMatch or InvalidDigest.
    """
    _check_text(request)
    query, header = parameters(request.query), request.headers.get("authorization")
    # Before the query: a header is added on purpose, a URL may be passed on as it came.
    if header is not None:
        claim = _claim_in_header(header, request)
    elif "x-oss-signature-version" in query or "x-oss-signature" in query:
        claim = _claim_in_query(query, request)
    else:
        return None
    _check_payload_mark(request, claim)
    key = _find_key(claim, keys, now)
    if date is not None:
        _check_clock(claim, date, skew_seconds)
    scope = signing.Scope(claim.stamp[:8], address.region or region)
    if claim.scope != scope:
        raise Refusal("SignatureDoesNotMatch", f"The scope must be {scope}.")
    _check_signature(claim, key, request, address)
    if now is not None:
        _check_digest(request)
    return key


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says about its signature."""

    access_key_id: str
    scope: signing.Scope
    stamp: str
    signature: str
    additional: tuple[str, ...]
    token: str
    query: str
    expires: int | None = None


def _check_text(request: Request) -> None:
    """Refuse lone surrogates, which no socket brings but a caller in this process can."""
    text = (request.origin, request.path, request.query, *request.headers.values())
    try:
        "".join((*text, *request.headers)).encode()
    except UnicodeEncodeError:
        raise Refusal("InvalidArgument", "The request holds text that is no Unicode.") from None


def _claim_in_header(header: str, request: Request) -> _Claim:
    algorithm, _, rest = header.strip().partition(" ")
    if algorithm != signing.ALGORITHM:
        raise Refusal("InvalidArgument", f"The Authorization must be {signing.ALGORITHM}.")
    parts = (part.strip().partition("=") for part in rest.split(","))
    fields = {name: value for name, _, value in parts}
    if fields.get("AdditionalHeaders") == "":
        raise signature_fault("0002-00000209")
    credential = _credential(fields.get("Credential"), "0002-00000205", "0002-00000213")
    if not fields.get("Signature"):
        raise signature_fault("0002-00000208" if "Signature" in fields else "0002-00000202")
    return _Claim(
        *credential,
        stamp=_stamp(request),
        signature=fields["Signature"],
        additional=_names(fields.get("AdditionalHeaders", "")),
        token=request.headers.get("x-oss-security-token", ""),
        query=request.query,
    )


def _claim_in_query(query: dict[str, str], request: Request) -> _Claim:
    if query.get("x-oss-signature-version") != signing.ALGORITHM:
        raise Refusal("InvalidArgument", f"x-oss-signature-version must be {signing.ALGORITHM}.")
    if not query.get("x-oss-signature"):
        raise signature_fault("0002-00000220" if "x-oss-signature" in query else "0002-00000219")
    if "x-oss-expires" not in query:
        raise signature_fault("0002-00000215")
    expires = query["x-oss-expires"]
    digits = expires.isascii() and expires.isdigit() and len(expires) <= _LONGEST_NUMBER
    if not (digits and 1 <= int(expires) <= _LONGEST_EXPIRY):
        raise Refusal("InvalidArgument", f"x-oss-expires must be 1 to {_LONGEST_EXPIRY} seconds.")
    pairs = request.query.split("&")  # as they came: the text is signed, not what it means
    return _Claim(
        *_credential(query.get("x-oss-credential"), "0002-00000217", "0002-00000224"),
        stamp=query.get("x-oss-date", ""),
        signature=query["x-oss-signature"],
        additional=_names(query.get("x-oss-additional-headers", "")),
        token=query.get("x-oss-security-token", ""),
        query="&".join(p for p in pairs if p.partition("=")[0] != "x-oss-signature"),
        expires=int(expires),
    )


def _credential(text: str | None, absent: str, malformed: str) -> tuple[str, signing.Scope]:
    """Split `id/date/region/product/aliyun_v4_request`; an id may itself hold a slash.

    `absent` and `malformed` are the ECs of what else it may be.
    """
    if text is None:
        raise signature_fault(absent)
    access_key_id, *parts = text.rsplit("/", _SCOPE_PARTS - 1)
    if len(parts) != _SCOPE_PARTS - 1 or parts[-1] != "aliyun_v4_request":
        raise signature_fault(malformed)
    return access_key_id, signing.Scope(*parts[:3])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(";") if name.strip())


def _stamp(request: Request) -> str:
    """Return the signing time: `x-oss-date`, or where that is missing `Date`."""
    stamp = request.headers.get("x-oss-date", "")
    if stamp:
        return stamp
    try:
        return signing.timestamp(parsedate_to_datetime(request.headers.get("date", "")))
    except (ValueError, OverflowError):
        return ""


def _check_payload_mark(request: Request, claim: _Claim) -> None:
    """Refuse the hash of a payload, which AWS's habits suggest (section 16)."""
    sent = request.headers.get("x-oss-content-sha256")
    # A presigned request needs none (section 11).
    unneeded = sent is None and claim.expires is not None
    if sent != signing.UNSIGNED_PAYLOAD and not unneeded:
        raise signature_fault("0002-00000214")


def _find_key(claim: _Claim, keys: Mapping[str, AccessKey], now: datetime | None) -> AccessKey:
    key = keys.get(claim.access_key_id)
    if key is None:
        raise Refusal("InvalidAccessKeyId")
    if not key.enabled:
        raise Refusal("UserDisable")
    # Compared in constant time, as the signature is: how long a refusal takes says nothing.
    if not hmac.compare_digest((key.security_token or "").encode(), claim.token.encode()):
        raise Refusal("InvalidSecurityToken")
    if key.expires is not None and now is not None and now >= key.expires:
        raise Refusal("SecurityTokenExpired")
    return key


def _check_clock(claim: _Claim, date: datetime, skew_seconds: int) -> None:
    try:
        signed = _read_stamp(claim.stamp)
    except ValueError:
        raise Refusal("AccessDenied", "The request has no valid date (x-oss-date).") from None
    ahead = (signed - date).total_seconds()
    # A presigned request is used later than it is made: only its expiry ends it.
    if claim.expires is None:
        if abs(ahead) > skew_seconds:
            raise Refusal("RequestTimeTooSkewed", f"The server's time is {date:{_STAMP}}.")
    elif ahead > skew_seconds:
        raise Refusal("AccessDenied", "The request is not valid yet.")
    elif date > signed + timedelta(seconds=claim.expires):
        raise Refusal("AccessDenied", "Request has expired.")


@lru_cache(maxsize=16)  # many requests are signed in the same second
def _read_stamp(stamp: str) -> datetime:
    return datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC)


def _check_signature(claim: _Claim, key: AccessKey, request: Request, address: Address) -> None:
    # In path style nothing names an account, and clients sign with that of their key.
    account = key.account_id if address.account is None else address.account
    resource = signing.resource_name(claim.scope.region, account, address.bucket)
    headers = {"host": address.host, **request.headers}
    signable = signing.Signable(
        request.method, resource + address.rest, claim.query, headers, claim.additional
    )
    # The payload is not covered: its hash is always UNSIGNED-PAYLOAD (section 11).
    expected = signable.signature(key.secret, claim.stamp, claim.scope)
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise Refusal("SignatureDoesNotMatch")


def _check_digest(request: Request) -> None:
    sent = request.headers.get("content-md5")
    if sent is None:  # clients work without it (section 3)
        return
    if sent != request.content_md5:
        raise Refusal("InvalidDigest")
