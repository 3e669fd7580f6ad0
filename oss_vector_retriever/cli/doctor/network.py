"""The way to the service, step by step: name, connection, TLS, and the clock at its end."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from oss_vector_retriever.cli.doctor.findings import Finding, failure, ok, skip, warning
from oss_vector_retriever.client.clients import OSSVectorClient
from oss_vector_retriever.client.models.limits import DEFAULT_LIMITS
from oss_vector_retriever.client.models.messages import Reply, Request
from oss_vector_retriever.client.retry import http_date
from oss_vector_retriever.client.steps import Fault, send
from oss_vector_retriever.client.transport.engine import Settings, settings_for
from oss_vector_retriever.version import USER_AGENT

NAME, CONNECTION, TLS, ANSWER, CLOCK = "name", "connection", "TLS", "answer", "clock"
_PORTS = {"http": 80, "https": 443}
_NOTABLE = timedelta(minutes=1)


def check_way(client: OSSVectorClient) -> Iterator[Finding]:
    """Yield what is found on the way to the service, as far as it goes."""
    config = client.config
    settings = settings_for(config)
    origin, _ = config.endpoint.locate(config.bucket, config.account_id)
    if settings.proxy:
        origin = settings.proxy
    where = urlsplit(origin)
    host, port = where.hostname or "", where.port or _PORTS[where.scheme]
    try:
        address = _look_up(host, port)
    except OSError as error:
        yield _lookup_failure(host, error)
        return
    yield ok(NAME, f"{host} is {address}" + (", a proxy" if settings.proxy else ""))
    yield from _check_connection(address, port, host, settings)


def _look_up(host: str, port: int) -> str:
    # the first address alone, as the client's own connection tries it first, too
    return str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])


def _lookup_failure(host: str, error: OSError) -> Finding:
    return failure(
        NAME,
        f"{host} cannot be looked up: {error.strerror}",
        "check --region or --endpoint, and this machine's DNS and network",
    )


def _check_connection(address: str, port: int, host: str, settings: Settings) -> Iterator[Finding]:
    started = time.monotonic()
    try:
        link = socket.create_connection((address, port), settings.connect_timeout)
    except OSError as error:
        yield failure(
            CONNECTION,
            f"nobody answers on {address} port {port}: {error.strerror or error}",
            "check that the service runs there, and firewall, proxy and --endpoint",
        )
        return
    with link:
        took = (time.monotonic() - started) * 1000
        yield ok(CONNECTION, f"{address} port {port}, in {took:.1f} ms")
        yield _check_tls(link, host, settings)


def _check_tls(link: socket.socket, host: str, settings: Settings) -> Finding:
    if settings.proxy:
        return skip(TLS, "behind the proxy")
    if settings.tls is None:
        return skip(TLS, "plain http")
    try:
        with settings.tls.wrap_socket(link, server_hostname=host) as secured:
            return ok(TLS, f"{secured.version()}, the certificate is for {host}")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "verify_message", "") or error.strerror or type(error).__name__
        return failure(
            TLS,
            f"not agreed on: {reason}",
            "check --endpoint, this machine's certificates, and who reads along in between",
        )


def check_answer(client: OSSVectorClient) -> Iterator[Finding]:
    """Yield whether there is an answer, and how far its clock is from ours."""
    config = client.config
    origin, path = config.endpoint.locate(config.bucket, config.account_id)
    headers = {"host": urlsplit(origin).netloc, "accept": "*/*", "user-agent": USER_AGENT}
    # unsigned: any answer will do, and a wrong key or clock is for later checks to find
    request = Request("GET", origin, path, headers=headers)
    outcome = client.run(lambda _: send(request, config.timeout))
    if isinstance(outcome, Fault):
        yield failure(
            ANSWER,
            f"{origin} does not answer in HTTP ({outcome.name})",
            "check --endpoint: another service may listen there",
        )
        return
    yield ok(ANSWER, f"HTTP {outcome.status} to an unsigned request")
    yield _check_clock(outcome, datetime.now(UTC))


def _check_clock(reply: Reply, ours: datetime) -> Finding:
    theirs = http_date(reply.headers.get("date", ""))
    if theirs is None:
        return warning(
            CLOCK, "the reply has no Date", "check --endpoint: OSS sends one with every reply"
        )
    # a Date has no fractions of a second: half of one is missing on average
    offset = timedelta(seconds=round((ours - theirs).total_seconds() - 0.5))
    side = "ahead of" if offset > timedelta(0) else "behind"
    # two seconds are within what rounding and the way of the reply explain
    wrong = abs(offset) > timedelta(seconds=2)
    detail = f"{abs(offset)} {side} the service's" if wrong else "right"
    if abs(offset) > timedelta(seconds=DEFAULT_LIMITS.clock_skew_seconds):
        hint = "set this machine's clock: beyond 15 minutes the service refuses every request"
        return failure(CLOCK, detail, hint)
    if abs(offset) > _NOTABLE:
        return warning(CLOCK, detail, "set this machine's clock before it is 15 minutes off")
    return ok(CLOCK, detail)
