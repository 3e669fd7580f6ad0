"""What both tools share: client, tenancy, budget, artifact."""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.tools import BaseTool
from pydantic import Field

from oss_vector_retriever.langchain.connection import STRICT, Connected
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.tools.answers import Answer, Budget
from oss_vector_retriever.records import DecodePolicy, Record
from oss_vector_retriever.records.access import Access

Reply = tuple[str, list[Document]]


class DocumentTool(Connected, BaseTool):
    """Show an agent documents with their ids; the Documents themselves are the artifact.

    Attributes:
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: another index than the client's own.
        text_key: the metadata field in which another program keeps the text of its records, where
            that is none of `text`, `content` and `page_content`.
        allowed_keys: the only keys that may be asked for or shown; None for any.
        key_prefix: what each key that may be asked for or shown begins with.
        max_characters: of document text in one answer; a token is about four of English.
        max_characters_per_document: of one document's text in one answer.
        on_decode_error: for records that cannot be read: "raise", "skip" (left out, with a warning
            in the log) or "raw" (their metadata as they are stored).
    """

    model_config = STRICT

    text_key: str | None = None
    allowed_keys: frozenset[str] | None = Field(default=None, repr=False)
    key_prefix: str = ""
    max_characters: int = Field(default=20_000, gt=0)
    max_characters_per_document: int = Field(default=4_000, gt=0)
    on_decode_error: DecodePolicy = "skip"
    response_format: Literal["content", "content_and_artifact"] = "content_and_artifact"

    @property
    def _access(self) -> Access:
        return Access(self.allowed_keys, self.key_prefix)

    def _reply(self, answer: Answer) -> Reply:
        budget = Budget(self.max_characters, self.max_characters_per_document)
        return answer.written(budget), list(answer.documents)

    def _document(self, record: Record) -> Document:
        return document_from(record)

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError
