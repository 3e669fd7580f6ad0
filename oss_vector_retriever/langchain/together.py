"""Many lookups in few calls, and no more calls at once than a run allows: flows around flows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

from oss_vector_retriever.client.coalesce import SharedCall, shared_calls
from oss_vector_retriever.client.context import Context
from oss_vector_retriever.client.steps import (
    Call,
    Flow,
    Join,
    Send,
    Sleep,
    Step,
    Together,
    together,
)

T = TypeVar("T")


def at_most(most: int | None, start: Callable[[Context], Flow[T]]) -> Callable[[Context], Flow[T]]:
    """Return a flow that does what another does, with at most so many of its calls in progress.

    Args:
        most: the bound, such as `max_concurrency` of a run; None leaves it to the client.
        start: the other flow.
    """
    return start if most is None else lambda context: _narrowed(max(most, 1), start(context))


def side_by_side(
    starts: Sequence[Callable[[Context], Flow[T]]],
) -> Callable[[Context], Flow[list[T | Exception]]]:
    """Return a flow that runs others together: what they fetch at the same time shares calls.

    Each result is that of the flow in its place, or what it raised: one does not end the others.
    """

    def run(context: Context) -> Flow[list[T | Exception]]:
        merging = context if context.config.coalesce else context.changed(coalesce=True)
        runs = [_Run(start, merging) for start in starts]
        while waiting := [one for one in runs if one.step is not None]:
            yield from _round(waiting)
        return [one.outcome for one in runs]

    return run


class _Run(Generic[T]):
    """Hold a flow, the step it waits for, and what came of it when it waits for none."""

    outcome: T | Exception

    def __init__(self, start: Callable[[Context], Flow[T]], context: Context) -> None:
        self.flow = _started(start, context)
        self.step: Step | None = None
        self.advance(self.flow.send, None)

    def advance(self, how: Callable[[Any], Step], answer: Any) -> None:
        """Go on with the flow to its next step, or its end."""
        try:
            self.step = how(answer)
        except StopIteration as end:
            self.step, self.outcome = None, end.value
        except Exception as error:  # noqa: BLE001 - it is raised where the flow's result is wanted
            self.step, self.outcome = None, error

    def alone(self) -> Flow[None]:
        """Do the steps that are for this flow alone."""
        while isinstance(self.step, Send | Sleep | Call):
            try:
                answer = yield self.step
            except BaseException as error:  # noqa: BLE001 - the flow decides
                self.advance(self.flow.throw, error)
            else:
                self.advance(self.flow.send, answer)

    def told(self, parts: Sequence[Any]) -> None:
        """Go on with the flow, with the results of the parts that it asked for together."""
        wrong = next((part.error for part in parts if isinstance(part, _Failed)), None)
        if wrong is None:
            self.advance(self.flow.send, list(parts))
        else:
            self.advance(self.flow.throw, wrong)


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


def _round(runs: Sequence[_Run[Any]]) -> Flow[None]:
    """Do one step of each flow, all at once; parts of parts would wait for their own threads."""
    parts = {run: run.step.flows for run in runs if isinstance(run.step, Together)}
    joined = {run: run.step.want for run in runs if isinstance(run.step, Join)}
    alone = [run.alone() for run in runs if run not in parts and run not in joined]
    flat = [_caught(flow) for flows in parts.values() for flow in flows]
    calls = [_bring(shared) for shared in shared_calls(joined.values())]
    results = iter((yield from together([*flat, *alone, *calls])))
    for run, flows in parts.items():
        run.told(list(islice(results, len(flows))))
    for run in joined:
        run.advance(run.flow.send, None)


def _caught(flow: Flow[Any]) -> Flow[Any]:
    try:
        return (yield from flow)
    except Exception as error:  # noqa: BLE001 - it is raised in the flow that asked for this one
        return _Failed(error)


def _started(start: Callable[[Context], Flow[T]], context: Context) -> Flow[T]:
    # what refuses the arguments does so inside the flow, as what came of it
    return (yield from start(context))


def _bring(shared: SharedCall) -> Flow[None]:
    try:
        deque(shared.deal((yield from shared.flow())), maxlen=0)
    except Exception as error:  # noqa: BLE001 - it is raised in the flows that wait
        apart = shared.apart(error)
        for call in apart:
            yield from _bring(call)
        if not apart:
            deque(shared.fail(error), maxlen=0)


def _narrowed(most: int, flow: Flow[T]) -> Flow[T]:
    answer: Any = None
    advance: Callable[[Any], Step] = flow.send
    while True:
        try:
            step = advance(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        try:
            if isinstance(step, Together) and len(step.flows) > most:
                answer = yield from _in_lanes(most, step.flows)
            else:
                answer = yield step
            advance = flow.send
        except BaseException as error:  # noqa: BLE001 - the flow decides
            answer, advance = error, flow.throw


def _in_lanes(most: int, flows: Sequence[Flow[T]]) -> Flow[list[T]]:
    results: dict[int, T] = {}
    waiting = deque(enumerate(flows))  # safe for the threads that share it

    def lane() -> Flow[None]:
        while waiting:
            try:
                place, flow = waiting.popleft()
            except IndexError:
                return
            results[place] = yield from flow

    yield from together([lane() for _ in range(most)])
    return [results[place] for place in range(len(flows))]
