"""Clients of a service that the test has in hand: embedded, or behind an endpoint."""

import pytest

from oss_vector_retriever import emulator
from oss_vector_retriever.client.clients import client_of
from oss_vector_retriever.client.config import resolve_config
from oss_vector_retriever.client.local import LocalService
from oss_vector_retriever.client.recent import forget_writes

# For a test of what filters mean, or of one that is to reach beyond the nearest: the service then
# filters before it ranks, which it is documented not to do.
filters_first = pytest.mark.parametrize("filter_after_ranking", [False], ids=["filters-first"])


def settings(endpoint):
    """Return a client's arguments for the index `vectors` of the development bucket."""
    return {
        "bucket": emulator.DEVELOPMENT_BUCKET,
        "account_id": emulator.DEVELOPMENT_ACCOUNT_ID,
        "region": emulator.DEVELOPMENT_REGION,
        "index": "vectors",
        "endpoint": endpoint,
        "credentials": (emulator.DEVELOPMENT_ACCESS_KEY_ID, emulator.DEVELOPMENT_ACCESS_KEY_SECRET),
    }


def embedded(service, **options):
    """Return a client of a service in this process."""
    config = resolve_config(**settings("http://localhost"), **options)
    return client_of(config, LocalService(service))


def let_writes_grow_old(client, index=None):
    """Have the service alone answer what comes next, as some seconds after the last write."""
    forget_writes(client._context, index)
