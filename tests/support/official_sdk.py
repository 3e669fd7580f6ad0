"""The official SDK's client for the embedded service: an oracle for tests, a rival for figures."""

from typing import Any

import alibabacloud_oss_v2 as oss
import alibabacloud_oss_v2.vectors as oss_vectors

from oss_vector_retriever.emulator import (
    DEVELOPMENT_ACCESS_KEY_ID,
    DEVELOPMENT_ACCESS_KEY_SECRET,
    DEVELOPMENT_ACCOUNT_ID,
    DEVELOPMENT_REGION,
)


def official_client(
    endpoint: str,
    key: str = DEVELOPMENT_ACCESS_KEY_ID,
    secret: str = DEVELOPMENT_ACCESS_KEY_SECRET,
    token: str | None = None,
    **more: Any,
) -> oss_vectors.Client:
    """Return a client that asks an endpoint; `more` are settings of the SDK."""
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(key, secret, token)
    config.region = DEVELOPMENT_REGION
    config.account_id = DEVELOPMENT_ACCOUNT_ID
    config.disable_ssl = True
    config.proxy_host = {"http": endpoint}  # as text, the SDK hands it on in a form that is ignored
    for name, value in more.items():
        setattr(config, name, value)
    return oss_vectors.Client(config)
