"""All checks in order; after a failure those that need what failed are skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator

from oss_vector_retriever.cli.doctor import network, service
from oss_vector_retriever.cli.doctor.findings import Finding, failed, ok, skipped, warning
from oss_vector_retriever.cli.options import Connection
from oss_vector_retriever.client.clients import OSSVectorClient, client_of
from oss_vector_retriever.client.config import VARIABLES, ClientConfig
from oss_vector_retriever.client.credentials import ACCESS_KEY_ID, ACCESS_KEY_SECRET, SESSION_TOKEN
from oss_vector_retriever.client.errors import OSSVectorError

SETTINGS, CREDENTIALS = "settings", "credentials"
CHECKS = (
    SETTINGS,
    CREDENTIALS,
    network.NAME,
    network.CONNECTION,
    network.TLS,
    network.ANSWER,
    network.CLOCK,
    service.SIGNATURE,
    service.PERMISSION,
    service.BUCKET,
    service.INDEX,
    service.VECTORS,
)
_ON_THE_WAY = CHECKS[2:7]


def examine(connection: Connection, index: str | None, key: str | None) -> list[Finding]:
    """Return a finding for each of `CHECKS`."""
    findings = {found.check: found for found in _made(connection, index, key)}
    wrong = [found.check for found in findings.values() if found.status == "failed"]
    why = f"after {wrong[-1]}" if wrong else "not needed"
    return [findings.get(check) or skipped(check, why) for check in CHECKS]


def _made(connection: Connection, index: str | None, key: str | None) -> Iterator[Finding]:
    try:
        client = client_of(*connection.settings(index=index))
    except OSSVectorError as error:
        yield failed(SETTINGS, error, "pass the flags, or set the variables, that are named above")
        return
    with client:
        yield describe_settings(client.config, {**connection._asdict(), "index": index})
        signs_in = check_credentials(client, connection)
        yield signs_in
        way = list(_way(client, connection))
        yield from way
        if not _blocked([signs_in, *way]):
            yield from service.Examination(client, key).findings()


def _way(client: OSSVectorClient, connection: Connection) -> Iterator[Finding]:
    if connection.local:
        yield from (skipped(check, "an embedded service") for check in _ON_THE_WAY)
        return
    way = list(network.reach(client))
    yield from way
    if not _blocked(way):
        yield from network.answer(client)


def _blocked(findings: list[Finding]) -> bool:
    """Tell whether a check failed that others need; a wrong clock the client makes up for."""
    return any(found.status == "failed" and found.check != network.CLOCK for found in findings)


_NAMES = ("bucket", "account_id", "region", "endpoint", "index")


def describe_settings(config: ClientConfig, given: dict[str, str | None]) -> Finding:
    """Return the settings, and for each whether an argument or the environment gave it."""
    told = ", ".join(
        f"{name} {value} ({_origin(name, given)})"
        for name in _NAMES
        if (value := getattr(config, name)) is not None
    )
    if config.index is None:
        return warning("settings", told, "name an index: --index-name or OSS_VECTORS_INDEX")
    return ok("settings", told)


def _origin(name: str, given: dict[str, str | None]) -> str:
    if given.get(name):
        return "--index-name" if name == "index" else f"--{name.replace('_', '-')}"
    if given.get("local"):
        return "--local"
    return VARIABLES[name] if os.environ.get(VARIABLES[name]) else "the region's own"


def check_credentials(client: OSSVectorClient, connection: Connection) -> Finding:
    """Return where the credentials come from; nothing of them is shown but their length."""
    if connection.local:
        return skipped("credentials", "an embedded service has its own")
    try:
        found = client.run(lambda context: context.credentials.current())
    except OSSVectorError as error:
        todo = f"set {ACCESS_KEY_ID} and {ACCESS_KEY_SECRET}, or pass --credentials chain"
        return failed("credentials", error, todo)
    if connection.credentials == "chain":
        return ok("credentials", "resolved by the chain of alibabacloud-credentials")
    token = found.security_token
    parts = [
        f"{ACCESS_KEY_ID} ({len(found.access_key_id)} characters)",
        f"{ACCESS_KEY_SECRET} ({len(found.access_key_secret)})",
        f"{SESSION_TOKEN} ({len(token)})" if token else f"no {SESSION_TOKEN}",
    ]
    return ok("credentials", ", ".join(parts))
