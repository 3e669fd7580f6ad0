"""What the retrievers share: serialising, bounded calls, traces and the event of missing keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from langchain_core.runnables import RunnableConfig

from oss_vector_retriever.langchain.batching import concurrency
from oss_vector_retriever.langchain.connection import (
    PROVIDER,
    STRICT,
    Serialised,
)

MISSING_EVENT = "oss_vectors_missing_keys"
_OWN = {"max_concurrency", "outcome"}  # what our methods pass to one another


class ServiceRetriever(Serialised, BaseRetriever):
    """Be a retriever whose `max_concurrency` of the run bounds its calls."""

    model_config = STRICT

    def invoke(
        self,
        input: str,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Retrieve the Documents of a query; `k` may be given here too."""
        options = self._passed("_get_relevant_documents", config, kwargs)
        return BaseRetriever.invoke(self, input, config, **options)

    async def ainvoke(
        self,
        input: str,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Retrieve the Documents of a query; `k` may be given here too."""
        options = self._passed("_aget_relevant_documents", config, kwargs)
        return await BaseRetriever.ainvoke(self, input, config, **options)

    def _passed(
        self, method: str, config: RunnableConfig | None, options: dict[str, Any]
    ) -> dict[str, Any]:
        most = concurrency(config)
        given = options if most is None else {"max_concurrency": most, **options}
        # a subclass with a signature of its own must not meet arguments that nobody passed
        known = _parameters(getattr(type(self), method))
        return {name: v for name, v in given.items() if name not in _OWN or name in known}

    def _tell(self, run_manager: CallbackManagerForRetrieverRun, missing: Sequence[str]) -> None:
        if missing:
            config: Any = {"callbacks": run_manager.get_child()}
            dispatch_custom_event(MISSING_EVENT, self._told(missing), config=config)

    async def _atell(
        self, run_manager: AsyncCallbackManagerForRetrieverRun, missing: Sequence[str]
    ) -> None:
        if missing:
            config: Any = {"callbacks": run_manager.get_child()}
            await adispatch_custom_event(MISSING_EVENT, self._told(missing), config=config)

    def _told(self, missing: Sequence[str]) -> dict[str, Any]:
        return {"index": self._index_name(), "missing": list(missing)}

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        params["ls_vector_store_provider"] = PROVIDER
        return params


@cache
def _parameters(method: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(method).parameters)
