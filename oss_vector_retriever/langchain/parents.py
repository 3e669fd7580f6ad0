"""`ParentHydratingRetriever`: a retriever finds the children, one fetch brings their parents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.load.serializable import SerializedConstructor, SerializedNotImplemented
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables import Runnable
from pydantic import Field

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, MissingKeysError
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.connection import PROVIDER, STRICT, Connected
from oss_vector_retriever.langchain.documents import document_from
from oss_vector_retriever.langchain.families import Family, families_of
from oss_vector_retriever.records import DecodePolicy
from oss_vector_retriever.records.lookup import Lookup


class ParentHydratingRetriever(Connected, BaseRetriever):
    """Return the parents of what another retriever finds, with their children's scores.

    Each parent comes once, where its first child stood, or by its children's scores. Its metadata
    says, under `matches_key`: `children` (the ids of the children found, in order), `best_score`
    and `mean_score` (of those that have a score; None where none has), `rank` (of the first child,
    from 0).

    Attributes:
        retriever: any runnable from a query to Documents.
        client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is configured
            by the fields `bucket`, `account_id`, `region`, ..., and by the environment.
        index: the index of the parents; the client's own by default.
        parent_key: the metadata field of a child that holds its parent's key.
        score_key: the metadata field of a child that holds its score.
        higher_is_better: False where the score is a distance.
        matches_key: the metadata field of a parent that receives what is known of its children.
        order: "rank", of the first child; "best" or "mean", of the children's scores.
        k: return at most so many parents.
        text_key: a further metadata field to look for text in.
        on_missing: for children without a parent's key, and parents that do not exist: "omit",
            "raise", or "child", which puts the best child in the parent's place.
        on_decode_error: "raise", "skip" or "raw", for records that cannot be read.
    """

    model_config = STRICT

    retriever: Runnable[str, list[Document]]
    parent_key: str = "parent_id"
    score_key: str = "score"
    higher_is_better: bool = True
    matches_key: str = "matches"
    order: Literal["rank", "best", "mean"] = "rank"
    k: int | None = Field(default=None, gt=0, strict=True)
    text_key: str | None = None
    on_missing: Literal["omit", "raise", "child"] = "omit"
    on_decode_error: DecodePolicy = "raise"

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Return True: settings are serialised, secrets by name alone."""
        return True

    def to_json(self) -> SerializedConstructor | SerializedNotImplemented:
        """Return the serialised form; there is none where a client was given."""
        return super().to_json() if self.client is None else self.to_json_not_implemented()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        children = self.retriever.invoke(query, {"callbacks": run_manager.get_child()})
        return self._both().run(self._parents_of(children))

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        children = await self.retriever.ainvoke(query, {"callbacks": run_manager.get_child()})
        return await self._both().arun(self._parents_of(children))

    def _parents_of(
        self, children: Sequence[Document]
    ) -> Callable[[Context], Flow[list[Document]]]:
        return lambda context: self._hydrated(context, children)

    def _hydrated(self, context: Context, children: Sequence[Document]) -> Flow[list[Document]]:
        families = self._in_order(families_of(children, self.parent_key, self.score_key))
        if self.on_missing == "raise":
            self._refuse_orphans(families)
        keys = [family.parent for family in families if family.parent is not None]
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from lookup.of(keys, document_from)(context)
        if found.missing and self.on_missing == "raise":
            raise MissingKeysError(found.missing)
        parents = {parent.id: parent for parent in found.made}
        whole = [self._whole(family, parents) for family in families]
        return [document for document in whole if document is not None][: self.k]

    def _whole(self, family: Family, parents: dict[str | None, Document]) -> Document | None:
        parent = None if family.parent is None else parents.get(family.parent)
        if parent is None:
            if self.on_missing != "child":
                return None
            parent = family.best_child(higher=self.higher_is_better).model_copy(deep=True)
        parent.metadata[self.matches_key] = family.matches(higher=self.higher_is_better)
        return parent

    def _in_order(self, families: list[Family]) -> list[Family]:
        if self.order == "rank":
            return families
        name = "best_score" if self.order == "best" else "mean_score"
        sign = -1.0 if self.higher_is_better else 1.0

        def worth(family: Family) -> float:
            score = family.matches(higher=self.higher_is_better)[name]
            return float("inf") if score is None else sign * score

        return sorted(families, key=worth)

    def _refuse_orphans(self, families: Sequence[Family]) -> None:
        orphans = [family for family in families if family.parent is None]
        if orphans:
            raise InvalidRequestError(
                f"{len(orphans)} of the documents found have no {self.parent_key!r} in their "
                f"metadata, the first of them {orphans[0].children[0].id!r}; on_missing="
                '"omit" or "child" allows it.'
            )

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = PROVIDER
        return params
