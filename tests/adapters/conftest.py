"""A service that keeps count, and clients of it: embedded, and over HTTP."""

from __future__ import annotations

import json

import pytest
from support.embedded import embedded, settings

from oss_vector_retriever import OSSVectorClient, emulator
from oss_vector_retriever.records import ENVELOPE_KEYS

DIMENSION = 4
LARGE_FIELDS = (*ENVELOPE_KEYS, "_node_content", "_page_content", "text")


class CountingService(emulator.Service):
    """Be the service, and remember its operations, and which keys each GetVectors asked for."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.gets: list[list[str]] = []
        self.operations: list[str] = []

    def handle(self, request):
        self.operations.append(request.query)
        if request.query == "getVectors":
            self.gets.append(json.loads(request.body)["keys"])
        return super().handle(request)


@pytest.fixture
def filter_after_ranking():
    """Say that filters choose among the nearest, as documented; `filters_first` changes it."""
    return True


@pytest.fixture
def behaviour(filter_after_ranking):
    """Say what the service does where its documentation is silent; tests override it."""
    return emulator.Behaviour(
        order="shuffled", seed=7, omit_empty_vectors=True, filter_after_ranking=filter_after_ranking
    )


@pytest.fixture
def service(behaviour):
    with CountingService.in_memory(behaviour=behaviour) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def operations(service):
    """Give the list of the operations that reach the service from now on."""
    service.operations.clear()
    return service.operations


@pytest.fixture
def client(service):
    """Give a client of the embedded service, with an empty index that has four dimensions."""
    with embedded(service) as client:
        client.put_vector_index(dimension=DIMENSION, non_filterable_metadata_keys=LARGE_FIELDS)
        yield client


@pytest.fixture
def endpoint(service, client):  # noqa: ARG001 - the client has made the index
    """Give the address of the same service behind real sockets."""
    with emulator.Server(service) as server:
        yield server.endpoint


@pytest.fixture
def http_client(endpoint):
    with OSSVectorClient(**settings(endpoint)) as client:
        yield client


@pytest.fixture
def http_settings(endpoint):
    """Give the arguments of a client over HTTP, for tests that make their own."""
    return settings(endpoint)


@pytest.fixture
def http_environment(http_settings, monkeypatch):
    """Let the environment configure a client over HTTP."""
    access_key_id, secret = http_settings["credentials"]
    for name, value in {
        "OSS_VECTORS_BUCKET": http_settings["bucket"],
        "OSS_VECTORS_INDEX": http_settings["index"],
        "OSS_ACCOUNT_ID": http_settings["account_id"],
        "OSS_REGION": http_settings["region"],
        "OSS_ENDPOINT": http_settings["endpoint"],
        "OSS_ACCESS_KEY_ID": access_key_id,
        "OSS_ACCESS_KEY_SECRET": secret,
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def put(client):
    """Give a function that stores records: keys, or a dict of key to metadata as it is stored."""

    def store(records, *, index=None, data=None):
        if not isinstance(records, dict):
            records = {key: {"text": f"text of {key}", "of": key} for key in records}
        vectors = [
            {"key": key, "data": data or [1.0, float(n), 0.25, -2.0], "metadata": metadata}
            for n, (key, metadata) in enumerate(records.items())
        ]
        for start in range(0, len(vectors), 500):
            client.put_vectors(vectors[start : start + 500], index=index)

    return store


@pytest.fixture(params=["embedded", "http"])
def either(request):
    """Give the retriever over three records, embedded and over real sockets in turn."""
    return request.getfixturevalue("retriever" if request.param == "embedded" else "http_retriever")
