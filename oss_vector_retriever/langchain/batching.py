"""`batch` and `abatch` as one flow for all inputs, and what a run's configuration says of calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config, get_config_list

from oss_vector_retriever.client.concurrency import limit_concurrency, run_together
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import Flow
from oss_vector_retriever.langchain.connection import Connected

Configs = RunnableConfig | list[RunnableConfig] | None


class Batched(Connected):
    """Answer a batch with few calls, each input with a run of its own in the traces.

    The inputs are looked up side by side first; then each is invoked with what came of it.
    """

    def _start(self, asked: Any, **options: Any) -> Callable[[Context], Flow[Any]]:
        """Return the flow of one input."""
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
        outcomes = self._both().run(
            limit_concurrency,
            concurrency(configs[0]),
            run_together,
            self._look_up,
            inputs,
            **kwargs,
        )
        answers: list[Any] = []
        for asked, own, outcome in zip(inputs, configs, outcomes, strict=True):
            try:
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
        outcomes = await self._both().arun(
            limit_concurrency,
            concurrency(configs[0]),
            run_together,
            self._look_up,
            inputs,
            **kwargs,
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

    def _look_up(self, context: Context, asked: Any, **options: Any) -> Flow[Any]:
        # the input is read in the flow: what is wrong with it is that input's own error
        return self._start(asked, **options)(context)

    if TYPE_CHECKING:

        def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002, D102 - LangChain's
            raise NotImplementedError

        async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002, D102 - LangChain's
            raise NotImplementedError


def concurrency(config: RunnableConfig | None) -> int | None:
    """Return the `max_concurrency` of a run, its parent's where it has none of its own."""
    return ensure_config(config).get("max_concurrency")


def or_raise(outcome: Any) -> Any:
    """Return what came of an input, or raise it."""
    if isinstance(outcome, Exception):
        raise outcome
    return outcome
