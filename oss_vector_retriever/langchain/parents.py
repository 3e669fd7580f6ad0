"""`ParentHydratingRetriever`: a retriever finds the children, one fetch brings their parents."""

import math
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import Field

from ..client.concurrency import limit_concurrency
from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, MissingKeysError
from ..records import DecodePolicy
from ..records.grouping import Group, group_by_parent
from ..records.lookup import Lookup, fetch_records
from .connection import STRICT
from .documents import document_from, hits_of
from .retriever import _ServiceRetriever, areport_missing, report_missing

Parents = tuple[list[Document], tuple[str, ...]]


class ParentHydratingRetriever(_ServiceRetriever):
    """The parents of what another retriever finds, with their children's scores.

    Each parent comes once, where its first child stood, or by its children's scores. Its metadata
    says, under `matches_key`: `children` (the ids of the children found, in order), `best_score`
    and `mean_score` (of those that have a score; None where none has), `rank` (of the first child,
    from 0). Parents that do not exist are reported to callbacks as the custom event
    `oss_vectors_missing_keys`.

    Attributes:
        retriever: any runnable from a query to Documents, or to pairs of a Document and a score,
            such as `OSSVectorStore(..., score_key="score").as_retriever()`.
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: the index of the parents; the client's own by default.
        key_prefix: stands before every parent's key in the index, as in an `OSSVectorDocStore`.
        parent_key: the metadata field of a child that holds its parent's key.
        score_key: the metadata field of a child that holds its score; that of a pair goes first.
        higher_is_better: False where the score is a distance.
        matches_key: the metadata field of a parent that receives what is known of its children.
        order: "rank", of the first child; "best" or "mean", of the children's scores.
        k: return at most so many parents; also an argument of `invoke`.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        on_missing: for children without a parent's key, and parents that do not exist: "omit",
            "raise", or "child", which puts the best child in the parent's place.
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).

    Examples:
        >>> from langchain_core.documents import Document
        >>> from langchain_core.runnables import RunnableLambda
        >>> client = OSSVectorClient.local()
        >>> OSSVectorDocStore(client=client).mset([("book", Document("The whole book."))])
        >>> page = Document("A page.", id="1", metadata={"doc_id": "book"})
        >>> find = RunnableLambda(lambda query: [page])
        >>> parents = ParentHydratingRetriever(retriever=find, client=client, parent_key="doc_id")
        >>> [found.page_content for found in parents.invoke("page?")]
        ['The whole book.']
    """

    model_config = STRICT

    retriever: Runnable[str, Any]
    key_prefix: str = ""
    parent_key: str = "parent_id"
    score_key: str = "score"
    higher_is_better: bool = True
    matches_key: str = "matches"
    order: Literal["rank", "best", "mean"] = "rank"
    k: int | None = Field(default=None, gt=0, strict=True)
    text_key: str | None = None
    on_missing: Literal["omit", "raise", "child"] = "omit"
    on_decode_error: DecodePolicy = "raise"

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: Any,
        k: int | None = None,
        max_concurrency: int | None = None,
    ) -> list[Document]:
        limit = self._limit(k)  # before anything is asked for
        config = _child_config(run_manager, max_concurrency)
        children = self.retriever.invoke(query, config)
        parents, missing = self._clients.run(
            limit_concurrency, max_concurrency, self._fetch_parents, children
        )
        report_missing(self, run_manager, missing)
        return parents[:limit]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: Any,
        k: int | None = None,
        max_concurrency: int | None = None,
    ) -> list[Document]:
        limit = self._limit(k)
        config = _child_config(run_manager, max_concurrency)
        children = await self.retriever.ainvoke(query, config)
        parents, missing = await self._clients.arun(
            limit_concurrency, max_concurrency, self._fetch_parents, children
        )
        await areport_missing(self, run_manager, missing)
        return parents[:limit]

    def _limit(self, k: int | None) -> int | None:
        limit = self.k if k is None else k
        if limit is not None and (type(limit) is not int or limit < 1):  # True is an int as well
            raise InvalidRequestError(f"k must be a whole number above 0, not {limit!r}.")
        return limit

    def _fetch_parents(self, context: Context, children: Any) -> Flow[Parents]:
        groups = self._in_order(_group_children(children, self.parent_key, self.score_key))
        orphans = [group for group in groups if group.parent is None]
        if orphans and self.on_missing == "raise":
            raise InvalidRequestError(
                f"{len(orphans)} of the documents found have no {self.parent_key!r} in their "
                f"metadata, the first of them {orphans[0].children[0].id!r}; on_missing="
                '"omit" or "child" allows it.'
            )
        keys = [self.key_prefix + group.parent for group in groups if group.parent is not None]
        lookup = Lookup(
            index=self.index, text_key=self.text_key, on_decode_error=self.on_decode_error
        )
        found = yield from fetch_records(context, lookup, keys, document_from)
        if found.missing and self.on_missing == "raise":
            raise MissingKeysError(found.missing)
        parents = {parent.id: parent for parent in found.made}
        answer = [self._annotate_parent(group, parents) for group in groups]
        return [document for document in answer if document is not None], found.missing

    def _annotate_parent(
        self, group: Group[Document], parents: dict[str | None, Document]
    ) -> Document | None:
        parent = None if group.parent is None else parents.get(self.key_prefix + group.parent)
        if parent is None:
            if self.on_missing != "child":
                return None
            # a copy: the wrapped retriever may keep its Documents, as a cache does
            parent = group.best_child(higher_is_better=self.higher_is_better).model_copy(deep=True)
        else:
            parent.id = group.parent  # without the prefix, as in an `OSSVectorDocStore`
        parent.metadata[self.matches_key] = {
            "children": [child.id for child in group.children],
            "rank": group.rank,
            "best_score": group.best_score(higher_is_better=self.higher_is_better),
            "mean_score": group.mean_score,
        }
        return parent

    def _in_order(self, groups: list[Group[Document]]) -> list[Group[Document]]:
        if self.order == "rank":
            return groups
        sign = -1.0 if self.higher_is_better else 1.0

        def worth(group: Group[Document]) -> float:
            score = group.mean_score
            if self.order == "best":
                score = group.best_score(higher_is_better=self.higher_is_better)
            return float("inf") if score is None else sign * score

        return sorted(groups, key=worth)  # stable: equal scores stay in the order found


def _child_config(run_manager: Any, max_concurrency: int | None) -> RunnableConfig:
    config: RunnableConfig = {"callbacks": run_manager.get_child()}
    if max_concurrency is not None:  # callbacks alone do not hand it down
        config["max_concurrency"] = max_concurrency
    return config


def _group_children(children: Any, parent_key: str, score_key: str) -> list[Group[Document]]:
    """Return children under their parents; a score of a pair goes before that of the metadata.

    Raises:
        InvalidRequestError: something else came than Documents and pairs.
    """
    found: list[tuple[Document, str | None, float | None]] = []
    for rank, hit in enumerate(hits_of(children)):
        if (child := hit.document) is None:
            raise InvalidRequestError(
                f"the wrapped retriever must return Documents, and the one at position {rank} "
                "(counted from 0) is none; an id alone does not say which parent it has."
            )
        parent = child.metadata.get(parent_key)
        if type(parent) is int:  # splitters that count chunks write whole numbers
            parent = str(parent)
        score = _score(child.metadata.get(score_key) if hit.score is None else hit.score)
        found.append((child, parent if parent and isinstance(parent, str) else None, score))
    return group_by_parent(found)


def _score(value: object) -> float | None:
    try:
        score = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return score if math.isfinite(score) else None  # NaN has no place in an order
