"""Names and hosts: nothing reaches a URL that could move the request elsewhere.

Host form: reference section 2. Every name is checked against a whitelist before a URL is built.
"""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Any

from .errors import ConfigurationError, InvalidRequestError, quote
from .hidden import Hidden, hide_address
from .models.limits import DEFAULT_LIMITS

# Page PutVectorBucket: 3 to 32 characters, no hyphen at either end.
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,30})[a-z0-9]")
_ACCOUNT = re.compile(r"[0-9]{1,20}")
# Of OSS ids one `oss-` is taken off: what is left must not look like another.
_REGION = re.compile(r"(?!oss-oss-)[a-z0-9]+(?:-[a-z0-9]+){0,6}")
# Page PutVectorIndex: letters and digits, a letter first.
_INDEX = re.compile(r"[A-Za-z][A-Za-z0-9]*")
# RFC 1123: labels of 63 characters, 253 in all.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
                        r"(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*")  # fmt: skip
# Neither userinfo, path, query nor fragment: each could move a signed request elsewhere.
_ENDPOINT = re.compile(
    r"(?:(?P<scheme>[A-Za-z]+)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^/?#@\[\]:\\\s]+)"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
_LAST_PORT = 65535
_DOMAIN = "oss-vectors.aliyuncs.com"
# The addresses of a region and of a bucket. Greedy, and account ids are digits: a bucket's name may
# end in a hyphen and digits of its own.
_PLACE = re.compile(
    rf"(?:(?P<bucket>{_BUCKET.pattern})-(?P<account_id>{_ACCOUNT.pattern})\.)?"
    rf"(?P<region>[a-z0-9-]+?)(?P<internal>-internal)?\.{re.escape(_DOMAIN)}"
)
# A bucket as listings name it, or an index as policies do. `bucket/name`, an older form of theirs,
# could as well be the index `name` of a bucket called `bucket`.
_ARN = re.compile(
    rf"acs:ossvector:(?P<region>{_REGION.pattern}):(?P<account_id>{_ACCOUNT.pattern}):"
    rf"(?!bucket/)(?P<bucket>{_BUCKET.pattern})(?:/(?P<index>{_INDEX.pattern}))?"
)


def check_bucket(bucket: object) -> str:
    """Return a vector bucket's name, or raise ConfigurationError (page PutVectorBucket)."""
    if isinstance(bucket, str) and _BUCKET.fullmatch(bucket):
        return bucket
    what = "the name of a vector bucket: 3 to 32 lower-case letters, digits and hyphens, with no "
    raise _setting_error("bucket", bucket, f"is not {what}hyphen at either end.")


def read_bucket(bucket: object) -> dict[str, str]:
    """Return the settings that a bucket's name gives, or its ARN, or that of an index in it.

    Raises:
        ConfigurationError: it is neither.
    """
    if not isinstance(bucket, str) or not bucket.startswith("acs:"):
        return {"bucket": check_bucket(bucket)}
    match = _ARN.fullmatch(bucket)
    if match is None:
        form = "acs:ossvector:REGION:ACCOUNT:BUCKET, with /INDEX after it for an index."
        raise _setting_error("bucket", bucket, f"is not the ARN of a vector bucket: {form}")
    said = {name: value for name, value in match.groupdict().items() if value}
    return {**said, "region": check_region(said["region"])}


def check_account_id(account_id: object) -> str:
    """Return an Alibaba Cloud account id, or raise ConfigurationError."""
    if isinstance(account_id, str) and _ACCOUNT.fullmatch(account_id):
        return account_id
    what = "an account id: digits only, given as a string (console, top right corner, Account ID)."
    raise _setting_error("account_id", account_id, f"is not {what}")


def check_region(region: object) -> str:
    """Return a region id such as `cn-hangzhou`, also of an OSS id; or raise ConfigurationError."""
    if isinstance(region, str) and _REGION.fullmatch(region) and len(region) <= 40:  # noqa: PLR2004
        # the service says both of a bucket: `Location` is the OSS id (page GetVectorBucket)
        region_id = region.removeprefix("oss-")
        if not region_id.endswith("-internal"):
            return region_id
        message, remedy = "{argument} {value}:", "leave out '-internal', pass {internal=True}"
        raise ConfigurationError(message, argument="region", value=region, remedy=remedy)
    raise _setting_error("region", region, "is not a region id such as 'cn-hangzhou'.")


def _setting_error(argument: str, value: object, what: str) -> ConfigurationError:
    return ConfigurationError("{argument} {value} " + what, argument=argument, value=value)


def check_index(index: object, argument: str = "index") -> str:
    """Return an index name, or raise InvalidRequestError (page PutVectorIndex)."""
    most = DEFAULT_LIMITS.index_name_characters
    if isinstance(index, str) and _INDEX.fullmatch(index) and len(index) <= most:
        return index
    raise InvalidRequestError(
        "{argument} {value} is not an index name: 1 to {limit} letters and digits, a letter first "
        "(no hyphen, no underscore).",
        argument=argument,
        value=index,
        limit=most,
    )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The service's address; `path_style` puts the bucket into the path instead of the host."""

    scheme: str
    host: str
    port: int | None = None
    path_style: bool = False

    @property
    def authority(self) -> str:
        """Return host and port."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Tell whether it is on this machine."""
        return _is_loopback(self.host)

    @property
    def over_http(self) -> "Endpoint":
        """Return the same address without TLS."""
        return replace(self, scheme="http")

    def locate(self, bucket: str | None, account_id: str) -> tuple[str, str]:
        """Return origin and path for a bucket of an account; without a bucket, for the region."""
        # An IP address has no sub-domain that could name the bucket.
        if bucket is None or self.path_style:
            path = f"/{bucket}/" if bucket else "/"
            return f"{self.scheme}://{self.authority}", path
        return f"{self.scheme}://{bucket}-{account_id}.{self.authority}", "/"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def public_endpoint(region: str, *, internal: bool = False) -> Endpoint:
    """Return a region's own endpoint; `internal` is the one inside the region's network."""
    suffix = "-internal" if internal else ""
    return Endpoint("https", f"{region}{suffix}.{_DOMAIN}")


def read_endpoint(text: str, *, allow_http: bool = False) -> dict[str, Any]:
    """Return the settings that an address gives: `endpoint`, and of OSS Vectors' own hosts more.

    The endpoint of a bucket, as the console shows it, is that of its region, with `bucket` and
    `account_id` beside it: whoever sends a request puts them into the host again.

    Raises:
        ConfigurationError: it cannot be used (see `parse_endpoint`), or is an OSS Vectors host of
            neither a region nor a bucket.
    """
    endpoint = parse_endpoint(text, allow_http=allow_http)
    if not f".{endpoint.host}".endswith(f".{_DOMAIN}"):
        return {"endpoint": endpoint}
    match = _PLACE.fullmatch(endpoint.host)
    if match is None:
        forms = f"REGION.{_DOMAIN} and BUCKET-ACCOUNT.REGION.{_DOMAIN}"
        raise _bad_endpoint(text, f"OSS Vectors hosts are {forms}")
    region, internal = check_region(match["region"]), match["internal"] is not None
    own = replace(endpoint, host=public_endpoint(region, internal=internal).host)
    said = {"endpoint": own, "region": region, "internal": internal}
    names = ("bucket", "account_id") if match["bucket"] else ()
    return {**said, **{name: match[name] for name in names}}


def remove_bucket(endpoint: Endpoint, bucket: str | None, account_id: str) -> Endpoint:
    """Return an endpoint without the bucket in its host, where `locate` puts it."""
    host = endpoint.host.removeprefix(f"{bucket}-{account_id}.")
    if host == endpoint.host:
        return endpoint
    return replace(endpoint, host=host, path_style=host == "localhost")


def parse_endpoint(text: str, *, allow_http: bool = False) -> Endpoint:
    """Read an endpoint such as `127.0.0.1:9000` or `cn-hangzhou.oss-vectors.aliyuncs.com`.

    Where no scheme is said it is https, and http on this machine.

    Raises:
        ConfigurationError: it is not a bare scheme, host and port, or it is plain http to
            somewhere else than this machine and `allow_http` is not set.
    """
    text = hide_address(text)
    match = _ENDPOINT.fullmatch(text) if isinstance(text, str) and text.isascii() else None
    if match is None:
        raise _bad_endpoint(text, "it is not [scheme://]host[:port] in ASCII")
    host, port = match["host"].lower(), int(match["port"]) if match["port"] else None
    if port is not None and not 0 < port <= _LAST_PORT:
        raise _bad_endpoint(text, "its port is out of range")
    address = _ip_address(text, host)
    loopback = _is_loopback(host)
    # what runs on this machine, such as the embedded service, seldom has a certificate
    scheme = (match["scheme"] or ("http" if loopback else "https")).lower()
    if scheme not in {"http", "https"}:
        raise _bad_endpoint(text, "its scheme is not https (or http)")
    if scheme == "http" and not (allow_http or loopback):
        why = "plain http would show data to the network; use https, or pass {allow_http=True}"
        raise _bad_endpoint(text, why)
    # Plain OSS answers on other hosts; what it would say of such a request helps nobody.
    if host.endswith(".aliyuncs.com") and not f".{host}".endswith(f".{_DOMAIN}"):
        raise _bad_endpoint(text, f"it is not an OSS Vectors host; those end in {_DOMAIN}")
    return Endpoint(scheme, host, port, path_style=address is not None or host == "localhost")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        # RFC 6761, 6.3: every name under `localhost` is this machine.
        return host == "localhost" or host.endswith(".localhost")


def _ip_address(text: str, host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        if host.startswith("["):
            return ipaddress.IPv6Address(host[1:-1])
        return ipaddress.IPv4Address(host)
    except ValueError:
        # No top-level domain is a number: `127.1` is an address to a resolver, and no name here.
        if _HOST_NAME.fullmatch(host) and not host.rsplit(".", 1)[-1].isdigit():
            return None
        raise _bad_endpoint(text, "its host is not a host name or an IP address") from None


def _bad_endpoint(text: object, why: str) -> ConfigurationError:
    # with userinfo or a query, as of a presigned URL, it can hold a password, a key or a signature
    address = "(not shown, for it holds more than an address)"
    return ConfigurationError(
        "{argument} {address} cannot be used: " + why + ".",
        argument="endpoint",
        fields={"address": address if isinstance(text, Hidden) else quote(text)},
    )
