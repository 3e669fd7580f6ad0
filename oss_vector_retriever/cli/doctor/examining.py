"""All checks in order; after a failure those that need what failed are skipped."""

from __future__ import annotations

from collections.abc import Iterator

from oss_vector_retriever.cli.doctor import network, service, settings
from oss_vector_retriever.cli.doctor.findings import Finding, failed, skipped
from oss_vector_retriever.cli.options import Connection
from oss_vector_retriever.client.clients import OSSVectorClient
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
        client = OSSVectorClient.from_config(*connection.settings(index=index))
    except OSSVectorError as error:
        yield failed(SETTINGS, error, "pass the flags, or set the variables, that are named above")
        return
    with client:
        yield settings.describe(client.config, {**connection._asdict(), "index": index})
        credentials = settings.credentials(client, connection)
        yield credentials
        way = list(_way(client, connection))
        yield from way
        if not _blocked([credentials, *way]):
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
