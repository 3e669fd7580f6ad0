"""A bucket without an index, every call to it written down, and stores over it."""

from __future__ import annotations

import asyncio
import json

import pytest
from support.embedded import embedded

pytest.importorskip("langchain_core")

from langchain_core.embeddings import Embeddings

from oss_vector_retriever import emulator
from oss_vector_retriever.langchain import OSSVectorStore


class WrittenDown(emulator.Service):
    """Be the service, and remember each call: its operation and its body."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.seen: list[tuple[str, dict]] = []

    def handle(self, request):
        self.seen.append((request.query, json.loads(request.body or b"{}")))
        return super().handle(request)

    def names(self):
        return [name for name, _ in self.seen]

    def bodies(self, name):
        return [body for seen, body in self.seen if seen == name]


class Letters(Embeddings):
    """Embed a text as how often it holds a, b, c and d, and a constant; count the texts."""

    def __init__(self):
        self.calls: list[list[str]] = []

    def embed_documents(self, texts):
        self.calls.append(list(texts))
        return [self.of(text) for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]

    @staticmethod
    def of(text):
        return [float(text.count(letter)) for letter in "abcd"] + [0.25]


@pytest.fixture
def behaviour(filter_after_ranking):
    # the strictest reading of what the documentation leaves open
    return emulator.Behaviour(
        order="shuffled",
        seed=7,
        omit_empty_vectors=True,
        scalars="refused",
        filter_shorthand=False,
        filter_after_ranking=filter_after_ranking,
    )


@pytest.fixture
def service(behaviour):
    with WrittenDown.in_memory(behaviour=behaviour) as service:
        service.create_bucket(emulator.DEVELOPMENT_ACCOUNT_ID, emulator.DEVELOPMENT_BUCKET)
        yield service


@pytest.fixture
def client(service):
    with embedded(service) as client:
        yield client


@pytest.fixture
def model():
    return Letters()


@pytest.fixture
def store(client, model):
    return OSSVectorStore(model, client=client, filterable=["color", "year"])


@pytest.fixture
def one_index(client, model):
    """Return a store of which no value is cut: it has no side index."""
    return OSSVectorStore(model, client=client, filterable=["color", "year"], side_index=False)


@pytest.fixture(params=["sync", "async"])
def call(request):
    """Give a function that calls a method, or its async twin on a loop of its own."""

    def blocking(thing, name, *args, **options):
        return getattr(thing, name)(*args, **options)

    def awaited(thing, name, *args, **options):
        async def wait():
            return await getattr(thing, f"a{name}")(*args, **options)

        return asyncio.run(wait())

    return blocking if request.param == "sync" else awaited
