"""`OSSVectorFetchTool`: an agent reads documents by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.documents import Document
from langchain_core.tools.base import ArgsSchema
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import from_json

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.tools.answers import Answer
from oss_vector_retriever.langchain.tools.base import DocumentTool, Reply
from oss_vector_retriever.records.access import near_misses
from oss_vector_retriever.records.keys import is_key
from oss_vector_retriever.records.lookup import Lookup

_MOST_IDS = 100  # one call of the service


class FetchArguments(BaseModel):
    """Say which documents to read."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    ids: list[str] = Field(
        description="The ids of the documents to read, exactly as they were shown.",
        min_length=1,
        max_length=_MOST_IDS,
    )
    start: int = Field(
        default=0, ge=0, description="Skip so many characters of each, to read on after a cut."
    )

    @field_validator("ids", mode="before")
    @classmethod
    def _one_is_a_list_of_one(cls, value: Any) -> Any:
        """Take what models write in place of a list: one id, or a list as JSON text."""
        if not isinstance(value, str):
            return value
        with suppress(ValueError):
            if isinstance(listed := from_json(value), list):
                return listed
        return [value]


class OSSVectorFetchTool(DocumentTool):
    """Read documents by id: text with ids, what is missing named, near misses suggested.

    Ids outside `allowed_keys` and `key_prefix` are refused without a call. All ids cross the
    network in one call.

    Attributes:
        scan: how many keys to list, at most, to suggest near misses of an id that does not exist;
            0 makes no call for it. Suggestions out of `allowed_keys` need none.
    """

    name: str = "fetch_documents"
    description: str = (
        "Read documents by their ids. Returns the text of each with its id, and names ids that do "
        "not exist. Long documents are cut, with a hint how to read on."
    )
    args_schema: ArgsSchema | None = FetchArguments
    scan: int = Field(default=0, ge=0)

    def _run(self, ids: Sequence[str], start: int = 0, **_: Any) -> Reply:
        return self._reply(self._both().run(self._answer(ids, start)))

    async def _arun(self, ids: Sequence[str], start: int = 0, **_: Any) -> Reply:
        return self._reply(await self._both().arun(self._answer(ids, start)))

    def _answer(self, ids: Sequence[str], start: int) -> Callable[[Context], Flow[Answer]]:
        return lambda context: self._fetched(context, list(dict.fromkeys(ids)), start)

    def _fetched(self, context: Context, ids: Sequence[str], start: int) -> Flow[Answer]:
        permitted = [key for key in ids if self._access.permits(key)]
        legal = [key for key in permitted if is_key(key, context.config.limits)]
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from lookup.of(legal, self._document)(context)
        absent = [key for key in permitted if key not in legal or key in found.missing]
        known = (yield from self._access.known(context, self.index, self.scan)) if absent else ()
        return Answer(
            _in_order(ids, found.made),
            missing={key: near_misses(key, known) for key in absent},
            refused=[key for key in ids if key not in permitted],
            start=start,
            fetch=self.name,
        )


def _in_order(ids: Sequence[str], documents: Sequence[Document]) -> list[Document]:
    by_id = {document.id: document for document in documents}
    return list(_present(ids, by_id))


def _present(ids: Sequence[str], by_id: dict[str | None, Document]) -> Iterator[Document]:
    for key in ids:
        if key in by_id:
            yield by_id[key]
