"""What `OSSVectorFetcher` and `OSSVectorRehydrator` share: a runnable around one fetch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from langchain_core.callbacks import (
    AsyncCallbackManagerForChainRun,
    CallbackManagerForChainRun,
    adispatch_custom_event,
    dispatch_custom_event,
)
from langchain_core.documents import Document
from langchain_core.runnables import RunnableConfig, RunnableSerializable

from oss_vector_retriever.client.together import at_most
from oss_vector_retriever.langchain.batching import Batched, concurrency, or_raise
from oss_vector_retriever.langchain.connection import Serialised
from oss_vector_retriever.langchain.service_retriever import MISSING_EVENT

Asked = TypeVar("Asked", bound=Sequence[Any])


@dataclass(frozen=True, slots=True)
class FetchReport:
    """Say what came of a list of keys.

    Attributes:
        documents: what was found, in the order asked; with `return_data=True` pairs of a Document
            and its embedding.
        found: the keys found, each once, in the order asked.
        missing: the keys that do not exist, each once, in the order asked.
        calls: how many API calls were made; 0 where that was not counted.
    """

    documents: list[Any]
    found: tuple[str, ...]
    missing: tuple[str, ...]
    calls: int = 0


class Fetching(Batched, Serialised, RunnableSerializable[Asked, list[Document]], Generic[Asked]):
    """Be a runnable whose flow ends in a `FetchReport`; what is missing becomes a custom event."""

    def invoke(
        self,
        input: Asked,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer one list."""
        return self._call_with_config(self._answer, input, config, **kwargs)

    async def ainvoke(
        self,
        input: Asked,  # noqa: A002 - LangChain's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> list[Any]:
        """Answer one list."""
        return await self._acall_with_config(self._aanswer, input, config, **kwargs)

    def _answer(
        self,
        keys: Asked,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        outcome: FetchReport | Exception | None = None,
    ) -> list[Any]:
        if outcome is None:
            outcome = self._both().run(at_most(concurrency(config), self._start(keys)))
        report = cast("FetchReport", or_raise(outcome))
        if report.missing:
            dispatch_custom_event(MISSING_EVENT, self._told(report), config=_child(run_manager))
        return report.documents

    async def _aanswer(
        self,
        keys: Asked,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        outcome: FetchReport | Exception | None = None,
    ) -> list[Any]:
        if outcome is None:
            outcome = await self._both().arun(at_most(concurrency(config), self._start(keys)))
        report = cast("FetchReport", or_raise(outcome))
        if report.missing:
            told = self._told(report)
            await adispatch_custom_event(MISSING_EVENT, told, config=_child(run_manager))
        return report.documents

    def _told(self, report: FetchReport) -> dict[str, Any]:
        return {"index": self._index_name(), "missing": list(report.missing)}


def _child(run_manager: Any) -> RunnableConfig:
    return {"callbacks": run_manager.get_child()}
