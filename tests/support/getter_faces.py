"""One face for every class of either framework that gets records by a list of keys."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Seen:
    """What a case looks at, whatever the framework calls it."""

    key: str
    text: str
    metadata: dict[str, Any]
    thing: Any


class Getter:
    """Get records by a list of keys, blocking or awaited; `options` are the class's own."""

    framework: str
    of: str

    def __init__(self, client, *, awaited=False, **options):
        package = pytest.importorskip(f"oss_vector_retriever.{self.framework}")
        self.thing = self.made(getattr(package, self.of), client, options)
        self._awaited = awaited

    def made(self, kind, client, options):
        return kind(client=client, **options)

    def get(self, keys):
        raise NotImplementedError

    def call(self, name, *arguments):
        """Call a method, or await its async twin."""
        if not self._awaited:
            return getattr(self.thing, name)(*arguments)

        async def run():
            answer = getattr(self.thing, f"a{name}")(*arguments)
            return await answer if inspect.isawaitable(answer) else answer

        return asyncio.run(run())


def documents(found):
    return [Seen(one.id, one.page_content, one.metadata, one) for one in found]


def nodes(found):
    schema = pytest.importorskip("llama_index.core.schema")
    none = schema.MetadataMode.NONE
    return [Seen(one.node_id, one.get_content(none), one.metadata, one) for one in found]


class LangChainFetcher(Getter):
    framework, of = "langchain", "OSSVectorFetcher"

    def get(self, keys):
        return documents(self.call("invoke", keys))


class LangChainRehydrator(Getter):
    framework, of = "langchain", "OSSVectorRehydrator"

    def made(self, kind, client, options):
        return kind(client=client, **{"on_missing": "omit", **options})

    def get(self, keys):
        return documents(self.call("invoke", keys))


class LangChainStore(Getter):
    framework, of = "langchain", "OSSVectorStore"

    def made(self, kind, client, options):
        return kind(client=client, index=client.config.index, distance_metric=None, **options)

    def get(self, keys):
        return documents(self.call("get_by_ids", keys))


class LangChainDocumentIndex(LangChainStore):
    def made(self, kind, client, options):
        langchain = pytest.importorskip("oss_vector_retriever.langchain")
        return langchain.OSSVectorDocumentIndex(store=super().made(kind, client, options))

    def get(self, keys):
        return documents(self.call("get", keys))


class LangChainDocStore(Getter):
    """None stands for what is missing; a case about places looks at `aligned`."""

    framework, of = "langchain", "OSSVectorDocStore"

    def aligned(self, keys):
        return self.call("mget", keys)

    def get(self, keys):
        return documents(one for one in self.aligned(keys) if one is not None)


class LlamaIndexDocstore(Getter):
    framework, of = "llama_index", "OSSVectorDocumentStore"

    def get(self, keys):
        return nodes(self.call("get_nodes", keys, False))


class LlamaIndexStore(Getter):
    framework, of = "llama_index", "OSSVectorStore"

    def get(self, keys):
        return nodes(self.call("get_nodes", keys))


class LlamaIndexReader(Getter):
    framework, of = "llama_index", "OSSVectorReader"

    def get(self, keys):
        return nodes(self.call("load_data", keys))


class LlamaIndexLazyReader(LlamaIndexReader):
    def get(self, keys):
        return nodes(self.call("lazy_load_data", keys))


class LlamaIndexMapping(Getter):
    framework, of = "llama_index", "OSSVectorNodeMapping"

    def get(self, keys):
        self.call("prefetch", keys)
        return nodes(one for one in map(self.thing.get, keys) if one is not None)


class LlamaIndexRehydration(Getter):
    framework, of = "llama_index", "OSSVectorRehydrationPostprocessor"

    def made(self, kind, client, options):
        return kind(client=client, **{"on_missing": "omit", **options})

    def get(self, keys):
        schema = pytest.importorskip("llama_index.core.schema")
        hits = [schema.NodeWithScore(node=schema.TextNode(id_=key)) for key in keys]
        return nodes(hit.node for hit in self.call("postprocess_nodes", hits))


GETTERS = (
    LangChainFetcher,
    LangChainRehydrator,
    LangChainStore,
    LangChainDocumentIndex,
    LangChainDocStore,
    LlamaIndexDocstore,
    LlamaIndexStore,
    LlamaIndexReader,
    LlamaIndexLazyReader,
    LlamaIndexMapping,
    LlamaIndexRehydration,
)
