"""A store on an index of its own, its calls counted, asked in both manners."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

pytest.importorskip("llama_index.core")

from support.embedded import embedded

from oss_vector_retriever.client.context import PerIndex
from oss_vector_retriever.llama_index import OSSVectorStore, documents, recent_nodes
from oss_vector_retriever.records import cutting

INDEX = "nodes"


class Calls(Counter):
    """Count the service's calls by operation; `taken` gives the count since it was last asked."""

    def taken(self):
        counted = dict(self)
        self.clear()
        return counted


@pytest.fixture
def calls(service, monkeypatch):
    counted, handle = Calls(), service.handle

    def counting(request):
        counted[request.query] += 1
        return handle(request)

    monkeypatch.setattr(service, "handle", counting)
    return counted


class Asked:
    """Be a store whose methods are called as `add`, and run as `add` or as `async_add`."""

    def __init__(self, store, manner):
        self.store = store
        self._awaited = manner == "async"

    def __getattr__(self, name):
        if not self._awaited:
            return getattr(self.store, name)
        method = getattr(self.store, "async_add" if name == "add" else f"a{name}")
        return lambda *args, **options: asyncio.run(method(*args, **options))


@pytest.fixture(params=["sync", "async"])
def manner(request):
    return request.param


@pytest.fixture
def make(client, manner):
    """Give a function that makes a store of given settings, asked in one manner."""

    def made(given=client, **settings):
        return Asked(OSSVectorStore(given, **{"index": INDEX, **settings}), manner)

    return made


@pytest.fixture
def store(make):
    return make(filterable=["tag", "size"])


@pytest.fixture
def another_process(service, monkeypatch):
    """Give a function that returns a client of which this process knows nothing yet."""
    kept = []

    def begin(**options):
        monkeypatch.setattr(documents, "_memories", PerIndex())
        monkeypatch.setattr(cutting, "_known_sides", PerIndex())
        monkeypatch.setattr(recent_nodes, "_of_indexes", PerIndex())
        kept.append(embedded(service, **options))
        return kept[-1]

    return begin
