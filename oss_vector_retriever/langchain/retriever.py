"""`OSSVectorRetriever`: keys in, Documents out; and what it shares with other retrievers."""

# ruff: noqa: A002 - `input` is LangChain's own name

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables.config import RunnableConfig, ensure_config, get_config_list
from pydantic import Field

from ..client.concurrency import limit_concurrency, run_together
from ..client.context import Context, Flow
from ..client.errors import IncompleteSearchWarning, InvalidRequestError
from ..records import DecodePolicy, Record, parse_keys, query_of
from ..records.lookup import Found, Lookup, MissingPolicy, fetch_records
from .connection import PROVIDER, STRICT, Connected
from .documents import document_from

# Users' callbacks look for these names: they stay.
MISSING_EVENT = "oss_vectors_missing_keys"
INCOMPLETE_EVENT = "oss_vectors_incomplete_search"
_INTERNAL = {"max_concurrency", "outcome"}  # what our methods pass to one another
Configs = RunnableConfig | list[RunnableConfig] | None


class _Batched(Connected):
    """A runnable whose batch takes few calls, each input with a run of its own in the traces.

    The inputs are looked up together first; then each is invoked with what came of it.
    """

    def _look_up(self, context: Context, asked: Any, /, **options: Any) -> Flow[Any]:
        """Return what came of one input."""
        raise NotImplementedError

    def batch(
        self,
        inputs: list[Any],
        config: Configs = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer many inputs: their distinct keys in calls of 100."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        # one bound for all, as in LangChain's own batch, which reads the first configuration
        limit = max_concurrency_of(configs[0])
        outcomes = self._clients.run(
            limit_concurrency, limit, run_together, self._look_up, inputs, **kwargs
        )
        answers: list[Any] = []
        for asked, own, outcome in zip(inputs, configs, outcomes, strict=True):
            try:
                # LangChain's own invoke, so that each input has its callbacks, tags and trace
                answers.append(self.invoke(asked, own, outcome=outcome, **kwargs))
            except Exception as error:
                if not return_exceptions:
                    raise
                answers.append(error)
        return answers

    async def abatch(
        self,
        inputs: list[Any],
        config: Configs = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer many inputs: their distinct keys in calls of 100."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        limit = max_concurrency_of(configs[0])
        outcomes = await self._clients.arun(
            limit_concurrency, limit, run_together, self._look_up, inputs, **kwargs
        )
        answers: list[Any] = []
        for asked, own, outcome in zip(inputs, configs, outcomes, strict=True):
            try:
                answers.append(await self.ainvoke(asked, own, outcome=outcome, **kwargs))
            except Exception as error:
                if not return_exceptions:
                    raise
                answers.append(error)
        return answers

    if TYPE_CHECKING:

        def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
            raise NotImplementedError

        async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
            raise NotImplementedError

    def _result(self, asked: Any, outcome: Any, limit: int | None, **options: Any) -> Any:
        """Return what comes of an input; `outcome` is what a batch has found of it, if one has."""
        if outcome is None:
            return self._clients.run(limit_concurrency, limit, self._look_up, asked, **options)
        return _result_or_raise(outcome)

    async def _aresult(self, asked: Any, outcome: Any, limit: int | None, **options: Any) -> Any:
        if outcome is None:
            return await self._clients.arun(
                limit_concurrency, limit, self._look_up, asked, **options
            )
        return _result_or_raise(outcome)


def _result_or_raise(outcome: Any) -> Any:
    if isinstance(outcome, Exception):
        raise outcome  # inside the input's own run, whose trace shows it
    return outcome


def max_concurrency_of(config: RunnableConfig | None) -> int | None:
    """Return the `max_concurrency` of a run, its parent's where it has none of its own."""
    return ensure_config(config).get("max_concurrency")


def report_missing(component: Connected, run_manager: Any, missing: Sequence[str]) -> None:
    """Tell the callbacks of a run which keys do not exist."""
    if missing:
        event, config = _missing_event(component, run_manager, missing)
        dispatch_custom_event(MISSING_EVENT, event, config=config)


async def areport_missing(component: Connected, run_manager: Any, missing: Sequence[str]) -> None:
    """Tell the callbacks of a run which keys do not exist."""
    if missing:
        event, config = _missing_event(component, run_manager, missing)
        await adispatch_custom_event(MISSING_EVENT, event, config=config)


def _missing_event(component: Connected, run_manager: Any, missing: Sequence[str]) -> Any:
    event = {"index": component._index_name(), "missing": list(missing)}  # noqa: SLF001 - of this package
    # LangChain puts no retriever's run into the context, and an event needs its parent run
    return event, {"callbacks": run_manager.get_child()}


# the manager of the retriever's run that a store is searched in
_retriever_run: ContextVar[Any] = ContextVar("_retriever_run", default=None)


@contextmanager
def reporting_to(run_manager: Any) -> Iterator[None]:
    """Let the callbacks of a retriever's run be told of incomplete searches within."""
    token = _retriever_run.set(run_manager)
    try:
        yield
    finally:
        _retriever_run.reset(token)


def report_incomplete(incomplete: IncompleteSearchWarning | None) -> None:
    """Tell the callbacks of the run around a search that its answer may lack records."""
    config = None if incomplete is None else _surrounding_run()
    if incomplete is not None and config is not None:
        dispatch_custom_event(INCOMPLETE_EVENT, _incomplete_event(incomplete), config=config)


async def areport_incomplete(incomplete: IncompleteSearchWarning | None) -> None:
    """Tell the callbacks of the run around a search that its answer may lack records."""
    config = None if incomplete is None else _surrounding_run()
    if incomplete is not None and config is not None:
        event = _incomplete_event(incomplete)
        await adispatch_custom_event(INCOMPLETE_EVENT, event, config=config)


def _surrounding_run() -> RunnableConfig | None:
    # a store has no run of its own; outside of one there is nobody to tell
    if (run_manager := _retriever_run.get()) is not None:
        return {"callbacks": run_manager.get_child()}
    config = ensure_config()
    parent = getattr(config.get("callbacks"), "parent_run_id", None)
    return None if parent is None else config


def _incomplete_event(incomplete: IncompleteSearchWarning) -> dict[str, Any]:
    names = ("index", "wanted", "found", "nearest", "listed", "reason")
    return {name: getattr(incomplete, name) for name in names}


class _ServiceRetriever(Connected, BaseRetriever):
    """A retriever that reads from the service; `max_concurrency` of the run bounds its calls."""

    model_config = STRICT

    def invoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """Retrieve the Documents of a query; `k` may be given here too."""
        options = self._options_for("_get_relevant_documents", config, kwargs)
        return BaseRetriever.invoke(self, input, config, **options)

    async def ainvoke(
        self, input: str, config: RunnableConfig | None = None, **kwargs: Any
    ) -> list[Document]:
        """Retrieve the Documents of a query; `k` may be given here too."""
        options = self._options_for("_aget_relevant_documents", config, kwargs)
        return await BaseRetriever.ainvoke(self, input, config, **options)

    def _options_for(
        self, method: str, config: RunnableConfig | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        limit = max_concurrency_of(config)
        given = options if limit is None else {"max_concurrency": limit, **options}
        # a subclass with a signature of its own must not meet arguments that nobody passed
        known = _parameters(getattr(type(self), method))
        return {name: v for name, v in given.items() if name not in _INTERNAL or name in known}

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = PROVIDER
        return params


@cache  # reading a signature takes 40 microseconds, at each call of a retriever
def _parameters(method: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(method).parameters)


Outcome = Found[Document] | Exception | None


class _KeyQuery(str):
    """A query that was given as a list of keys: what traces show of it, and the keys."""

    __slots__ = ("keys",)
    keys: list[str]


def _as_query(asked: Any) -> str:
    """Return what a retriever was asked as a text: a list of keys as the JSON array of them.

    Raises:
        InvalidRequestError: it is no list of keys.
    """
    if isinstance(asked, str):
        return asked
    if not isinstance(asked, list | tuple):
        raise InvalidRequestError(
            "{argument} must be a list of strings or a text that names them, not {kind}",
            argument="keys",
            value=asked,
        )
    query = _KeyQuery(query_of(asked))
    query.keys = list(asked)
    return query


class OSSVectorRetriever(_Batched, _ServiceRetriever):
    """Documents by key: the query is a list of keys, a JSON array of keys, or one key a line.

    A list comes from the step before in a chain; traces show it as the JSON array.

    Documents come in the order of the keys, a repeated key answered each time with a Document of
    its own; `Document.id` is the key. Keys that do not exist are left out and reported to callbacks
    as the custom event `oss_vectors_missing_keys`, or raise `MissingKeysError`.

    A batch is fetched as one: its distinct keys in calls of 100, at most `max_concurrency` of the
    run's configuration at a time. `load_retriever` brings back what `dumps` made of it.

    Attributes:
        client: a client of either kind; by default one of `bucket`, ... and the environment.
        index: another index than the client's own.
        k: return at most so many Documents; also an argument of `invoke`.
        text_key: where another program keeps text, if not in `text`, `content`, `page_content`.
        embedding_key: the metadata field that receives the stored embedding, as a list of floats;
            None leaves embeddings where they are, and they are not fetched.
        on_missing: "omit" or "raise".
        on_decode_error: of unreadable records: "raise", "skip" (a warning) or "raw" (as stored).
        key_parser: turns a text into keys, in place of its two forms; a list is taken as it is.

    Examples:
        >>> client = OSSVectorClient.local()
        >>> _ = client.put_vector_index(dimension=2)
        >>> _ = client.upsert([{"key": "tea", "data": [1, 0], "metadata": {"text": "Green tea."}}])
        >>> OSSVectorRetriever(client=client).invoke(["tea", "coffee"])
        [Document(id='tea', metadata={}, page_content='Green tea.')]
    """

    model_config = STRICT

    k: int | None = Field(default=None, gt=0, strict=True)
    text_key: str | None = None
    embedding_key: str | None = None
    on_missing: MissingPolicy = "omit"
    on_decode_error: DecodePolicy = "raise"
    key_parser: Callable[[str], list[str]] = Field(default=parse_keys, exclude=True, repr=False)

    def invoke(
        self,
        input: str | list[str] | tuple[str, ...],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Fetch the Documents of keys; `k` may be given here too."""
        return _ServiceRetriever.invoke(self, _as_query(input), config, **kwargs)

    async def ainvoke(
        self,
        input: str | list[str] | tuple[str, ...],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Fetch the Documents of keys; `k` may be given here too."""
        return await _ServiceRetriever.ainvoke(self, _as_query(input), config, **kwargs)

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: Any,
        k: int | None = None,
        max_concurrency: int | None = None,
        outcome: Outcome = None,
    ) -> list[Document]:
        found: Found[Document] = self._result(query, outcome, max_concurrency, k=k)
        report_missing(self, run_manager, found.missing)
        return found.made

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: Any,
        k: int | None = None,
        max_concurrency: int | None = None,
        outcome: Outcome = None,
    ) -> list[Document]:
        found: Found[Document] = await self._aresult(query, outcome, max_concurrency, k=k)
        await areport_missing(self, run_manager, found.missing)
        return found.made

    def _look_up(  # type: ignore[override]  # its options are known
        self,
        context: Context,
        asked: str,
        /,
        *,
        k: int | None = None,
        max_concurrency: int | None = None,  # noqa: ARG002 - the batch sees to it
    ) -> Flow[Found[Document]]:
        lookup = Lookup(
            index=self.index,
            text_key=self.text_key,
            return_data=self.embedding_key is not None,
            on_missing=self.on_missing,
            on_decode_error=self.on_decode_error,
            limit=self.k if k is None else k,
        )
        query = _as_query(asked)  # of a batch, whose inputs come as they are
        keys = query.keys if isinstance(query, _KeyQuery) else self.key_parser(query)
        return fetch_records(context, lookup, keys, self._document)

    def _document(self, record: Record) -> Document:
        return document_from(record, self.embedding_key)
