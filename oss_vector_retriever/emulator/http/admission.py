"""Which HTTP requests are let in: none that a foreign page has a browser on this machine send.

A page can have requests sent to a loopback port, and its browser sends most of them without asking.
What tells them apart are headers that no page can set:

- `Host`. A name that was bound anew to this machine (DNS rebinding) makes the page and the service
  one origin to the browser; it then says nothing else, and only the name is strange.
- `Sec-Fetch-Site`. Browsers send it to loopback addresses with every request.
- `Origin`. They send it with whatever changes something, and with every request across origins.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence

from ...client.errors import ConfigurationError
from .addressing import DOMAIN, split_target

# as ASGI has them
Headers = Iterable[tuple[bytes, bytes]]

_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>[0-9]{0,5}))?")
# The bucket in front of a host that is not the service's own (reference section 2).
_BUCKET_LABEL = re.compile(r"^[a-z0-9-]+-[0-9]+\.")
_OWN_SITE = frozenset({b"none", b"same-origin"})
_SHOWN = 80


class Admission:
    """The check of each request's head, before anything of it is obeyed or its body read.

    Args:
        allow_hosts: names that the server is reached by, besides loopback ones and those of the
            service's own domain; one that begins with a dot means every name that ends with it.

    Raises:
        ConfigurationError: one of them is not a host name.
    """

    def __init__(self, allow_hosts: Sequence[str] = ()) -> None:
        if isinstance(allow_hosts, str):
            raise ConfigurationError(f"allow_hosts must be a list of names, not {allow_hosts!r}")
        self._names = frozenset(map(_checked_name, allow_hosts))

    def reason_to_refuse(self, headers: Headers, target: bytes) -> str | None:
        """Return why a request is refused, or None for one that is let in."""
        received = list(headers)
        hosts = _values(received, b"host")
        # In absolute form, which proxies are asked in, the target says what the request is for.
        aim, _, _ = split_target(target)
        if aim is not None:
            hosts.append(aim.partition("://")[2].encode("latin-1"))
        if not hosts:
            return "it has no Host"
        if len(hosts) > (1 if aim is None else 2):
            return "it has more than one Host"
        for host in hosts:
            if not self._knows(host):
                return (
                    f"its Host is {_show(host)}, which is neither of this machine nor of the "
                    "service's domain; --allow-host (allow_hosts= of a Server) lets one in"
                )
        for site in _values(received, b"sec-fetch-site"):
            if site not in _OWN_SITE:
                return f"its Sec-Fetch-Site is {_show(site)}: a page elsewhere sent it"
        for origin in _values(received, b"origin"):
            if not _is_own(origin, hosts):
                return f"its Origin is {_show(origin)}: a page elsewhere sent it"
        return None

    def _knows(self, host: bytes) -> bool:
        name, _ = _split(host)
        if name is None:
            return False
        plain = _BUCKET_LABEL.sub("", name)
        return any(
            is_loopback(each)
            or f".{each}".endswith(DOMAIN)
            or each in self._names
            or any(known[0] == "." and each.endswith(known) for known in self._names)
            for each in (name, plain)
        )


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [value for each, value in headers if each.lower() == name]


def is_loopback(host: str | None) -> bool:
    """Tell whether a host, without its port, is this machine by an address or a name."""
    if host is None:
        return False
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        # Names under localhost never leave this machine (RFC 6761).
        return host == "localhost" or host.endswith(".localhost")
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _checked_name(text: str) -> str:
    if ":" in text and text[:1] != "[":  # an IPv6 address, as other options have it
        text = f"[{text}]"
    dot = "." if text[:1] == "." else ""
    name, port = _split(text.removeprefix(dot).encode())
    if not name or port is not None or name.startswith("."):
        raise ConfigurationError(
            f"{text!r} cannot be an allowed host: a name or an address without a port, or a dot "
            "and the end of names"
        )
    return dot + name


def _split(host: bytes) -> tuple[str | None, str | None]:
    """Return the name and the port of a Host, both None where it is not one."""
    match = _AUTHORITY.fullmatch(host.decode("latin-1").lower())
    if match is None:
        return None, None
    name = match["name"].removesuffix(".")  # a final dot is the writer's choice
    if name[:1] == "[":  # an address has many spellings
        try:
            name = f"[{ipaddress.ip_address(name[1:-1])}]"
        except ValueError:
            return None, None
    return name, match["port"]


def _is_own(origin: bytes, hosts: Sequence[bytes]) -> bool:
    """Tell whether an Origin is that of the server, scheme and port included."""
    text = origin.decode("latin-1").lower()
    scheme, _, host = text.partition("://")
    if scheme != "http" or not host:  # also `null`, of a sandbox or a file
        return False
    return all(_place(host.encode("latin-1")) == _place(own) for own in hosts)


def _place(host: bytes) -> tuple[str | None, str]:
    name, port = _split(host)
    return name, port or "80"


def _show(value: bytes) -> str:
    """Return a header's value for the log: shortened, and without control characters."""
    return ascii(value.decode("latin-1")[:_SHOWN])
