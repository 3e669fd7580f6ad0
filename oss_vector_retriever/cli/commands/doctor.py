"""`oss-vectors doctor`: every check between here and the vectors, in order."""

import socket
import ssl
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import click

from ...client import errors
from ...client.clients import OSSVectorClient, client_of
from ...client.config import VARIABLES, ClientConfig, find_settings
from ...client.credentials import ACCESS_KEY_ID, ACCESS_KEY_SECRET, SESSION_TOKEN
from ...client.hidden import reveal
from ...client.models import limits, messages, results
from ...client.retry import http_date
from ...client.steps import NO_TLS, Fault, send
from ...client.transport.engine import Settings, settings_for
from ...records.decode import ENVELOPE_KEYS
from ...records.settings import StoreSettings
from ...records.store import RecordStore
from ...version import USER_AGENT
from .. import arguments
from ..catalogue import FLAGS
from ..connection import Connection, open_client
from ..errors import SERVICE, hide_secrets, word
from ..recording.probe import Probe
from ..recording.run import ask_for_consent, describe_plan, record_account
from ..recording.stored import ask_order, count_old, sample_of
from ..rendering import Document, echo, print_document
from ..transfer.job import count

SETTINGS, CREDENTIALS = "settings", "credentials"
NAME, CONNECTION, TLS, ANSWER, CLOCK = _WAY = ("name", "connection", "TLS", "answer", "clock")
_SERVICE = ("signature", "permission", "bucket", "index", "vectors", "records", "search", "parts")
SIGNATURE, PERMISSION, BUCKET, INDEX, VECTORS, RECORDS, SEARCH, PARTS = _SERVICE
CHECKS = (SETTINGS, CREDENTIALS, *_WAY, *_SERVICE)


Status = Literal["ok", "warning", "failed", "busy", "skipped"]
_WRONG: Final = ("failed", "busy")  # what ends the command with a status other than 0


class Finding(NamedTuple):
    """The outcome of one check."""

    check: str
    status: Status
    detail: str
    hint: str = ""


@click.command("doctor", cls=arguments.Command)
@click.option("--key", help="A key to fetch; by default the first that is listed.")
@click.option("--side-index", metavar="NAME", help="The side index; by default <index>side.")
@click.option(
    "--sweep",
    is_flag=True,
    help="Remove the parts of large values that no record names, if they are an hour old.",
)
@click.option(
    "--output-format",
    type=click.Choice(["table", "json", "jsonl"]),
    default="table",
    show_default=True,
    help="How to print what was found.",
)
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Ask in a bucket of its own what the documentation leaves open, and write it to FILE.",
)
@click.option("--yes", is_flag=True, help="With --record: go on without asking.")
@click.option("--limits", is_flag=True, help="With --record: ask about load and sizes, too.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 3600),
    default=60,
    show_default=True,
    help="With --record: seconds to wait for whatever lags.",
)
def command(
    *,
    index: str | None,
    key: str | None,
    side_index: str | None,
    sweep: bool,
    output_format: str,
    output_query: Any,
    record: Path | None,
    yes: bool,
    limits: bool,
    patience: float,
    **values: Any,
) -> None:
    """Check settings, credentials, network, clock, permissions, bucket, index and one fetch.

    Says what to do about each failure, and ends with status 1 where there is one. Credentials are
    never shown.

    With --record it checks nothing, and asks the service what nobody documents: it says first what
    it makes, costs and leaves.
    """
    connection = Connection.pop_from(values)
    if record is not None:
        with open_client(connection, bucket_required=False) as client:
            probe = Probe(client, patience)
            echo(describe_plan(probe, client, record, limits=limits), err=True)
            if not yes:
                ask_for_consent()
            document, status = record_account(client, probe, record, limits=limits)
        print_document(document, output_format, output_query)
        raise click.exceptions.Exit(status)
    findings = run_checks(connection, index, Stored(key, side_index, sweeps=sweep))
    print_document(_document(findings, output_format), output_format, output_query)
    if any(finding.status in _WRONG for finding in findings):
        raise click.exceptions.Exit(SERVICE)


command.params.extend([arguments.INDEX, arguments.OUTPUT_QUERY, *arguments.CONNECTION])


def _document(findings: list[Finding], style: str) -> Document:
    entries = [{n: value for n, value in each._asdict().items() if value} for each in findings]
    document = Document({"checks": entries}, entries)
    if style != "table":
        return document
    rows = [{n: getattr(each, n) for n in ("check", "status", "detail")} for each in findings]
    # below the table, as hints are too long for a cell
    hints = {each.check: each.hint for each in findings if each.hint}
    return document._replace(entries=rows, notes=hints)


class Stored(NamedTuple):
    """What is asked of the contents of an index: a key, and what its side index holds.

    Attributes:
        key: to fetch; None for any.
        side_index: its name, where that is not the usual one.
        sweeps: remove parts that no record names.
    """

    key: str | None = None
    side_index: str | None = None
    sweeps: bool = False


def run_checks(connection: Connection, index: str | None, asked: Stored) -> list[Finding]:
    """Return a finding for each of `CHECKS`; after a failure those that need it are skipped."""
    findings = {
        each.check: each._replace(detail=hide_secrets(each.detail), hint=hide_secrets(each.hint))
        for each in _findings(connection, index, asked)
    }
    wrong = [each.check for each in findings.values() if each.status in _WRONG]
    reason = f"after {wrong[-1]}" if wrong else "not needed"
    return [findings.get(check) or Finding(check, "skipped", reason) for check in CHECKS]


def _findings(connection: Connection, index: str | None, asked: Stored) -> Iterator[Finding]:
    try:
        client = client_of(*connection.settings(index=index))
    except errors.OSSVectorError as error:
        yield failure(SETTINGS, error, "pass the flags, or set the variables, that are named above")
        return
    with client:
        yield describe_settings(client.config, {**connection._asdict(), "index": index})
        found = [check_credentials(client, connection)]
        if connection.local:
            found += [Finding(check, "skipped", "an embedded service") for check in _WAY]
        else:
            found += check_way(client)
        yield from found
        # a wrong clock the client makes up for
        if not any(each.status == "failed" and each.check != CLOCK for each in found):
            yield from check_service(client, asked)


def failure(check: str, detail: str | errors.OSSVectorError, hint: str) -> Finding:
    """Return a finding that must be put right, or that a busy service leaves open."""
    if isinstance(detail, errors.QpsLimitExceededError):
        # the client has asked again until its time was over, and nothing is known of the check
        tries = count(detail.attempts, "time")
        asked = f"{detail.code}, asked {tries} in {detail.elapsed:.1f} s"
        hint = "ask again later, or with a longer --timeout; others may be using up the rate"
        return Finding(check, "busy", f"the service limits the rate of requests ({asked})", hint)
    text = detail if isinstance(detail, str) else detail.render(word)
    return Finding(check, "failed", text, hint)


def describe_settings(config: ClientConfig, flags: dict[str, Any]) -> Finding:
    """Return the settings, and for each the flag or the variable that gave it."""
    sources = _sources(flags)
    settings = ", ".join(
        f"{name} {value} ({sources[name]})"
        for name in VARIABLES
        if (value := getattr(config, name)) is not None
    )
    if config.index is None:
        hint = "name an index: --index-name or OSS_VECTORS_INDEX"
        return Finding(SETTINGS, "warning", settings, hint)
    return Finding(SETTINGS, "ok", settings)


def _sources(flags: dict[str, Any]) -> dict[str, str]:
    if flags["local"]:
        given = {name: FLAGS[name] for name in ("bucket", "index") if flags[name]}
        return {**dict.fromkeys(VARIABLES, "--local"), **given}
    found = find_settings(flags, allow_http=flags["allow_http"])
    sources = {name: each.source for name, each in found.items()}
    words = {n: s if isinstance(s, str) else word(s) for n, s in sources.items()}
    return {"endpoint": "the region's own", **words}


def check_credentials(client: OSSVectorClient, connection: Connection) -> Finding:
    """Return where the credentials come from; nothing of them is shown but their length."""
    if connection.local:
        return Finding(CREDENTIALS, "skipped", "an embedded service has its own")
    try:
        found = client.run(lambda context: context.credentials.resolve())
    except errors.OSSVectorError as error:
        hint = f"set {ACCESS_KEY_ID} and {ACCESS_KEY_SECRET}, or pass --credentials chain"
        return failure(CREDENTIALS, error, hint)
    if connection.credentials == "chain":
        return Finding(CREDENTIALS, "ok", "resolved by the chain of alibabacloud-credentials")
    # a length betrays nothing, and shows a value that was cut or has a line break at its end
    token = found.security_token
    parts = [
        f"{ACCESS_KEY_ID} ({len(found.access_key_id)} characters)",
        f"{ACCESS_KEY_SECRET} ({len(found.access_key_secret)})",
        f"{SESSION_TOKEN} ({len(token)})" if token else f"no {SESSION_TOKEN}",
    ]
    return Finding(CREDENTIALS, "ok", ", ".join(parts))


_PORTS = {"http": 80, "https": 443}


def check_way(client: OSSVectorClient) -> Iterator[Finding]:
    """Yield what is found on the way to the service, as far as it goes."""
    config = client.config
    settings = settings_for(config)
    origin, _ = config.endpoint.locate(config.bucket, config.account_id)
    where = urlsplit(reveal(settings.proxy) or origin)  # a proxy is the first host to be reached
    host, port = where.hostname or "", where.port or _PORTS[where.scheme]
    try:
        # the first address alone, as the client's own connection tries it first, too
        address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        hint = "check --region or --endpoint, and this machine's DNS and network"
        yield failure(NAME, f"{host} cannot be looked up: {error.strerror}", hint)
        return
    yield Finding(NAME, "ok", f"{host} is {address}" + (", a proxy" if settings.proxy else ""))
    started = time.monotonic()
    try:
        link = socket.create_connection((address, port), settings.connect_timeout)
    except OSError as error:
        detail = f"nobody answers on {address} port {port}: {error.strerror or error}"
        hint = "check that the service runs there, and firewall, proxy and --endpoint"
        yield failure(CONNECTION, detail, hint)
        return
    with link:
        took = (time.monotonic() - started) * 1000
        yield Finding(CONNECTION, "ok", f"{address} port {port}, in {took:.1f} ms")
        tls = _check_tls(link, host, settings, str(config.endpoint.over_http))
    yield tls
    if tls.status != "failed":
        yield from check_answer(client)


def _check_tls(link: socket.socket, host: str, settings: Settings, plain_endpoint: str) -> Finding:
    if settings.proxy:
        # behind it is a tunnel, which only a whole request opens
        return Finding(TLS, "skipped", "behind the proxy")
    if settings.tls is None:
        return Finding(TLS, "skipped", "plain http")
    try:
        with settings.tls.wrap_socket(link, server_hostname=host) as secured:
            return Finding(TLS, "ok", f"{secured.version()}, the certificate is for {host}")
    except (ssl.SSLError, OSError) as error:
        if getattr(error, "reason", None) == NO_TLS:
            return failure(TLS, "not agreed on: it answers plain http", f"use {plain_endpoint}")
        reason = getattr(error, "verify_message", "") or error.strerror or type(error).__name__
        hint = "check --endpoint, this machine's certificates, and who reads along in between"
        return failure(TLS, f"not agreed on: {reason}", hint)


def check_answer(client: OSSVectorClient) -> Iterator[Finding]:
    """Yield whether there is an answer, and how far its clock is from ours."""
    config = client.config
    origin, path = config.endpoint.locate(config.bucket, config.account_id)
    headers = {"host": urlsplit(origin).netloc, "accept": "*/*", "user-agent": USER_AGENT}
    # unsigned: any answer will do, and a wrong key or clock is for later checks to find
    request = messages.Request("GET", origin, path, headers=headers)
    outcome = client.run(lambda _: send(request, config.timeout, config.max_reply_bytes))
    if isinstance(outcome, Fault):
        if outcome.proxy:
            detail = f"the proxy {outcome.proxy} leads nowhere ({outcome.reason or outcome.name})"
            yield failure(ANSWER, detail, "check HTTPS_PROXY, or NO_PROXY that leads around it")
            return
        detail = f"{origin} does not answer in HTTP ({outcome.reason or outcome.name})"
        yield failure(ANSWER, detail, "check --endpoint: another service may listen there")
        return
    yield Finding(ANSWER, "ok", f"HTTP {outcome.status} to an unsigned request")
    yield _check_clock(outcome, datetime.now(UTC))


def _check_clock(reply: messages.Reply, ours: datetime) -> Finding:
    theirs = http_date(reply.headers.get("date", ""))
    if theirs is None:
        hint = "check --endpoint: OSS sends one with every reply"
        return Finding(CLOCK, "warning", "the reply has no Date", hint)
    # a Date has no fractions of a second: half of one is missing on average
    offset = timedelta(seconds=round((ours - theirs).total_seconds() - 0.5))
    side = "ahead of" if offset > timedelta(0) else "behind"
    # two seconds are within what rounding and the way of the reply explain
    wrong = abs(offset) > timedelta(seconds=2)
    detail = f"{abs(offset)} {side} the service's" if wrong else "right"
    if abs(offset) > timedelta(seconds=limits.DEFAULT_LIMITS.clock_skew_seconds):
        hint = "set this machine's clock: beyond 15 minutes the service refuses every request"
        return failure(CLOCK, detail, hint)
    if abs(offset) > timedelta(minutes=1):
        hint = "set this machine's clock before it is 15 minutes off"
        return Finding(CLOCK, "warning", detail, hint)
    return Finding(CLOCK, "ok", detail)


_LISTED: Final = 20  # pages of a side index, of a thousand keys each
_SOME_KEY = "doctor"  # an index without vectors can still be asked for one
_ANY = "try again; if it stays, the request id helps Alibaba Cloud's support to find out why"


def check_service(client: OSSVectorClient, asked: Stored) -> Iterator[Finding]:
    """Yield what the service says, as far as it goes.

    The service looks at signature, permission, bucket and index in this order, so that one refusal
    also tells what is right.
    """
    config, answer = client.config, _ask_for_index(client)
    action = "GetVectorIndex" if config.index else "ListVectorIndexes"
    if isinstance(answer, errors.OSSVectorError) and not _is_about_resource(answer):
        yield _judge_refusal(answer)
        return
    yield Finding(SIGNATURE, "ok", "accepted")
    if isinstance(answer, errors.AccessDeniedError):
        yield _denial(PERMISSION, action, config, answer)
        # who may not describe an index may well be allowed to read from it
        yield from _check_vectors(client, asked)
        return
    yield Finding(PERMISSION, "ok", f"{action} is allowed")
    if isinstance(answer, errors.NoSuchBucketError):
        detail = f"account {config.account_id} has no bucket {config.bucket} in {config.region}"
        make = "oss-vectors put-vector-bucket"
        yield failure(
            BUCKET, detail, f"check --bucket, --account-id and --region, or make it: {make}"
        )
        return
    yield Finding(BUCKET, "ok", f"{config.bucket} is there")
    if isinstance(answer, errors.NoSuchVectorIndexError):
        yield _missing_index(client)
    elif isinstance(answer, results.VectorIndex):
        yield _judge_index(answer)
        yield from _check_vectors(client, asked, answer.non_filterable_metadata_keys)
    else:
        yield Finding(INDEX, "skipped", "none is named")


def _ask_for_index(client: OSSVectorClient) -> results.VectorIndex | errors.OSSVectorError | None:
    """Return the index's description, or the error in its place; None where none is named."""
    try:
        if client.config.index:
            return client.get_vector_index()
        # no index to describe: the cheapest question that is signed and needs the bucket
        client.list_vector_indexes(max_results=1)
    except errors.OSSVectorError as error:
        return error
    return None


def _is_about_resource(error: errors.OSSVectorError) -> bool:
    """Tell a refusal that comes after the signature was found right."""
    if isinstance(error, errors.NoSuchBucketError | errors.NoSuchVectorIndexError):
        return True
    return isinstance(error, errors.ServiceError) and error.code == "AccessDenied"


def _judge_refusal(error: errors.OSSVectorError) -> Finding:
    if not isinstance(error, errors.ServiceError) or isinstance(
        error, errors.QpsLimitExceededError
    ):
        return failure(SIGNATURE, error, _ANY)
    hint = error.render_advice(word) or _ANY
    return failure(SIGNATURE, f"{error.code}: {error.message}", hint)


def _denial(
    check: str, action: str, config: ClientConfig, error: errors.AccessDeniedError
) -> Finding:
    bucket = f"acs:ossvector:{config.region}:{config.account_id}:{config.bucket}"
    # its own page: the resource of GetVectors is the index's contents, not the index
    inside = "/*" if action == "GetVectors" else ""
    resource = f"{bucket}/{config.index}{inside}" if config.index else bucket
    hint = f"allow oss:{action} on {resource} in the RAM policy, and in the bucket's if it has one"
    return failure(check, f"{action} is denied: {error.message}", hint)


def _missing_index(client: OSSVectorClient) -> Finding:
    make = "oss-vectors put-vector-index --dimension N --distance-metric cosine|euclidean"
    hint = f"check --index-name, or make it: {make}"
    detail = f"{client.config.index} is not there"
    try:
        there = [found.index_name for found in client.list_vector_indexes(max_results=10)]
    except errors.OSSVectorError:
        return failure(INDEX, detail, hint)
    others = f"; there are {', '.join(there)}" if there else "; the bucket has none"
    return failure(INDEX, f"{detail}{others}", hint)


def _check_vectors(
    client: OSSVectorClient, asked: Stored, hidden: Collection[str] = ()
) -> Iterator[Finding]:
    key = asked.key
    if client.config.index is None:
        yield Finding(VECTORS, "skipped", "no index is named")
        return
    if not key:
        with suppress(errors.OSSVectorError):  # a policy may allow to fetch and not to list
            key = next((found.key for found in client.list_vectors(max_results=1)), None)
    started = time.monotonic()
    try:
        result = client.fetch([key or _SOME_KEY])
    except errors.AccessDeniedError as error:
        yield _denial(VECTORS, "GetVectors", client.config, error)
    except errors.OSSVectorError as error:
        yield failure(VECTORS, error, _ANY)
    else:
        took = f"{(time.monotonic() - started) * 1000:.1f} ms"
        detail = f"GetVectors of one key in {took}: {_describe_vector(key, result)}"
        yield Finding(VECTORS, "ok", detail)
        yield from _check_stored(client, hidden)
        yield _check_parts(client, asked)


def _check_stored(client: OSSVectorClient, hidden: Collection[str]) -> Iterator[Finding]:
    check, action = RECORDS, "ListVectors"
    try:
        sample, is_all = sample_of(client)
        old = count_old(sample, is_all=is_all)
        yield Finding(RECORDS, "warning" if old.hint else "ok", *old)
        check, action = SEARCH, "QueryVectors"
        yield Finding(SEARCH, "ok", *ask_order(client, sample, hidden))
    except errors.AccessDeniedError:
        # who may only fetch can do that
        yield Finding(check, "skipped", f"{action} is denied")
    except errors.OSSVectorError as error:
        yield failure(check, error, _ANY)


def _check_parts(client: OSSVectorClient, asked: Stored) -> Finding:
    try:
        store = RecordStore(StoreSettings(side_index=asked.side_index))
        pages = None if asked.sweeps else _LISTED
        found = client.run(store.sweep, removes=asked.sweeps, pages=pages)
    except errors.AccessDeniedError:
        return Finding(PARTS, "skipped", "ListVectors or GetVectors of the side index is denied")
    except errors.OSSVectorError as error:
        return failure(PARTS, error, _ANY)
    detail = f"{count(found, 'part')} of large values, an hour old or more, that no record names"
    if asked.sweeps:
        return Finding(PARTS, "ok", f"removed {detail}")
    hint = "writers left them that were killed, or overtaken: --sweep removes them" if found else ""
    return Finding(PARTS, "warning" if found else "ok", detail, hint)


def _describe_vector(key: str | None, result: results.FetchResult) -> str:
    if not key:
        return "no vector is known to be there"
    if not result:
        return f"{key!r} is not there"
    numbers, fields = len(result[0].data or ()), len(result[0].metadata or {})
    return f"{key!r} has {numbers} float32 and {count(fields, 'metadata field')}"


def _judge_index(index: results.VectorIndex) -> Finding:
    hidden = index.non_filterable_metadata_keys
    detail = (
        f"{index.index_name}: dimension {index.dimension}, {index.distance_metric}, "
        f"non-filterable {', '.join(hidden) or 'none'}, {index.status or 'no status'}"
    )
    if index.status not in ("", "enable"):
        hint = "wait until its status is enable; writes may fail before"
        return Finding(INDEX, "warning", detail, hint)
    if filterable := [name for name in ENVELOPE_KEYS if name not in hidden]:
        hint = (
            f"{' and '.join(filterable)} can be filtered by, so records of this package over 2 KB "
            "are refused; that is fixed for the life of an index: make another, by "
            "`oss-vectors put-vector-index --for-documents`"
        )
        return Finding(INDEX, "warning", detail, hint)
    return Finding(INDEX, "ok", detail)
