"""`oss-vectors doctor`: every check between here and the vectors, in order."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import click

from ...client import errors
from ...client.clients import OSSVectorClient, client_of
from ...client.config import VARIABLES, ClientConfig
from ...client.credentials import ACCESS_KEY_ID, ACCESS_KEY_SECRET, SESSION_TOKEN
from ...client.models.limits import DEFAULT_LIMITS
from ...client.models.messages import Reply, Request
from ...client.models.results import FetchResult, VectorIndex
from ...client.retry import http_date
from ...client.steps import Fault, send
from ...client.transport.engine import Settings, settings_for
from ...records.decode import ENVELOPE_KEYS
from ...version import USER_AGENT
from .. import arguments
from ..catalogue import FLAGS
from ..connection import Connection
from ..errors import SERVICE, word
from ..rendering import Document, print_document
from ..transfer.job import count

SETTINGS, CREDENTIALS = "settings", "credentials"
NAME, CONNECTION, TLS, ANSWER, CLOCK = _WAY = ("name", "connection", "TLS", "answer", "clock")
SIGNATURE, PERMISSION, BUCKET, INDEX, VECTORS = _SERVICE = (
    "signature",
    "permission",
    "bucket",
    "index",
    "vectors",
)
CHECKS = (SETTINGS, CREDENTIALS, *_WAY, *_SERVICE)


@click.command("doctor")
@click.option("--key", help="A key to fetch; by default the first that is listed.")
@click.option(
    "--output-format",
    type=click.Choice(["table", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="How to print what was found.",
)
def command(
    *, index: str | None, key: str | None, output_format: str, output_query: Any, **values: Any
) -> None:
    """Check settings, credentials, network, clock, permissions, bucket, index and one fetch.

    Says what to do about each failure, and ends with status 1 where there is one. Credentials are
    never shown.
    """
    findings = run_checks(Connection.pop_from(values), index, key)
    document = _table(findings) if output_format == "table" else _json(findings)
    print_document(document, output_format, output_query)
    if any(finding.status == "failed" for finding in findings):
        raise click.exceptions.Exit(SERVICE)


command.params.extend([arguments.INDEX, arguments.OUTPUT_QUERY, *arguments.CONNECTION])


def _json(findings: list[Finding]) -> Document:
    entries = [{n: value for n, value in each._asdict().items() if value} for each in findings]
    return Document({"checks": entries}, entries)


def _table(findings: list[Finding]) -> Document:
    rows = [
        {"check": each.check, "status": each.status, "detail": each.detail} for each in findings
    ]
    # below the table, as hints are too long for a cell
    hints = {each.check: each.hint for each in findings if each.hint}
    return _json(findings)._replace(entries=rows, notes=hints)


def run_checks(connection: Connection, index: str | None, key: str | None) -> list[Finding]:
    """Return a finding for each of `CHECKS`; after a failure those that need it are skipped."""
    findings = {each.check: each for each in _findings(connection, index, key)}
    wrong = [each.check for each in findings.values() if each.status == "failed"]
    reason = f"after {wrong[-1]}" if wrong else "not needed"
    return [findings.get(check) or skip(check, reason) for check in CHECKS]


def _findings(connection: Connection, index: str | None, key: str | None) -> Iterator[Finding]:
    try:
        client = client_of(*connection.settings(index=index))
    except errors.OSSVectorError as error:
        yield failure(SETTINGS, error, "pass the flags, or set the variables, that are named above")
        return
    with client:
        yield describe_settings(client.config, {**connection._asdict(), "index": index})
        credentials = check_credentials(client, connection)
        yield credentials
        way = list(_check_way(client, connection))
        yield from way
        if not _is_blocked([credentials, *way]):
            yield from ServiceChecks(client, key).findings()


def describe_settings(config: ClientConfig, flags: dict[str, str | None]) -> Finding:
    """Return the settings, and for each whether a flag or the environment gave it."""
    names = ("bucket", "account_id", "region", "endpoint", "index")
    settings = ", ".join(
        f"{name} {value} ({_origin(name, flags)})"
        for name in names
        if (value := getattr(config, name)) is not None
    )
    if config.index is None:
        return warning(SETTINGS, settings, "name an index: --index-name or OSS_VECTORS_INDEX")
    return ok(SETTINGS, settings)


def _origin(name: str, flags: dict[str, str | None]) -> str:
    if flags.get(name):
        return FLAGS[name]
    if flags.get("local"):
        return "--local"
    return VARIABLES[name] if os.environ.get(VARIABLES[name]) else "the region's own"


def check_credentials(client: OSSVectorClient, connection: Connection) -> Finding:
    """Return where the credentials come from; nothing of them is shown but their length."""
    if connection.local:
        return skip(CREDENTIALS, "an embedded service has its own")
    try:
        found = client.run(lambda context: context.credentials.resolve())
    except errors.OSSVectorError as error:
        hint = f"set {ACCESS_KEY_ID} and {ACCESS_KEY_SECRET}, or pass --credentials chain"
        return failure(CREDENTIALS, error, hint)
    if connection.credentials == "chain":
        return ok(CREDENTIALS, "resolved by the chain of alibabacloud-credentials")
    # a length betrays nothing, and shows a value that was cut or has a line break at its end
    token = found.security_token
    parts = [
        f"{ACCESS_KEY_ID} ({len(found.access_key_id)} characters)",
        f"{ACCESS_KEY_SECRET} ({len(found.access_key_secret)})",
        f"{SESSION_TOKEN} ({len(token)})" if token else f"no {SESSION_TOKEN}",
    ]
    return ok(CREDENTIALS, ", ".join(parts))


def _check_way(client: OSSVectorClient, connection: Connection) -> Iterator[Finding]:
    if connection.local:
        yield from (skip(check, "an embedded service") for check in _WAY)
        return
    way = list(check_way(client))
    yield from way
    if not _is_blocked(way):
        yield from check_answer(client)


def _is_blocked(findings: list[Finding]) -> bool:
    """Tell whether a check failed that others need; a wrong clock the client makes up for."""
    return any(each.status == "failed" and each.check != CLOCK for each in findings)


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


def failure(check: str, detail: str | errors.OSSVectorError, hint: str) -> Finding:
    """Return a finding that must be put right."""
    text = detail if isinstance(detail, str) else detail.render(word)
    return Finding(check, "failed", text, hint)


def skip(check: str, reason: str) -> Finding:
    """Return a check that was not made."""
    return Finding(check, "skipped", reason)


_PORTS = {"http": 80, "https": 443}
_NOTABLE = timedelta(minutes=1)


def check_way(client: OSSVectorClient) -> Iterator[Finding]:
    """Yield what is found on the way to the service, as far as it goes."""
    config = client.config
    settings = settings_for(config)
    origin, _ = config.endpoint.locate(config.bucket, config.account_id)
    if settings.proxy:
        origin = settings.proxy  # the first host to be reached
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
        # behind it is a tunnel, which only a whole request opens
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


_SOME_KEY = "doctor"  # an index without vectors can still be asked for one
_FULL = "enable"
_ANY = "try again; if it stays, the request id helps Alibaba Cloud's support to find out why"


class ServiceChecks:
    """Checks that ask the service, and read from each answer all that it says.

    The service looks at signature, permission, bucket and index in this order, so that one refusal
    also tells what is right.
    """

    def __init__(self, client: OSSVectorClient, key: str | None) -> None:
        self._client = client
        self._config = client.config
        self._key = key

    def findings(self) -> Iterator[Finding]:
        """Yield what the service says, as far as it goes."""
        action = "GetVectorIndex" if self._config.index else "ListVectorIndexes"
        try:
            found = self._describe()
        except errors.ServiceError as error:
            yield from self._read_refusal(error, action)
            return
        except errors.OSSVectorError as error:
            yield failure(SIGNATURE, error, _ANY)
            return
        yield ok(SIGNATURE, "accepted")
        yield ok(PERMISSION, f"{action} is allowed")
        yield ok(BUCKET, f"{self._config.bucket} is there")
        if found is None:
            yield skip(INDEX, "none is named")
            return
        yield _describe_index(found)
        yield from self._check_vectors()

    def _describe(self) -> VectorIndex | None:
        if self._config.index:
            return self._client.get_vector_index()
        # no index to describe: the cheapest question that is signed and needs the bucket
        self._client.list_vector_indexes(max_results=1)
        return None

    def _read_refusal(self, error: errors.ServiceError, action: str) -> Iterator[Finding]:
        if not isinstance(error, errors.NoSuchBucketError | errors.NoSuchVectorIndexError) and (
            error.code != "AccessDenied"
        ):
            yield failure(
                SIGNATURE, f"{error.code}: {error.message}", error.render_advice(word) or _ANY
            )
            return
        yield ok(SIGNATURE, "accepted")
        if isinstance(error, errors.AccessDeniedError):
            yield failure(
                PERMISSION, f"{action} is denied: {error.message}", self._permission_hint(action)
            )
            # who may not describe an index may well be allowed to read from it
            yield from self._check_vectors()
            return
        yield ok(PERMISSION, f"{action} is allowed")
        if isinstance(error, errors.NoSuchBucketError):
            yield self._missing_bucket()
            return
        yield ok(BUCKET, f"{self._config.bucket} is there")
        yield self._missing_index()

    def _missing_bucket(self) -> Finding:
        config = self._config
        return failure(
            BUCKET,
            f"account {config.account_id} has no bucket {config.bucket} in {config.region}",
            "check --bucket, --account-id and --region, or make it: oss-vectors put-vector-bucket",
        )

    def _missing_index(self) -> Finding:
        hint = "check --index-name, or make it: oss-vectors put-vector-index --dimension N"
        try:
            there = [found.index_name for found in self._client.list_vector_indexes(max_results=10)]
        except errors.OSSVectorError:
            return failure(INDEX, f"{self._config.index} is not there", hint)
        others = f"; there are {', '.join(there)}" if there else "; the bucket has none"
        return failure(INDEX, f"{self._config.index} is not there{others}", hint)

    def _permission_hint(self, action: str) -> str:
        """Return the advice to allow an action; GetVectors is about what is in the index."""
        config = self._config
        bucket = f"acs:ossvector:{config.region}:{config.account_id}:{config.bucket}"
        # its own page: the resource of GetVectors is the index's contents, not the index
        inside = "/*" if action == "GetVectors" else ""
        resource = f"{bucket}/{config.index}{inside}" if config.index else bucket
        return (
            f"allow oss:{action} on {resource} in the RAM policy, and in the bucket's if it has one"
        )

    def _check_vectors(self) -> Iterator[Finding]:
        if self._config.index is None:
            yield skip(VECTORS, "no index is named")
            return
        key = self._key or self._first_key()
        started = time.monotonic()
        try:
            result = self._client.fetch([key or _SOME_KEY])
        except errors.AccessDeniedError as error:
            yield failure(
                VECTORS,
                f"GetVectors is denied: {error.message}",
                self._permission_hint("GetVectors"),
            )
        except errors.OSSVectorError as error:
            yield failure(VECTORS, error, _ANY)
        else:
            took = f"{(time.monotonic() - started) * 1000:.1f} ms"
            yield ok(VECTORS, f"GetVectors of one key in {took}: {_describe_vector(key, result)}")

    def _first_key(self) -> str | None:
        try:
            return next((found.key for found in self._client.list_vectors(max_results=1)), None)
        except errors.OSSVectorError:
            return None


def _describe_vector(key: str | None, result: FetchResult) -> str:
    if key is None:
        return "no vector is known to be there"
    if not result:
        return f"{key!r} is not there"
    numbers, fields = len(result[0].data or ()), len(result[0].metadata or {})
    return f"{key!r} has {numbers} float32 and {count(fields, 'metadata field')}"


def _describe_index(index: VectorIndex) -> Finding:
    hidden = index.non_filterable_metadata_keys
    detail = (
        f"{index.index_name}: dimension {index.dimension}, {index.distance_metric}, "
        f"non-filterable {', '.join(hidden) or 'none'}, {index.status or 'no status'}"
    )
    if index.status not in ("", _FULL):
        return warning(INDEX, detail, "wait until its status is enable; writes may fail before")
    if filterable := [name for name in ENVELOPE_KEYS if name not in hidden]:
        return warning(
            INDEX,
            detail,
            f"{' and '.join(filterable)} can be filtered by, so records of this package over 2 KB "
            "are refused; that is fixed for the life of an index: make another, with "
            + " ".join(f"--non-filterable-key {name}" for name in ENVELOPE_KEYS),
        )
    return ok(INDEX, detail)
