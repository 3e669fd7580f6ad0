"""`OSSVectorToolSpec`: records by id, for an agent."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Unpack

from llama_index.core.schema import BaseNode, MetadataMode
from llama_index.core.tools.tool_spec.base import BaseToolSpec
from llama_index.core.utils import get_tokenizer

from ..client.context import Context, Flow
from ..client.errors import InvalidRequestError, OSSVectorError, escape_controls
from ..client.fetch import fetch
from ..client.operations.checks import check_whole, each_of
from ..client.pair import Client
from ..embeddings.mathematics import check_count
from ..records import DecodePolicy, answers, parse_keys
from ..records.answers import Access, Answer, Budget, Passage, Tokenizer
from .component import ConnectionOptions, NodeLookup, _Connected
from .nodes import classes_by_name, kept_metadata
from .postprocessors import neighbours


class OSSVectorToolSpec(_Connected, BaseToolSpec):
    """Tools for an agent: stored text by id, metadata, existence, the texts before and after.

    Answers are text that names each id, those not found, and what was cut to stay within the
    budget; embeddings are neither fetched nor shown. Ids are JSON strings, and each stored text
    stands between marks that it cannot forge. A failure of the service is an answer too.

    Args:
        client: either client; by default one that is configured by the environment.
        index: the vector index to use, if not the client's own.
        key_prefix: the agent sees only ids that begin with this; all others do not exist for it,
            and are not asked for.
        allowed_keys: the only ids that exist for the agent; None for any.
        scan: how many ids to list, at most, to suggest some for one that does not exist; 0 makes no
            call for it. Suggestions out of `allowed_keys` need none.
        max_tokens: of one answer, at most, counted by `tokenizer`; None sets no bound.
        max_characters: of one answer, at most; None sets no bound.
        max_characters_per_document: of one document's text in one answer.
        max_ids: taken of one question; the rest is refused in the answer.
        tokenizer: splits a text into tokens; by default LlamaIndex's own.
        text_key: a further metadata field to look for text in, of records that others wrote.
        on_decode_error: "raise", "skip" with a warning, or "raw": a TextNode of what is stored.
        node_classes: your own node classes, so that their nodes come back as what they were.
        connection: in place of `client`, the arguments of one: see `ConnectionOptions`.

    Raises:
        InvalidRequestError: a limit is no whole number above 0, or `key_prefix` no string.
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
        max_tokens: int | None = 4000,
        max_characters: int | None = None,
        max_characters_per_document: int | None = None,
        max_ids: int = 50,
        tokenizer: Tokenizer | None = None,
        text_key: str | None = None,
        on_decode_error: DecodePolicy = "raw",
        node_classes: Sequence[type[BaseNode]] = (),
        **connection: Unpack[ConnectionOptions],
    ) -> None:
        if not isinstance(key_prefix, str):
            raise InvalidRequestError(
                "{argument} must be a string, not {value}.", argument="key_prefix", value=key_prefix
            )
        # an empty list means that nothing exists, None that anything may
        allowed = None if allowed_keys is None else frozenset(each_of(allowed_keys))
        self._access = Access(allowed, key_prefix)
        self._scan = check_whole("scan", scan, 0, sys.maxsize)
        self._max_ids = check_count("max_ids", max_ids)
        bounds = {
            "max_characters": max_characters,
            "max_tokens": max_tokens,
            "max_characters_per_document": max_characters_per_document,
        }
        set_bounds = {n: check_count(n, bound) for n, bound in bounds.items() if bound is not None}
        self._budget = Budget(tokenizer=tokenizer or _core_tokens, **set_bounds)
        self._connect(client, connection)
        self._lookup = NodeLookup(
            index=index,
            text_key=text_key,
            on_decode_error=on_decode_error,
            classes=classes_by_name(node_classes),
        )

    def fetch_by_ids(self, ids: list[str], start: int = 0) -> str:
        """Fetch stored texts by their ids.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
            start: skip so many characters of each text, to read on after a cut.
        """
        return self._answer(self._fetch, ids, start)

    async def afetch_by_ids(self, ids: list[str], start: int = 0) -> str:
        """Do as `fetch_by_ids` does."""  # models read the blocking method's text alone
        return await self._aanswer(self._fetch, ids, start)

    def get_metadata(self, ids: list[str]) -> str:
        """Get the metadata of stored texts, such as title, source or date, without the texts.

        Args:
            ids: the ids of the texts, exactly as they were given to you.
        """
        return self._answer(self._describe, ids)

    async def aget_metadata(self, ids: list[str]) -> str:
        """Do as `get_metadata` does."""
        return await self._aanswer(self._describe, ids)

    def check_exist(self, ids: list[str]) -> str:
        """Tell which ids exist, without fetching anything else.

        Args:
            ids: the ids to look for.
        """
        return self._answer(self._check_existence, ids)

    async def acheck_exist(self, ids: list[str]) -> str:
        """Do as `check_exist` does."""
        return await self._aanswer(self._check_existence, ids)

    def get_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the agent's word
        """Fetch a stored text with the texts before and after it in its document.

        Args:
            id: the id of the text, exactly as it was given to you.
            before: how many texts before it.
            after: how many texts after it.
        """
        return self._answer(self._fetch_neighbors, id, before, after)

    async def aget_neighbors(self, id: str, before: int = 1, after: int = 1) -> str:  # noqa: A002 - the same
        """Do as `get_neighbors` does."""
        return await self._aanswer(self._fetch_neighbors, id, before, after)

    def _answer(self, flow: Callable[..., Flow[str]], *arguments: object) -> str:
        # An error that ends the agent's run helps it less than one that it can read and act upon.
        try:
            return self._clients.run(flow, *arguments)
        except OSSVectorError as error:
            return answers.describe_failure(error)

    async def _aanswer(self, flow: Callable[..., Flow[str]], *arguments: object) -> str:
        try:
            return await self._clients.arun(flow, *arguments)
        except OSSVectorError as error:
            return answers.describe_failure(error)

    def _fetch(self, context: Context, ids: object, start: object) -> Flow[str]:
        skipped = _whole_number("start", start, sys.maxsize)
        keys = _ids_from(ids)
        found = yield from self._nodes(context, keys)
        texts = [_text_of(node) for node in found.values()]
        return (yield from self._report(context, keys, texts, found, skipped))

    def _describe(self, context: Context, ids: object) -> Flow[str]:
        keys = _ids_from(ids)
        found = yield from self._nodes(context, keys)
        described = [Passage(node.node_id, _visible_metadata(node)) for node in found.values()]
        return (yield from self._report(context, keys, described, found))

    def _check_existence(self, context: Context, ids: object) -> Flow[str]:
        keys = _ids_from(ids)
        result = yield from fetch(
            context,
            self._access.fetchable(context, keys[: self._max_ids]),
            index=self._lookup.index,
            return_data=False,
            return_metadata=False,
        )
        there = [Passage(vector.key, None) for vector in result]
        return (yield from self._report(context, keys, there, result.by_key))

    def _fetch_neighbors(
        self, context: Context, ids: object, before: object, after: object
    ) -> Flow[str]:
        limit = self._max_ids
        hops = (_whole_number("before", before, limit), _whole_number("after", after, limit))
        # one id, which may have line breaks; models write a list of one, too
        one = isinstance(ids, str) and not ids.lstrip().startswith("[")
        keys = _ids_from([ids] if one else ids)[:1]
        found = yield from self._nodes(context, keys)
        texts: list[Passage] = []
        for node in found.values():
            around = yield from neighbours(context, self._lookup, node, hops, self._access.permits)
            texts += map(_text_of, around)
        return (yield from self._report(context, keys, texts, found))

    def _nodes(self, context: Context, ids: list[str]) -> Flow[dict[str, BaseNode]]:
        keys = self._access.fetchable(context, ids[: self._max_ids])
        found = yield from self._lookup.fetch_by_id(context, keys)
        return {key: found[key] for key in keys if key in found}

    def _report(
        self,
        context: Context,
        ids: list[str],
        passages: list[Passage],
        found: Mapping[str, object],
        start: int = 0,
    ) -> Flow[str]:
        missing = [key for key in ids[: self._max_ids] if key not in found]
        index = self._lookup.index
        answer = Answer(
            passages,
            missing=(yield from answers.suggest(context, missing, self._access, index, self._scan)),
            refused=ids[self._max_ids :],
            start=start,
            nothing="No ids were given.",
            fetch_tool="fetch_by_ids",
        )
        return (yield from answers.write_answer(answer, self._budget))


def _ids_from(ids: object) -> list[str]:
    """Return the ids that a model meant: a list, one id, a JSON array, one id a line."""
    if isinstance(ids, str):
        return list(dict.fromkeys(parse_keys(ids)))
    if not isinstance(ids, list | tuple):
        raise InvalidRequestError(
            "{argument} must be a list of strings, not {kind}", argument="ids", value=ids
        )
    return list(dict.fromkeys(str(one) for one in ids if str(one)))


def _whole_number(name: str, count: Any, limit: int) -> int:
    try:
        # clamped and not refused: a model that asks for 1,000 neighbours takes what it gets
        return max(0, min(int(count), limit))
    except (TypeError, ValueError, OverflowError):
        raise InvalidRequestError(
            "{argument} must be a whole number, not {value}", argument=name, value=count
        ) from None


def _core_tokens(text: str) -> Sequence[Any]:
    # Asked for at each use: a program may set LlamaIndex's tokenizer after it makes its tools, and
    # the default one reads its vocabulary from a file.
    return get_tokenizer()(text)


def _text_of(node: BaseNode) -> Passage:
    return Passage(node.node_id, node.get_content(MetadataMode.NONE))


def _visible_metadata(node: BaseNode) -> str:
    # what a program hides from its model stays hidden, whichever way the model asks
    hidden = set(node.excluded_llm_metadata_keys)
    seen = {name: value for name, value in node.metadata.items() if name not in hidden}
    return escape_controls(json.dumps(kept_metadata(seen, "json"), ensure_ascii=False, default=str))
