"""`OSSVectorToolkit`: search and fetch, with the same client, tenancy and budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.tools.base import BaseToolkit
from pydantic import Field

from oss_vector_retriever.langchain.connection import STRICT, Connected
from oss_vector_retriever.langchain.queries import QueryEmbedding
from oss_vector_retriever.langchain.tools.fetching import OSSVectorFetchTool
from oss_vector_retriever.langchain.tools.searching import MOST_HITS, OSSVectorSearchTool

_OWN = {"query_embedding", "filter", "native_scalars", "k", "scan"}


class OSSVectorToolkit(Connected, BaseToolkit):
    """Give an agent the tools to fetch documents by id and, with `query_embedding`, to search.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        query_embedding: an `Embeddings`, or a function from a query to its embedding; None leaves
            out the search.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        allowed_keys: the only keys that may be asked for or shown; None for any.
        key_prefix: what each key that may be asked for or shown begins with.
        filter: a filter on metadata, `{"field": value}` or the service's full grammar, always in
            force when searching.
        native_scalars: say in the filter numbers and booleans as they are, for records written so.
        k: how many documents a search shows where the model does not say.
        scan: how many keys to list, at most, to suggest near misses.
        max_characters: of document text in one answer; a token is about four of English.
    """

    model_config = STRICT

    query_embedding: QueryEmbedding | None = Field(default=None, exclude=True, repr=False)
    text_key: str | None = None
    allowed_keys: frozenset[str] | None = Field(default=None, repr=False)
    key_prefix: str = ""
    filter: Mapping[str, Any] | None = None
    native_scalars: bool = False
    k: int = Field(default=5, gt=0, le=MOST_HITS)
    scan: int = Field(default=0, ge=0)
    max_characters: int = Field(default=20_000, gt=0)

    def get_tools(self) -> list[BaseTool]:
        """Return the tools: search first, where there is an embedding, then fetch."""
        shared = {name: getattr(self, name) for name in type(self).model_fields if name not in _OWN}
        fetch = OSSVectorFetchTool(**shared, scan=self.scan)
        if self.query_embedding is None:
            return [fetch]
        search = OSSVectorSearchTool(
            **shared,
            query_embedding=self.query_embedding,
            filter=self.filter,
            native_scalars=self.native_scalars,
            k=self.k,
            fetch_tool=fetch.name,
        )
        search.description += f" Read more of one by passing its id to {fetch.name}."
        return [search, fetch]
