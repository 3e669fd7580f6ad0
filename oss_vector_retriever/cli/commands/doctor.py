"""`oss-vectors doctor`: every check between here and the vectors, in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import click

from oss_vector_retriever.cli.arguments import CONNECTION, INDEX, OUTPUT_QUERY
from oss_vector_retriever.cli.catalogue import FLAGS
from oss_vector_retriever.cli.connection import Connection
from oss_vector_retriever.cli.doctor import network, service
from oss_vector_retriever.cli.doctor.findings import Finding, failure, ok, skip, warning
from oss_vector_retriever.cli.errors import SERVICE
from oss_vector_retriever.cli.rendering import Document, print_document
from oss_vector_retriever.client.clients import OSSVectorClient, client_of
from oss_vector_retriever.client.config import VARIABLES, ClientConfig
from oss_vector_retriever.client.credentials import ACCESS_KEY_ID, ACCESS_KEY_SECRET, SESSION_TOKEN
from oss_vector_retriever.client.errors import OSSVectorError

SETTINGS, CREDENTIALS = "settings", "credentials"
_WAY = (network.NAME, network.CONNECTION, network.TLS, network.ANSWER, network.CLOCK)
CHECKS = (
    SETTINGS,
    CREDENTIALS,
    *_WAY,
    service.SIGNATURE,
    service.PERMISSION,
    service.BUCKET,
    service.INDEX,
    service.VECTORS,
)


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


command.params.extend([INDEX, OUTPUT_QUERY, *CONNECTION])


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
    except OSSVectorError as error:
        yield failure(SETTINGS, error, "pass the flags, or set the variables, that are named above")
        return
    with client:
        yield describe_settings(client.config, {**connection._asdict(), "index": index})
        credentials = check_credentials(client, connection)
        yield credentials
        way = list(_check_way(client, connection))
        yield from way
        if not _is_blocked([credentials, *way]):
            yield from service.ServiceChecks(client, key).findings()


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
    except OSSVectorError as error:
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
    way = list(network.check_way(client))
    yield from way
    if not _is_blocked(way):
        yield from network.check_answer(client)


def _is_blocked(findings: list[Finding]) -> bool:
    """Tell whether a check failed that others need; a wrong clock the client makes up for."""
    return any(each.status == "failed" and each.check != network.CLOCK for each in findings)
