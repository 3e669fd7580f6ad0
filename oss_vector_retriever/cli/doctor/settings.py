"""The settings and the credentials: whether they are there, and where from."""

from __future__ import annotations

import os

from oss_vector_retriever.cli.doctor.findings import Finding, failed, ok, skipped, warning
from oss_vector_retriever.cli.options import Connection
from oss_vector_retriever.client.clients import OSSVectorClient
from oss_vector_retriever.client.config import VARIABLES, ClientConfig
from oss_vector_retriever.client.credentials import ACCESS_KEY_ID, ACCESS_KEY_SECRET, SESSION_TOKEN
from oss_vector_retriever.client.errors import OSSVectorError

_NAMES = ("bucket", "account_id", "region", "endpoint", "index")


def describe(config: ClientConfig, given: dict[str, str | None]) -> Finding:
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


def credentials(client: OSSVectorClient, connection: Connection) -> Finding:
    """Return where the credentials come from; nothing of them is shown but their length."""
    if connection.local:
        return skipped("credentials", "an embedded service has its own")
    try:
        found = client.run_flow(lambda context: context.credentials.current())
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
