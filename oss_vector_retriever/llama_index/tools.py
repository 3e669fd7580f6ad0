"""`OSSVectorToolSpec`: records by id, for an agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.tools.tool_spec.base import BaseToolSpec

from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.errors import InvalidRequestError, OSSVectorError, shown
from oss_vector_retriever.client.fetch import fetch
from oss_vector_retriever.client.operations.checks import check_whole, each_of
from oss_vector_retriever.client.pair import Client
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.embeddings.mathematics import check_count
from oss_vector_retriever.llama_index.component import Reading
from oss_vector_retriever.llama_index.postprocessors import neighbours
from oss_vector_retriever.records import DecodePolicy, parse_keys
from oss_vector_retriever.records.keys import Access, is_key, near_misses
from oss_vector_retriever.records.lookup import Lookup

_Flow = Callable[[Context], Flow[str]]
_MOST = 10**9


class OSSVectorToolSpec(Reading, BaseToolSpec):
    """Let an agent fetch stored text by id, look at metadata, test for existence, read on.

    Answers are text that names each id, those not found, and what was cut to stay within the
    budget; embeddings are neither fetched nor shown. A failure of the service is an answer too.
    """

    spec_functions: ClassVar[list[str | tuple[str, str]]] = [  # type: ignore[misc]  # core's has no ClassVar
        ("fetch_by_ids", "afetch_by_ids"),
        ("get_metadata", "aget_metadata"),
        ("check_exist", "acheck_exist"),
        ("get_neighbors", "aget_neighbors"),
    ]

    def __init__(
        self,
        client: Client | None = None,
        *,
        index: str | None = None,
        key_prefix: str = "",
        allowed_keys: Iterable[str] | None = None,
        scan: int = 0,
        max_tokens: int = 4000,
        max_ids: int = 50,
        tokenizer: Tokenizer | None = None,
        text_key: str | None = None,
        on_decode_error: DecodePolicy = "raw",
        node_classes: Sequence[type[BaseNode]] = (),
    ) -> None:
        """Take the settings.

        Args:
            client: an `OSSVectorClient` or `AsyncOSSVectorClient`; by default one that is
                configured by the environment.
            index: the vector index to use, if not the client's own.
            key_prefix: the agent sees only ids that begin with this; all others do not exist for
                it, and are not asked for.
            allowed_keys: the only ids that the agent sees; None for any.
            scan: how many ids to list, at most, to suggest some for one that does not exist; 0
                makes no call for it. Suggestions out of `allowed_keys` need none.
            max_tokens: of one answer, at most.
            max_ids: taken of one question; the rest is refused in the answer.
            tokenizer: counts tokens; by default four bytes of UTF-8 are one.
            text_key: a further metadata field to look for text in, of records that others wrote.
            on_decode_error: what becomes of a record that cannot be read: "raise" an error, "skip"
                it with a warning in the log, or "raw", a TextNode with the metadata as stored.
            node_classes: your own node classes, so that their nodes come back as what they were.

        Raises:
            InvalidRequestError: a limit is no whole number above 0, or `key_prefix` no string.
        """
        if not isinstance(key_prefix, str):
            raise InvalidRequestError(f"key_prefix must be a string, not {key_prefix!r}.")
        allowed = None if allowed_keys is None else frozenset(each_of(allowed_keys))
        self._access = Access(allowed, key_prefix)
        self._scan = check_whole("scan", scan, 0, _MOST)
        self._max_ids = check_count("max_ids", max_ids)
        self._budget = Budget(check_count("max_tokens", max_tokens), tokenizer)
        lookup = Lookup(index=index, text_key=text_key, on_decode_error=on_decode_error)
        self._read_with(client, lookup, node_classes)

    def fetch_by_ids(self, ids: list[str]) -> str:
        """Fetch stored texts by their ids.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return self._answer(partial(self._fetched, ids=ids))

    async def afetch_by_ids(self, ids: list[str]) -> str:
        """Fetch stored texts by their ids.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return await self._aanswer(partial(self._fetched, ids=ids))

    def get_metadata(self, ids: list[str]) -> str:
        """Get the metadata of stored texts, such as title, source or date, without the texts.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return self._answer(partial(self._described, ids=ids))

    async def aget_metadata(self, ids: list[str]) -> str:
        """Get the metadata of stored texts, such as title, source or date, without the texts.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return await self._aanswer(partial(self._described, ids=ids))

    def check_exist(self, ids: list[str]) -> str:
        """Tell which ids exist, without fetching anything else.

        Args:
            ids: the ids to look for.
        """
        return self._answer(partial(self._existing, ids=ids))

    async def acheck_exist(self, ids: list[str]) -> str:
        """Tell which ids exist, without fetching anything else.

        Args:
            ids: the ids to look for.
        """
        return await self._aanswer(partial(self._existing, ids=ids))

    def get_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the agent's word
        """Fetch a stored text with the texts before and after it in its document.

        Args:
            id: the id of the text, exactly as it was given to you.
            before: how many texts before it.
            after: how many texts after it.
        """
        return self._answer(partial(self._around, ids=id, before=before, after=after))

    async def aget_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the same
        """Fetch a stored text with the texts before and after it in its document.

        Args:
            id: the id of the text, exactly as it was given to you.
            before: how many texts before it.
            after: how many texts after it.
        """
        return await self._aanswer(partial(self._around, ids=id, before=before, after=after))

    def _answer(self, flow: _Flow) -> str:
        try:
            return self._clients.run(flow)
        except OSSVectorError as error:
            return failure(error)

    async def _aanswer(self, flow: _Flow) -> str:
        try:
            return await self._clients.arun(flow)
        except OSSVectorError as error:
            return failure(error)

    def _fetched(self, context: Context, ids: object) -> Flow[str]:
        asked, found = yield from self._found(context, ids)
        return (yield from self._report(context, asked, texts_of(found.values()), found))

    def _described(self, context: Context, ids: object) -> Flow[str]:
        asked, found = yield from self._found(context, ids)
        return (yield from self._report(context, asked, metadata_of(found.values()), found))

    def _existing(self, context: Context, ids: object) -> Flow[str]:
        asked, allowed = self._asked(ids)
        there = yield from fetch(
            context,
            allowed,
            index=self._lookup.index,
            return_data=False,
            return_metadata=False,
        )
        found = [key for key in allowed if key in there.by_key]
        parts = [f"Exists: {key}" for key in found]
        return (yield from self._report(context, asked, parts, found))

    def _around(self, context: Context, ids: object, before: object, after: object) -> Flow[str]:
        hops = (hops_of("before", before, self._max_ids), hops_of("after", after, self._max_ids))
        asked, found = yield from self._found(context, ids, most=1)
        nodes: list[BaseNode] = []
        for node in found.values():
            nodes = yield from neighbours(context, self._source(), node, hops, self._access.permits)
        return (yield from self._report(context, asked, texts_of(nodes), found))

    def _found(
        self, context: Context, ids: object, most: int | None = None
    ) -> Flow[tuple[list[str], dict[str, BaseNode]]]:
        asked, allowed = self._asked(ids, most)
        found = yield from self._source().by_id(context, allowed)
        return asked, {key: found[key] for key in allowed if key in found}

    def _asked(self, ids: object, most: int | None = None) -> tuple[list[str], list[str]]:
        """Return the ids asked for, and of those that are taken those that may be fetched."""
        asked = ids_of(ids)[:most]
        taken = asked[: self._max_ids]
        return asked, [key for key in taken if is_key(key) and self._access.permits(key)]

    def _report(
        self, context: Context, asked: list[str], parts: list[str], found: Collection[str]
    ) -> Flow[str]:
        taken, refused = asked[: self._max_ids], asked[self._max_ids :]
        missing = [key for key in taken if key not in found]
        known: tuple[str, ...] = ()
        if missing:
            known = yield from self._access.known(context, self._lookup.index, self._scan)
        near = {key: near_misses(key, known) for key in missing}
        return report(parts, near, refused, self._budget)


Tokenizer = Callable[[str], Sequence[Any]]

_BYTES = 4  # of one token, roughly; more bytes than that make one in most models
_BETWEEN = 3  # tokens: blank lines and the mark of what is cut
_MOST_NAMED = 20
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Budget:
    """Say how long an answer may be.

    Attributes:
        tokens: how many tokens.
        tokenizer: splits a text into tokens; None counts four bytes as one.
    """

    tokens: int
    tokenizer: Tokenizer | None = None

    def count(self, text: str) -> int:
        """Return how many tokens a text has."""
        if self.tokenizer is not None:
            return len(self.tokenizer(text))
        return -(-len(text.encode("utf-8", "replace")) // _BYTES)

    def cut(self, text: str, tokens: int) -> str:
        """Return as much of a text as some tokens hold."""
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.count(text[:middle]) <= tokens:
                low = middle
            else:
                high = middle - 1
        return text[:low]


def ids_of(ids: object) -> list[str]:
    """Return the ids that a model meant: a list, one id, a JSON array, one id a line.

    Raises:
        InvalidRequestError: it is none of these.
    """
    if isinstance(ids, str):
        return list(dict.fromkeys(parse_keys(ids)))
    if not isinstance(ids, list | tuple):
        raise InvalidRequestError(f"ids must be a list of strings, not {type(ids).__name__}")
    return list(dict.fromkeys(str(one) for one in ids if str(one)))


def hops_of(name: str, count: Any, most: int) -> int:
    """Return how many neighbours a model meant, from 0 to `most`.

    Raises:
        InvalidRequestError: it is no number.
    """
    try:
        return max(0, min(int(count), most))
    except (TypeError, ValueError, OverflowError):
        message = f"{name} must be a whole number, not {shown(count)}"
        raise InvalidRequestError(message) from None


def texts_of(nodes: Iterable[BaseNode]) -> list[str]:
    """Return what an answer says of each node: id and text, without metadata."""
    return [f"[{node.node_id}]\n{node.get_content(MetadataMode.NONE)}" for node in nodes]


def metadata_of(nodes: Iterable[BaseNode]) -> list[str]:
    """Return what an answer says of each node: id and the metadata that models may see."""
    return [f"[{node.node_id}]\n{_visible(node)}" for node in nodes]


def report(
    parts: list[str],
    missing: Mapping[str, Sequence[str]],
    refused: list[str],
    budget: Budget,
) -> str:
    """Return an answer within a budget: parts, as many as fit, and what is not among them.

    What was not found is said first of all: it must not fall to the budget.

    Args:
        parts: what was found.
        missing: ids that do not exist, with those that they may have been meant for.
        refused: ids that were too many.
        budget: how long the answer may be.
    """
    notes = []
    if missing:
        notes.append(f"Not found: {_named([_with_near(*one) for one in missing.items()])}")
    if refused:
        notes.append(f"Too many ids at once; ask again for: {_named(refused)}")
    if not parts and not notes:
        notes.append("No ids were given.")
    whole = _joined([*notes, *parts])
    if not parts or budget.count(whole) <= budget.tokens:
        return whole
    return _cut(notes, parts, budget)


def _cut(notes: list[str], parts: list[str], budget: Budget) -> str:
    many = len(parts)
    longest = _joined([*notes, _told(budget, many, many)])
    left = budget.tokens - budget.count(longest) - _BETWEEN
    kept = budget.cut(_joined(parts), max(left, 0))
    rest = sum(len(_joined(parts[: place + 1])) > len(kept) for place in range(many))
    told = _told(budget, rest, many)
    return _joined([*notes, told, *([f"{kept}..."] if kept else [])])


def _told(budget: Budget, rest: int, many: int) -> str:
    return f"Cut to {budget.tokens} tokens; not whole: {rest} of {many}."


def _joined(parts: list[str]) -> str:
    return "\n\n".join(parts)


def failure(error: OSSVectorError) -> str:
    """Return what an answer says of a failure."""
    return f"Error: nothing could be fetched. {type(error).__name__}: {str(error)[:_LONGEST]}"


def _visible(node: BaseNode) -> str:
    hidden = set(node.excluded_llm_metadata_keys)
    seen = {name: value for name, value in node.metadata.items() if name not in hidden}
    return json.dumps(seen, ensure_ascii=False, default=str)


def _with_near(key: str, near: Sequence[str]) -> str:
    named = key if len(key) <= _LONGEST else f"{key[:_LONGEST]}..."
    return f"{named} (did you mean {' or '.join(near)}?)" if near else named


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - _MOST_NAMED} more" if len(keys) > _MOST_NAMED else ""
    return ", ".join(keys[:_MOST_NAMED]) + more
