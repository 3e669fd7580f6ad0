"""A flow in progress: how whoever runs one goes from step to step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from oss_vector_retriever.client.steps import Flow, Step

T = TypeVar("T")


class Running(Generic[T]):
    """Hold a flow and the step it waits for; None when it has ended, with its result.

    What the flow raises is raised by whatever made it go on.
    """

    result: T

    def __init__(self, flow: Flow[T]) -> None:
        self._flow = flow
        self.step: Step | None = None
        self.tell(None)

    def tell(self, answer: Any) -> None:
        """Go on, with what came of the step."""
        self._advance(self._flow.send, answer)

    def throw(self, error: BaseException) -> None:
        """Go on, with what the step raised: the flow decides."""
        self._advance(self._flow.throw, error)

    def _advance(self, how: Callable[[Any], Step], answer: Any) -> None:
        try:
            self.step = how(answer)
        except StopIteration as end:
            self.step, self.result = None, end.value
